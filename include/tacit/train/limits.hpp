#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/events/progress.hpp"
#include "tacit/train/options.hpp"

namespace tacit::inline v0::detail {

/// What ends a run: its epochs, and the limits of its options. The first one reached does.
class Limits {
 public:
  /// `is_single`: on several ranks clocks differ, and the end of the time is agreed on as a stop request.
  Limits(TrainOptions const& options, bool is_single)
      : epochs_{options.epochs.value_or(none)},
        updates_{options.limit.updates.value_or(none)},
        micro_batches_{options.limit.micro_batches.value_or(none)},
        samples_{options.limit.samples.value_or(none)},
        tokens_{options.limit.tokens.value_or(none)},
        duration_{options.limit.duration},
        looks_at_clock_{is_single && duration_.count() > 0},
        has_others_{micro_batches_ != none || samples_ != none || tokens_ != none || duration_.count() > 0},
        started_{std::chrono::steady_clock::now()} {}

  /// Throws: ConfigError for a limit in tokens of a task whose steps state none.
  void require_tokens(bool are_stated) const {
    if (are_stated || tokens_ == none) return;
    throw ConfigError{"TACIT-RC62", "a limit in tokens, but the task's step states no `weight`", "TrainOptions::limit.tokens",
                      "return a struct with a member `weight`, or limit another unit"};
  }
  bool has_epoch(std::int64_t index) const noexcept { return index < epochs_; }
  /// At the end of an update.
  bool are_reached(Progress const& progress) const { return progress.updates.value() >= updates_ || (has_others_ && others_are_reached(progress)); }
  /// False where only the count of updates can have been reached: most runs have no other limit.
  bool has_others() const noexcept { return has_others_; }
  bool updates_are_reached(Updates updates) const noexcept { return updates.value() >= updates_; }

  /// At the end of an epoch. Throws: DataError where ten in a row brought no limit nearer, so that the run would have no end.
  void require_progress(bool is_updated, bool has_samples) {
    bool const is_nearer = is_updated || micro_batches_ != none || duration_.count() > 0 || (samples_ != none && has_samples);
    idle_epochs_ = is_nearer ? 0 : idle_epochs_ + 1;
    if (epochs_ != none || idle_epochs_ < 10) return;
    throw DataError{"TACIT-RD17", "ten epochs in a row made no update: every batch was left out or weighs nothing, and the run would have no end",
                    "the training data", "look at what leaves the batches out, or give TrainOptions::epochs"};
  }

  std::int64_t micro_batches_left(Progress const& progress) const noexcept {
    return micro_batches_ == none ? none : std::max<std::int64_t>(1, micro_batches_ - progress.micro_batches.value());
  }
  std::chrono::nanoseconds elapsed() const { return std::chrono::steady_clock::now() - started_; }
  bool is_out_of_time() const { return duration_.count() > 0 && elapsed() >= duration_; }

 private:
  static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();

  bool others_are_reached(Progress const& progress) const {
    return progress.micro_batches.value() >= micro_batches_ || progress.samples.value() >= samples_ || progress.tokens.value() >= tokens_ ||
           (looks_at_clock_ && is_out_of_time());
  }

  std::int64_t epochs_;
  std::int64_t updates_;
  std::int64_t micro_batches_;
  std::int64_t samples_;
  std::int64_t tokens_;
  std::chrono::nanoseconds duration_;
  bool looks_at_clock_;
  bool has_others_;
  int idle_epochs_ = 0;
  std::chrono::steady_clock::time_point started_;
};

/// Whether a run or its epoch is over, and why.
class RunEnd {
 public:
  bool is_stopping() const noexcept { return is_stopping_; }
  bool is_epoch_over() const noexcept { return is_epoch_over_; }
  StopReason reason() const noexcept { return reason_; }
  void begin_epoch() noexcept { is_epoch_over_ = false; }
  void end_epoch() noexcept { is_epoch_over_ = true; }
  /// Ends the run. Returns: false if it was ending already.
  bool stop(StopReason reason) noexcept {
    // A bad loss may be found out after a limit was reached: it is the reason that a caller must know.
    if (!is_stopping_ || reason == StopReason::non_finite) reason_ = reason;
    is_epoch_over_ = true;
    return !std::exchange(is_stopping_, true);
  }

 private:
  bool is_stopping_ = false;
  bool is_epoch_over_ = false;
  StopReason reason_ = StopReason::completed;
};

/// When the eval sets of a run are evaluated.
class EvaluationTimes {
 public:
  explicit EvaluationTimes(EvaluationPlan const& plan) : every_epochs_{plan.every_epochs.value_or(1)}, every_updates_{plan.every_updates.value_or(0)} {}
  bool are_after_epoch(EpochIndex epoch) const noexcept { return every_epochs_ > 0 && (epoch.value() + 1) % every_epochs_ == 0; }
  bool are_after_update(Updates updates) const noexcept { return every_updates_ > 0 && updates.value() % every_updates_ == 0; }
  bool are_never() const noexcept { return every_epochs_ == 0 && every_updates_ == 0; }

 private:
  std::int64_t every_epochs_;
  std::int64_t every_updates_;
};

}  // namespace tacit::inline v0::detail
