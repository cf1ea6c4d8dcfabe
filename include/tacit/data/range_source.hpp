#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
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

namespace torch::data {
template <typename Dataset, typename Batch, typename BatchRequest>
class DataLoaderBase;  // LibTorch's; nothing of it is needed unless one is passed
}  // namespace torch::data

namespace tacit::inline v0 {

namespace detail {

// What range-for accepts is wider than std::ranges::range: its iterators need no post-increment and no typedefs.
namespace range_for {
using std::begin;
using std::end;
constexpr auto first(auto& range) -> decltype(begin(range)) { return begin(range); }
constexpr auto last(auto& range) -> decltype(end(range)) { return end(range); }
}  // namespace range_for

/// Whether several walks over a range may go on at once: by its iterators, or where those say nothing, as range-for asks for nothing,
/// because it can be walked while it is const.
template <class R>
consteval bool walks_are_independent() {
  using range = std::remove_reference_t<R>;
  using iterator = std::remove_cvref_t<decltype(range_for::first(std::declval<range&>()))>;
  if constexpr (std::ranges::range<range>) {
    return std::ranges::forward_range<range>;
  } else if constexpr (!std::copyable<iterator> || std::input_iterator<iterator>) {
    return false;
  } else {
    return requires(range const& constant) { range_for::first(constant); };
  }
}

/// LibTorch's data loader begins no epoch while workers have batches of an epoch that was left: they are waited for and dropped.
template <class D, class B, class Request>
struct torch_loader_access : torch::data::DataLoaderBase<D, B, Request> {
  using loader = torch::data::DataLoaderBase<D, B, Request>;
  static auto& shuttle(loader& one) { return one.*(&torch_loader_access::shuttle_); }
};
template <class D, class B, class Request>
void leave_range(torch::data::DataLoaderBase<D, B, Request>& loader) {
  torch_loader_access<D, B, Request>::shuttle(loader).drain();
}
template <class D, class B, class Request>
bool is_inside_of_epoch(torch::data::DataLoaderBase<D, B, Request>& loader) {
  return torch_loader_access<D, B, Request>::shuttle(loader).in_flight_jobs() != 0;
}

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

namespace detail {

/// A walk over a range that is begun anew for each epoch.
template <class R>
class Walk {
  using range_type = std::remove_reference_t<R>;

 public:
  using iterator = std::remove_cvref_t<decltype(tacit::detail::range_for::first(std::declval<range_type&>()))>;
  /// Whether another walk over the same range may go on at the same time.
  static constexpr bool is_independent = tacit::detail::walks_are_independent<R>();

  explicit Walk(R&& range) : range_{std::forward<R>(range)} {}
  Walk(Walk const&) = delete;
  Walk& operator=(Walk const&) = delete;
  ~Walk() {
    if constexpr (is_torch_loader) {
      try {
        leave();
      } catch (...) {  // the loader is asked again, and tells its next user
      }
    }
  }

  R const& range() const noexcept { return range_.get(); }
  /// What a walk goes over: the same address for all that disturb each other.
  void const* object() const noexcept { return std::addressof(range_.get()); }

  /// Throws: UsageError for a data loader of torch::data that is inside of an epoch begun elsewhere.
  void begin() {
    leave();
    at_.reset();
    if constexpr (is_torch_loader) {
      if (tacit::detail::is_inside_of_epoch(range_.get())) {
        throw UsageError{"TACIT-RD135", "the data loader of torch::data is inside of an epoch that was begun elsewhere, and its workers hold batches of it",
                         "range of batches", "walk that epoch to its end first, or make a data loader for each use"};
      }
    }
    at_.emplace(tacit::detail::range_for::first(range_.get()));
    if constexpr (is_watched) size_ = std::ranges::size(range_.get());
  }
  bool has_begun() const noexcept { return at_.has_value(); }
  bool at_end() { return !(*at_ != tacit::detail::range_for::last(range_.get())); }
  iterator& at() noexcept { return *at_; }
  std::optional<iterator> const& place() const noexcept { return at_; }
  void restore(std::optional<iterator> const& place) {
    at_.reset();
    if (place) at_.emplace(*place);
  }
  /// Throws: UsageError for a container whose size has changed since the walk began: its iterators may be gone.
  void check_size() const {
    if constexpr (is_watched) {
      if (std::ranges::size(std::as_const(range_).get()) != size_) refuse_size();
    }
  }

 private:
  static constexpr bool is_torch_loader = requires(range_type& range) { tacit::detail::leave_range(range); };
  static constexpr bool is_watched = std::is_lvalue_reference_v<R> && requires(range_type const& range) { std::ranges::size(range); };

  void leave() {
    if constexpr (is_torch_loader) {
      if (at_) tacit::detail::leave_range(range_.get());
    }
  }
  [[noreturn]] void refuse_size() const {
    throw UsageError{"TACIT-RD136",
                     tacit::detail::message({"the container had ", static_cast<std::size_t>(size_), " elements when the epoch began, and has ",
                                             static_cast<std::size_t>(std::ranges::size(std::as_const(range_).get()))}),
                     "range of batches", "change it between epochs, or give a copy"};
  }

  struct no_size {};
  static consteval auto find_size() {
    if constexpr (is_watched) {
      return std::ranges::range_size_t<range_type const>{};
    } else {
      return no_size{};
    }
  }

