#pragma once

#include <cstdint>
#include <string>

#include "tacit/core/units.hpp"

namespace tacit::inline v0 {

/// Where a run is. Counts are of this trainer's current run; every update is counted as attempted.
struct Progress {
  EpochIndex epoch{};
  MicroBatchIndex step{};        ///< within the epoch, the micro-batch in work
  MicroBatches micro_batches{};  ///< done in this run, on this process
  Updates updates{};             ///< done in this run
  Samples samples{};             ///< trained on in this run, over all ranks
  Tokens tokens{};               ///< the sum of the step results' weights, where they state one, over all ranks
};

/// How many batches of an epoch are taken at most. A callback that limits them says so by `BatchLimits batch_limits() const`:
/// it is asked before the run is planned, and the smallest of all counts.
struct BatchLimits {
  MicroBatches train = unset;
  MicroBatches eval = unset;
};

/// What a run is going to do, in sound units: fixed when the run starts.
struct RunPlan {
  Epochs epochs = unset;
  Updates updates = unset;                      ///< known if the data tell their size or a limit in updates is given
  Updates updates_per_epoch = unset;            ///< the same on every rank
  MicroBatches micro_batches_per_epoch = unset; ///< of one process
  MicroBatches eval_batches = unset;            ///< of one process
  Samples per_device_batch_size = unset;
  Samples total_batch_size = unset;             ///< samples of one update: per device x ranks x accumulation
  Samples eval_per_device_batch_size = unset;
  Samples eval_total_batch_size = unset;
  MicroBatches gradient_accumulation = 1;
  double clip_norm = 0.0;                       ///< 0: no clipping by norm
  double clip_value = 0.0;                      ///< 0: no clipping by value
  std::uint64_t seed = 0;
  int rank = 0;
  int local_rank = 0;
  int world_size = 1;
  bool is_main_process = true;
  bool is_local_main_process = true;
  bool is_distributed = false;
  std::string device{};
  std::string precision{};
  std::string distribution{};

  static void visit_config(auto& self, auto&& visit) {
    visit("epochs", self.epochs);
    visit("updates", self.updates);
    visit("updates_per_epoch", self.updates_per_epoch);
    visit("micro_batches_per_epoch", self.micro_batches_per_epoch);
    visit("eval_batches", self.eval_batches);
    visit("per_device_batch_size", self.per_device_batch_size);
    visit("total_batch_size", self.total_batch_size);
    visit("eval_per_device_batch_size", self.eval_per_device_batch_size);
    visit("eval_total_batch_size", self.eval_total_batch_size);
    visit("gradient_accumulation", self.gradient_accumulation);
    visit("clip_norm", self.clip_norm);
    visit("clip_value", self.clip_value);
    visit("seed", self.seed);
    visit("rank", self.rank);
    visit("local_rank", self.local_rank);
    visit("world_size", self.world_size);
    visit("is_main_process", self.is_main_process);
    visit("is_local_main_process", self.is_local_main_process);
    visit("is_distributed", self.is_distributed);
    visit("device", self.device);
    visit("precision", self.precision);
    visit("distribution", self.distribution);
  }
};

}  // namespace tacit::inline v0
