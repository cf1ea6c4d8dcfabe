#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#include "tacit/core/units.hpp"
#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// Where the loop takes batches from: a loader over a dataset, or a range.
///
/// `start_epoch(seed, epoch, rank, world_size)` begins an epoch, also while another one is unfinished. `next(into)`
/// then fetches this rank's next batch; it is false at the end of the epoch, at the same call on every rank. A rank for
/// which the last step leaves no samples gets true and no batch: it takes part in the step with weight 0.
/// `position()` counts the batches taken since `start_epoch`.
template <class S>
concept batch_source = requires(S& source, S const& constant, std::uint64_t seed, EpochIndex epoch, int rank,
                                int world_size, std::optional<typename S::batch_type>& into) {
  source.start_epoch(seed, epoch, rank, world_size);
  { source.next(into) } -> std::same_as<bool>;
  { constant.position() } -> std::same_as<std::int64_t>;
};

/// A source that knows beforehand how many batches an epoch has: `size(world_size)` for each rank.
template <class S>
concept sized_batch_source = batch_source<S> && requires(S const& source, int world_size) {
  { source.size(world_size) } -> std::same_as<std::int64_t>;
};

/// A sized source that also knows, once an epoch has started, the samples of each batch: this rank's and all ranks'.
template <class S>
concept planned_batch_source = sized_batch_source<S> && requires(S const& source, std::int64_t batch) {
  { source.batch_samples(batch) } -> std::same_as<std::int64_t>;
  { source.global_batch_samples(batch) } -> std::same_as<std::int64_t>;
};

/// A sized source that can go on at a batch of the epoch it has started, without reading the batches before it.
///
/// `position()` saved, then `start_epoch` with the same arguments and `seek(position)`, give the rest of the epoch.
template <class S>
concept seekable_batch_source = sized_batch_source<S> && requires(S& source, std::int64_t batch) { source.seek(batch); };

/// A source that can be put back to where it stood before another pass over it: `restore(place())`.
///
/// `place().pass` differs between any two epochs that the source began. Restoring a place before the first epoch does nothing.
template <class S>
concept restorable_batch_source = batch_source<S> && requires(S& source, S const& constant) {
  { constant.place().pass } -> std::convertible_to<std::uint64_t>;
  source.restore(constant.place());
};

}  // namespace tacit::inline v0
