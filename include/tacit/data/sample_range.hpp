#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/required.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/collate.hpp"
#include "tacit/data/epoch.hpp"
#include "tacit/data/range_source.hpp"

namespace tacit::inline v0::data {

/// How batches are made of a range of samples.
struct SampleRangeOptions {
  required<Samples> batch_size;  ///< of one process
  bool drop_last = false;        ///< leaves out the last batch of an epoch if it is incomplete on any rank
};

/// Batches of a range of samples whose length need not be known: a stream, a generator, lines of a file.
///
/// Each epoch begins the range anew and takes its samples in its order. Ranks share them as a `Loader`'s do: all walk
/// the range, a step is `batch_size * world_size` samples, and each rank collates its chunk. A run over it resumes at
/// epochs only, for what was read cannot be skipped.
/// It stays where it was made: iterators into an owned range would not survive a move.
/// Cost: holds the samples of one step of all ranks.
template <class R, class Collate = DefaultCollate>
  requires batch_range<R>
class SampleRange {
 public:
  using sample_type = tacit::detail::range_element_t<R>;
  using batch_type = decltype(collate_with(std::declval<Collate const&>(), std::declval<std::span<sample_type>>(),
                                           std::declval<CollateContext const&>()));

  static constexpr bool gives_batches_away = !detail::Walk<R>::is_independent;

  /// Throws: ConfigError for a batch size of 0.
  SampleRange(R&& range, SampleRangeOptions const& options, Collate collate)
      : walk_{std::forward<R>(range)}, options_{options}, collate_{std::move(collate)} {
    if (options_.batch_size->value() < 1) {
      throw ConfigError{"TACIT-RC66", tacit::detail::message({"the batch size is ", (options_.batch_size->is_set() ? "0" : "not given")}),
                        "range of samples", "give .batch_size = 1 or more"};
    }
  }
  SampleRange(SampleRange const&) = delete;
  SampleRange& operator=(SampleRange const&) = delete;

  SampleRangeOptions const& options() const noexcept { return options_; }
  /// Batches taken since `start_epoch`.
  std::int64_t position() const noexcept { return position_; }

  /// Begins the range anew.
  /// Throws: ConfigError for a rank outside [0, world_size); DataError if the range yields nothing.
  void start_epoch(std::uint64_t /*seed*/, EpochIndex epoch, int rank = 0, int world_size = 1) {
    if (world_size < 1 || rank < 0 || rank >= world_size) {
      throw ConfigError{"TACIT-RC67",
                        tacit::detail::message({"there is no rank ", rank, " among ", world_size, " ranks"}),
                        "range of samples", "give a rank from 0 to world_size - 1"};
    }
    rank_ = rank;
    world_size_ = world_size;
    position_ = 0;
    taken_ = 0;
    behind_ = false;
    pass_ = ++passes_;
    walk_.begin();
    if (walk_.at_end()) {
      throw DataError{
          "TACIT-RD75",
          tacit::detail::message({"it yields no sample in epoch ", epoch.value(), (seen_ ? ": it can be passed only once" : ": its length is 0")}),
          "range of samples", "give a container or a range that begins anew, and check where the data come from"};
    }
    seen_ = true;
  }

