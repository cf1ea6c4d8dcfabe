#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/concepts/dataset.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/owned_or_borrowed.hpp"

namespace tacit::inline v0 {

namespace detail {

// What range-for accepts is wider than std::ranges::range: its iterators need no post-increment and no typedefs.
namespace range_for {
using std::begin;
using std::end;
constexpr auto first(auto& range) -> decltype(begin(range)) { return begin(range); }
constexpr auto last(auto& range) -> decltype(end(range)) { return end(range); }
}  // namespace range_for

template <class R>
using range_element_t = std::remove_cvref_t<decltype(*range_for::first(std::declval<std::remove_reference_t<R>&>()))>;

}  // namespace detail

/// Whatever a range-based for loop accepts, if its elements can be kept by value.
template <class R>
concept batch_range = requires(std::remove_reference_t<R>& range) {
  { detail::range_for::first(range) != detail::range_for::last(range) } -> std::convertible_to<bool>;
  requires requires(std::remove_cvref_t<decltype(detail::range_for::first(range))>& at) {
    ++at;
    requires std::constructible_from<detail::range_element_t<R>, decltype(*at)>;
  };
};

namespace data {

/// The batches of a range, in its order; a run over it resumes at epochs only.
///
/// Each epoch begins the range anew. With several ranks every rank walks the same range and takes each
/// `world_size`-th batch; where the last ones do not suffice for all, the other ranks get none in that step.
/// Batches are copied out of a container (tensors share their storage) and moved out of a generator.
/// It stays where it was made: iterators into an owned range would not survive a move.
template <class R>
  requires batch_range<R>
class RangeSource {
 public:
  using batch_type = tacit::detail::range_element_t<R>;

  explicit RangeSource(R&& range) : range_{std::forward<R>(range)} {}
  RangeSource(RangeSource const&) = delete;
  RangeSource& operator=(RangeSource const&) = delete;

  /// Batches of an epoch for each of `world_size` ranks, where the range knows its size.
  /// Throws: ConfigError for a world size below 1.
  std::int64_t size(int world_size = 1) const
    requires requires(std::remove_reference_t<R> const& range) { std::ranges::size(range); }
  {
    check_rank(0, world_size);
    auto const batches = static_cast<std::int64_t>(std::ranges::size(std::as_const(range_).get()));
    return batches / world_size + (batches % world_size != 0 ? 1 : 0);
  }
  std::int64_t position() const noexcept { return position_; }

  /// Begins the range anew; a range has neither seed nor shuffle of ours.
  /// Throws: ConfigError for a rank outside [0, world_size); DataError if the range yields nothing.
  void start_epoch(std::uint64_t /*seed*/, EpochIndex epoch, int rank = 0, int world_size = 1) {
    check_rank(rank, world_size);
    at_.reset();
    rank_ = rank;
    world_size_ = world_size;
    position_ = 0;
    behind_ = 0;
    at_.emplace(tacit::detail::range_for::first(range_.get()));
    if (!at_end()) {
      seen_ = true;
    } else if (seen_) {
      throw DataError{"TACIT-RD14", tacit::detail::message({"it yields no batch in epoch ", epoch.value(), ": it can be passed only once"}),
                      "range of batches", "give a container or a range that begins anew, or train one epoch"};
    } else {
      throw DataError{"TACIT-RD15", "it is empty: its length is 0", "range of batches",
                      "check where the data come from"};
    }
  }

  /// Copies or moves this rank's next batch out of the range; false at its end.
  ///
  /// `into` stays empty where the last batches do not suffice for all ranks.
  /// Throws: UsageError before `start_epoch`, and what the range throws.
  // Inlined, it makes g++ 12 warn in the caller that the optional's content may be uninitialised.
  [[gnu::noinline]] bool next(std::optional<batch_type>& into) {
    into.reset();
    if (!at_) {
      throw UsageError{"TACIT-RD16", "a batch was asked for before the first epoch", "range of batches",
                       "call start_epoch(seed, epoch) first"};
    }
    // The range steps on when the next batch is wanted, not before: a generator then never works ahead.
    advance(behind_);
    behind_ = 0;
    if (at_end()) return false;
    if (advance(rank_)) {
      into.emplace(**at_);
      behind_ = world_size_ - rank_;
    }
    ++position_;
    return true;
  }

 private:
  static void check_rank(int rank, int world_size) {
    if (world_size < 1 || rank < 0 || rank >= world_size) {
      throw ConfigError{"TACIT-RC14",
                        tacit::detail::message({"there is no rank ", rank, " among ", world_size, " ranks"}),
                        "range of batches", "give a rank from 0 to world_size - 1"};
    }
  }

  bool at_end() { return !(*at_ != tacit::detail::range_for::last(range_.get())); }

  bool advance(int steps) {
    for (; steps > 0 && !at_end(); --steps) ++*at_;
    return !at_end();
  }

  OwnedOrBorrowed<R> range_;
  std::optional<
      std::remove_cvref_t<decltype(tacit::detail::range_for::first(std::declval<std::remove_reference_t<R>&>()))>>
      at_;
  int rank_ = 0;
  int world_size_ = 1;
  std::int64_t position_ = 0;
  int behind_ = 0;  // steps the range is behind
  bool seen_ = false;
};

/// A source of batches from a range: an lvalue is borrowed and must outlive it, an rvalue is taken over.
template <class R>
  requires batch_range<R>
RangeSource<R> range_source(R&& range) {
  return RangeSource<R>{std::forward<R>(range)};
}

/// What a thing is to `train` and `evaluate`; the first that fits of source, dataset and range.
enum class data_kind { none, source, dataset, range };

template <class T>
inline constexpr data_kind data_kind_of_v = batch_source<std::remove_reference_t<T>> ? data_kind::source
                                            : dataset<T>                             ? data_kind::dataset
                                            : batch_range<T>                         ? data_kind::range
                                                                                     : data_kind::none;

}  // namespace data
}  // namespace tacit::inline v0
