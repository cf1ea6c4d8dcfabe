#pragma once

#include <algorithm>
#include <cstdint>

#include "tacit/concepts/dataset.hpp"
#include "tacit/core/units.hpp"
#include "tacit/train/make_source.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/planned.hpp"
#include "tacit/train/result.hpp"

namespace tacit::inline v0 {

// What a run knows before it begins: its plan.

namespace detail {

/// `batches`, or `limit` where that is set and smaller.
inline std::int64_t limited(std::int64_t batches, MicroBatches limit) { return std::min(batches, limit.value_or(batches)); }

template <class Core>
RunPlan base_plan(Core& core) {
  RunPlan plan;
  plan.rank = core.rank();
  plan.local_rank = core.distribution().local_rank();
  plan.world_size = core.world_size();
  plan.is_main_process = plan.rank == 0;
  plan.is_local_main_process = plan.local_rank == 0;
  plan.is_distributed = plan.world_size > 1;
  plan.device = core.device().name();
  plan.precision = core.precision().name();
  plan.distribution = core.distribution().name();
  return plan;
}
template <class Core, class Source>
void plan_training(Core& core, Source const& source, TrainOptions const& options) {
  RunPlan plan = base_plan(core);
  plan.epochs = options.epochs;
  plan.gradient_accumulation = options.gradient_accumulation;
  plan.clip_norm = options.clip.norm;
  plan.clip_value = options.clip.value;
  plan.seed = options.seed.value_or(0);
  plan.per_device_batch_size = batch_size_of(source);
  if (plan.per_device_batch_size.is_set()) {
    plan.total_batch_size = known_product<unit::sample>(plan.per_device_batch_size.value(), plan.world_size, options.gradient_accumulation.value());
  }
  if constexpr (sized_batch_source<Source>) {
    std::int64_t const batches = limited(source.size(plan.world_size), core.batch_limits().train);
    std::int64_t const window = options.gradient_accumulation.value();
    plan.micro_batches_per_epoch = batches;
    plan.updates_per_epoch = quotient_up(batches, window);
    plan.updates = planned_updates(source, {batches, window}, options);
  } else {
    plan.updates = options.limit.updates;
  }
  core.plan() = plan;
}
template <class Core, class Source>
void plan_evaluation(Core& core, Source& source, MicroBatches limit = unset) {
  RunPlan& plan = core.plan();
  plan.eval_per_device_batch_size = batch_size_of(source);
  if (plan.eval_per_device_batch_size.is_set()) {
    plan.eval_total_batch_size = known_product<unit::sample>(plan.eval_per_device_batch_size.value(), plan.world_size);
  }
  if constexpr (sized_batch_source<Source>) {
    plan.eval_batches = limited(limited(source.size(plan.world_size), core.batch_limits().eval), limit);
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