  OwnedOrBorrowed<R> range_;
  std::optional<iterator> at_{};
  [[no_unique_address]] decltype(find_size()) size_{};
};

}  // namespace detail

/// The batches of a range, in its order; a run over it resumes at epochs only.
///
/// Each epoch begins the range anew. With several ranks every rank walks the same range and takes each
/// `world_size`-th batch; where the last ones do not suffice for all, the other ranks get none in that step.
/// Batches are copied out of a container (tensors share their storage) and moved out of a generator. A data loader of torch::data
/// may be left before its end: what its workers have in hand is waited for and dropped.
/// It stays where it was made: iterators into an owned range would not survive a move.
template <class R>
  requires batch_range<R>
class RangeSource {
 public:
  using batch_type = tacit::detail::range_element_t<R>;
  /// What can be walked once at a time makes its batches as it goes; only a container keeps them.
  static constexpr bool gives_batches_away = !detail::Walk<R>::is_independent;

  explicit RangeSource(R&& range) : walk_{std::forward<R>(range)} {}
  RangeSource(RangeSource const&) = delete;
  RangeSource& operator=(RangeSource const&) = delete;

  /// Batches of an epoch for each of `world_size` ranks, where the range knows its size.
  /// Throws: ConfigError for a world size below 1.
  std::int64_t size(int world_size = 1) const
    requires requires(std::remove_reference_t<R> const& range) { std::ranges::size(range); }
  {
    check_rank(0, world_size);
    auto const batches = static_cast<std::int64_t>(std::ranges::size(std::as_const(walk_).range()));
    return batches / world_size + (batches % world_size != 0 ? 1 : 0);
  }
  std::int64_t position() const noexcept { return position_; }

  /// Begins the range anew; a range has neither seed nor shuffle of ours.
  /// Throws: ConfigError for a rank outside [0, world_size); DataError if the range yields nothing.
  void start_epoch(std::uint64_t /*seed*/, EpochIndex epoch, int rank = 0, int world_size = 1) {
    check_rank(rank, world_size);
    rank_ = rank;
    world_size_ = world_size;
    position_ = 0;
    behind_ = 0;
    pass_ = ++passes_;
    walk_.begin();
    if (!walk_.at_end()) {
      seen_ = true;
    } else if (seen_) {
      throw DataError{"TACIT-RD14", tacit::detail::message({"it yields no batch in epoch ", epoch.value(), ": it can be passed only once"}),
                      "range of batches", "give a container or a range that begins anew, or train one epoch"};
    } else {
      throw DataError{"TACIT-RD15", "it is empty: its length is 0", "range of batches",
                      "check where the data come from; one that can be passed only once cannot serve twice"};
    }
  }

  /// Copies or moves this rank's next batch out of the range; false at its end.
  ///
  /// `into` stays empty where the last batches do not suffice for all ranks.
  /// Throws: UsageError before `start_epoch` and for a container whose size has changed since, and what the range throws.
  // Inlined, it makes g++ 12 warn in the caller that the optional's content may be uninitialised.
  [[gnu::noinline]] bool next(std::optional<batch_type>& into) {
    into.reset();
    if (!walk_.has_begun()) {
      throw UsageError{"TACIT-RD16", "a batch was asked for before the first epoch", "range of batches",
                       "call start_epoch(seed, epoch) first"};
    }
    walk_.check_size();
    // The range steps on when the next batch is wanted, not before: a generator then never works ahead.
    advance(behind_);
    behind_ = 0;
    if (walk_.at_end()) return false;
    if (advance(rank_)) {
      into.emplace(*walk_.at());
      behind_ = world_size_ - rank_;
    }
    ++position_;
    return true;
  }

  /// Where the source stands, for `restore`: of ranges over which several walks may go on at once.
  struct Place {
    std::uint64_t pass;  // 0: before the first epoch
    std::optional<typename detail::Walk<R>::iterator> at;
    int rank;
    int world_size;
    std::int64_t position;
    int behind;
  };
  Place place() const
    requires detail::Walk<R>::is_independent
  {
    return {walk_.has_begun() ? pass_ : 0, walk_.place(), rank_, world_size_, position_, behind_};
  }
  void restore(Place const& place)
    requires detail::Walk<R>::is_independent
  {
    if (place.pass == 0) return;
    walk_.restore(place.at);
    rank_ = place.rank;
    world_size_ = place.world_size;
    position_ = place.position;
    behind_ = place.behind;
    pass_ = place.pass;
  }
  /// The number of the epoch in work among all that were begun.
  std::uint64_t pass() const noexcept { return pass_; }
  /// What is walked: two sources with one address disturb each other, unless they can be put back.
  void const* walked() const noexcept { return walk_.object(); }

 private:
  static void check_rank(int rank, int world_size) {
    if (world_size < 1 || rank < 0 || rank >= world_size) {
      throw ConfigError{"TACIT-RC14",
                        tacit::detail::message({"there is no rank ", rank, " among ", world_size, " ranks"}),
                        "range of batches", "give a rank from 0 to world_size - 1"};
    }
  }

  bool advance(int steps) {
    for (; steps > 0 && !walk_.at_end(); --steps) ++walk_.at();
    return !walk_.at_end();
  }

  detail::Walk<R> walk_;
  int rank_ = 0;
  int world_size_ = 1;
  std::int64_t position_ = 0;
  int behind_ = 0;  // steps the range is behind
  bool seen_ = false;
  std::uint64_t pass_ = 0;
  std::uint64_t passes_ = 0;
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
