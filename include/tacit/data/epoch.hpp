#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"

namespace tacit::inline v0::data {

namespace detail {

/// Where an epoch of a source stands, and the way back there once the source has begun another one.
template <class Source>
class Stand {
 public:
  explicit Stand([[maybe_unused]] Source& source) {
    if constexpr (knows) note(source);
  }
  void note([[maybe_unused]] Source& source) {
    if constexpr (restorable_batch_source<Source>) {
      place_.emplace(source.place());
    } else if constexpr (knows) {
      place_ = source.pass();
    }
  }
  void return_to([[maybe_unused]] Source& source) {
    if constexpr (restorable_batch_source<Source>) {
      if (source.place().pass != place_->pass) source.restore(*place_);
    } else if constexpr (knows) {
      if (source.pass() != place_) {
        throw UsageError{"TACIT-RD133", "another epoch of the same range was begun inside of the loop over this one", "a loop over an epoch",
                         "give each loop, and an evaluation inside of it, a source of its own"};
      }
    }
  }

 private:
  static constexpr bool numbers = requires(Source const& source) { source.pass(); };
  static constexpr bool knows = restorable_batch_source<Source> || numbers;
  static consteval auto find_place() {
    if constexpr (restorable_batch_source<Source>) {
      return std::optional<decltype(std::declval<Source const&>().place())>{};
    } else {
      return std::uint64_t{0};
    }
  }
  decltype(find_place()) place_{};
};

}  // namespace detail

/// The batches of one epoch of a source, for a range-for loop; it can be walked once.
///
/// A batch lives until the next one is fetched. Where the loop's body begins epochs of the same source (an evaluation, a loop
/// inside of the loop), the source is put back to where this epoch stands; one that cannot be is a UsageError. Steps for which this rank has no samples are passed over: a loop over
/// several ranks that must take part in every step calls `next` itself.
template <class Source>
class EpochRange {
 public:
  using batch_type = typename Source::batch_type;

  class iterator {
   public:
    using value_type = batch_type;
    using difference_type = std::ptrdiff_t;

    explicit iterator(EpochRange& range) noexcept : range_{&range} {}
    batch_type& operator*() const noexcept { return *range_->batch_; }
    batch_type* operator->() const noexcept { return &*range_->batch_; }
    iterator& operator++() {
      range_->fetch();
      return *this;
    }
    void operator++(int) { range_->fetch(); }
    friend bool operator==(iterator const& at, std::default_sentinel_t) noexcept { return at.over(); }

   private:
    bool over() const noexcept { return !range_->batch_; }

    EpochRange* range_;
  };

  explicit EpochRange(Source& source) : source_{&source}, stand_{source} {}
  EpochRange(EpochRange const&) = delete;
  EpochRange& operator=(EpochRange const&) = delete;

  /// Throws: UsageError where the epoch was walked to its end before; else what the source throws.
  iterator begin() {
    fetch();
    if (!batch_ && begun_) {
      throw UsageError{"TACIT-RD134", "this epoch was walked to its end already", "a loop over an epoch", "begin one for each loop: epoch(seed, index)"};
    }
    begun_ = true;
    return iterator{*this};
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  void fetch() {
    stand_.return_to(*source_);
    while (source_->next(batch_) && !batch_) {
    }
    stand_.note(*source_);
  }

  Source* source_;
  detail::Stand<Source> stand_;
  std::optional<batch_type> batch_{};
  bool begun_ = false;
};

/// The same of a source that nobody else holds.
template <class Source>
class OwnedEpochRange {
 public:
  OwnedEpochRange(Source&& source, std::uint64_t seed, EpochIndex index, int rank, int world_size)
      : source_{std::move(source)} {
    source_.start_epoch(seed, index, rank, world_size);
  }

  auto begin() { return range_.begin(); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  Source source_;
  EpochRange<Source> range_{source_};
};

/// Begins an epoch of a source and gives its batches; an rvalue is taken over.
/// Throws: what the source's `start_epoch` throws; the range throws what `next` throws.
/// Example: `for (auto& batch : data::epoch(batches, seed, EpochIndex{e})) ...`
template <batch_source Source>
EpochRange<Source> epoch(Source& source, std::uint64_t seed, EpochIndex index, int rank = 0, int world_size = 1) {
  source.start_epoch(seed, index, rank, world_size);
  return EpochRange<Source>{source};
}
template <class Source>
  requires(!std::is_reference_v<Source> && batch_source<Source> && std::move_constructible<Source>)
OwnedEpochRange<Source> epoch(Source&& source, std::uint64_t seed, EpochIndex index, int rank = 0, int world_size = 1) {
  return {std::move(source), seed, index, rank, world_size};
}

}  // namespace tacit::inline v0::data
