#pragma once

#include <chrono>
#include <cstdint>

#include "tacit/core/units.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/limits.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/scopes.hpp"
#include "tacit/train/stop_request.hpp"

namespace tacit::inline v0::detail {

/// Where a training run is and what ends it: its epochs, its limits, what it is asked for, and the stages that are open.
template <class CoreT>
class RunControl {
 public:
  RunControl(CoreT& core, TrainOptions const& options)
      : run_core_{core},
        limits_{options, CoreT::is_single},
        evaluations_{options.evaluation},
        first_epoch_{options.first_epoch.value_or(core.epochs_begun())} {}

  Updates updates() const { return run_core_.progress().updates; }
  UpdateIndex update_index() const { return UpdateIndex{updates().value()}; }
  StopReason reason() const noexcept { return end_.reason(); }
  bool is_stopping() const noexcept { return end_.is_stopping(); }
  std::chrono::nanoseconds elapsed() const { return limits_.elapsed(); }

  // --- stages that are open, from the run inwards: what an exception has to close ---

  void open_stage() noexcept { ++open_stages_; }
  void close_stage() noexcept { --open_stages_; }
  int open_stages() const noexcept { return open_stages_; }
  void enter_training_mode() { modes_.enter(run_core_.task(), true); }
  void leave_training_mode() { modes_.leave(); }

  // --- epochs ---

  bool has_another_epoch() const noexcept { return !end_.is_stopping() && limits_.has_epoch(epochs_begun_); }
  bool begins_another_epoch() {
    if (!has_another_epoch()) return false;
    ++epochs_begun_;
    return true;
  }
  void require_progress() {
    Progress const& progress = run_core_.progress();
    if (!end_.is_stopping()) limits_.require_progress(progress.updates.value() != updates_before_, progress.samples.value() != samples_before_);
  }
  std::int64_t epochs_begun() const noexcept { return epochs_begun_; }
  bool epoch_is_over() const noexcept { return end_.is_epoch_over(); }
  MicroBatches epoch_steps() const { return run_core_.progress().step.value(); }
  Updates epoch_updates() const { return updates().value() - updates_before_; }

 protected:
  /// Returns: the epoch in the order of the data, which goes on from run to run.
  EpochIndex begin_epoch_of_data() {
    Progress& progress = run_core_.progress();
    progress.step = MicroBatchIndex{0};
    updates_before_ = progress.updates.value();
    samples_before_ = progress.samples.value();
    end_.begin_epoch();
    EpochIndex const of_data{first_epoch_ + progress.epoch.value()};
    run_core_.epochs_begun() = of_data.value() + 1;
    return of_data;
  }
  /// What this rank asks for; on several ranks the end of the time is a request.
  StopRequest own_stop() const {
    StopRequest const request = run_core_.pending_stop();
    return !request.ends_run() && limits_.is_out_of_time() ? StopRequest::end_run(StopReason::limit) : request;
  }
  void heed_end_of_epoch(StopRequest request) {
    if (!request.ends_epoch()) return;
    end_.end_epoch();
    run_core_.stop_done(request);
  }

 private:
  CoreT& run_core_;

 protected:
  Limits limits_;
  RunEnd end_{};
  EvaluationTimes evaluations_;

 private:
  std::int64_t first_epoch_;
  std::int64_t epochs_begun_ = 0;
  std::int64_t updates_before_ = 0;
  std::int64_t samples_before_ = 0;
  int open_stages_ = 0;
  ModeScope<typename CoreT::task_type> modes_{};
};

}  // namespace tacit::inline v0::detail
