#pragma once

#include <algorithm>
#include <cstdint>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/core/units.hpp"
#include "tacit/train/options.hpp"

/// How many updates a run will have, from its epochs and its limits: schedules are laid over them.
namespace tacit::inline v0::detail {

/// An epoch of so many micro-batches; the last window may be shorter.
struct EpochPlan {
  std::int64_t batches;
  std::int64_t window;

  std::int64_t updates(std::int64_t micro_batches) const { return quotient_up(micro_batches, window); }
};

/// The updates until so many micro-batches are done; the window in work is closed early.
inline std::int64_t updates_of_micro_batches(EpochPlan epoch, std::int64_t limit) {
  std::int64_t const full = (limit - 1) / epoch.batches;
  return full * epoch.updates(epoch.batches) + epoch.updates(limit - full * epoch.batches);
}

/// The updates until so many samples are done over all ranks, counted at the end of each update; 0 where there are no samples.
template <class Source>
std::int64_t updates_of_samples(Source const& source, EpochPlan epoch, std::int64_t limit) {
  std::int64_t total = 0;
  for (std::int64_t batch = 0; batch < epoch.batches; ++batch) total += source.global_batch_samples(batch);
  if (total == 0) return 0;
  std::int64_t const full = (limit - 1) / total;
  std::int64_t left = limit - full * total;
  std::int64_t batch = 0;
  while (left > 0) left -= source.global_batch_samples(batch++);
  return full * epoch.updates(epoch.batches) + epoch.updates(batch);
}

/// The fewest updates of those that the epochs and each limit give; unset where none is known. Limits of tokens and of time are not
/// known beforehand.
template <class Source>
Updates planned_updates(Source const& source, EpochPlan epoch, TrainOptions const& options) {
  Updates fewest = options.limit.updates;
  auto const take = [&fewest](std::int64_t updates) { fewest = std::min(updates, fewest.value_or(updates)); };
  if constexpr (sized_batch_source<Source>) {
    if (options.epochs.is_set()) {
      // So many that no count holds them are no plan.
      Updates const of_epochs = known_product<unit::update>(options.epochs.value(), epoch.updates(epoch.batches));
      if (of_epochs.is_set()) take(of_epochs.value());
    }
    if (epoch.batches > 0) {
      if (options.limit.micro_batches.is_set()) take(updates_of_micro_batches(epoch, options.limit.micro_batches.value()));
      if constexpr (planned_batch_source<Source>) {
        if (options.limit.samples.is_set()) {
          if (std::int64_t const updates = updates_of_samples(source, epoch, options.limit.samples.value()); updates > 0) take(updates);
        }
      }
    }
  }
  return fewest;
}

}  // namespace tacit::inline v0::detail