  /// Collates this rank's next batch; false at the end of the range.
  ///
  /// `into` stays empty where the last samples do not suffice for all ranks.
  /// Throws: UsageError before `start_epoch`; DataError where `drop_last` leaves no batch; what the range and collate
  /// throw.
  [[gnu::noinline]] bool next(std::optional<batch_type>& into) {
    into.reset();
    if (!walk_.has_begun()) {
      throw UsageError{"TACIT-RD76", "a batch was asked for before the first epoch", "range of samples",
                       "call start_epoch(seed, epoch) first"};
    }
    walk_.check_size();
    std::int64_t const global = global_batch_size();
    samples_.clear();
    numbers_.clear();
    while (static_cast<std::int64_t>(samples_.size()) < global) {
      // The range steps on when the next sample is wanted, not before: a generator then never works ahead.
      if (behind_) ++walk_.at();
      behind_ = false;
      if (walk_.at_end()) break;
      samples_.emplace_back(*walk_.at());
      behind_ = true;
      numbers_.push_back(taken_++);
    }
    auto const total = static_cast<std::int64_t>(samples_.size());
    if (total < global && options_.drop_last && position_ == 0) {
      throw DataError{"TACIT-RD78", tacit::detail::message({"0 batches: drop_last leaves nothing of ", total, " samples"}), "range of samples",
                      "take a smaller batch size or drop_last = false"};
    }
    if (total == 0 || (total < global && options_.drop_last)) return false;
    std::int64_t const even = total / world_size_;
    std::int64_t const larger = total % world_size_;  // this many ranks, the first ones, have one more
    auto const first = static_cast<std::size_t>(rank_ * even + std::min<std::int64_t>(rank_, larger));
    auto const count = static_cast<std::size_t>(even + (rank_ < larger ? 1 : 0));
    ++position_;
    if (count != 0) {
      into.emplace(collate_with(collate_, std::span{samples_}.subspan(first, count), CollateContext{std::span{numbers_}.subspan(first, count)}));
    }
    return true;
  }

  /// Where the source stands, for `restore`: of ranges over which several walks may go on at once.
  struct Place {
    std::uint64_t pass;  // 0: before the first epoch
    std::optional<typename detail::Walk<R>::iterator> at;
    int rank;
    int world_size;
    std::int64_t position;
    std::int64_t taken;
    bool behind;
  };
  Place place() const
    requires detail::Walk<R>::is_independent
  {
    return {walk_.has_begun() ? pass_ : 0, walk_.place(), rank_, world_size_, position_, taken_, behind_};
  }
  void restore(Place const& place)
    requires detail::Walk<R>::is_independent
  {
    if (place.pass == 0) return;
    walk_.restore(place.at);
    rank_ = place.rank;
    world_size_ = place.world_size;
    position_ = place.position;
    taken_ = place.taken;
    behind_ = place.behind;
    pass_ = place.pass;
  }
  /// The number of the epoch in work among all that were begun.
  std::uint64_t pass() const noexcept { return pass_; }
  /// What is walked: two sources with one address disturb each other, unless they can be put back.
  void const* walked() const noexcept { return walk_.object(); }

  /// Begins an epoch and gives its batches to a range-for loop.
  EpochRange<SampleRange> epoch(std::uint64_t seed, EpochIndex index, int rank = 0, int world_size = 1) {
    start_epoch(seed, index, rank, world_size);
    return EpochRange<SampleRange>{*this};
  }

 private:
  std::int64_t global_batch_size() const noexcept {
    std::int64_t const most = std::numeric_limits<std::int64_t>::max() / world_size_;
    return std::min(options_.batch_size->value(), most) * world_size_;
  }

  detail::Walk<R> walk_;
  SampleRangeOptions options_;
  Collate collate_;
  std::vector<sample_type> samples_{};
  std::vector<std::int64_t> numbers_{};
  int rank_ = 0;
  int world_size_ = 1;
  std::int64_t position_ = 0;
  std::int64_t taken_ = 0;
  bool behind_ = false;  // the range stands at a sample that was taken
  bool seen_ = false;
  std::uint64_t pass_ = 0;
  std::uint64_t passes_ = 0;
};

/// Batches of a range of samples: an lvalue is borrowed and must outlive it, an rvalue is taken over.
/// Throws: ConfigError for a batch size of 0.
/// Example: `auto batches = data::batches_of(lines, {.batch_size = 32}, to_batch);`
template <class R, class Collate = DefaultCollate>
  requires batch_range<R>
auto batches_of(R&& range, SampleRangeOptions const& options, Collate collate = {}) {
  using sample = tacit::detail::range_element_t<R>;
  if constexpr (collate_function<Collate, sample>) {
    return SampleRange<R, Collate>{std::forward<R>(range), options, std::move(collate)};
  } else if constexpr (std::same_as<Collate, DefaultCollate> || std::same_as<Collate, PadCollate>) {
    tacit::detail::report(bad<misuse::ED03, sample>{});
  } else {
    tacit::detail::report(bad<misuse::ED04, Collate, sample>{});
  }
}

}  // namespace tacit::inline v0::data
