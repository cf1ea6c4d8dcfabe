#pragma once

#include <chrono>
#include <utility>

#include "tacit/core/units.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/train/recorded.hpp"

namespace tacit::inline v0 {

/// What an evaluation found: `result[tag::accuracy{}]`.
class EvalResult {
 public:
  explicit EvalResult(History metrics) : metrics_{std::move(metrics)} {}

  /// The value of a metric.
  /// Throws: UsageError that lists what was recorded, if this was not.
  template <class Tag>
  double operator[](Tag const& tag) const {
    return metrics_.latest(tag);
  }
  History const& metrics() const& noexcept { return metrics_; }
  History metrics() const&& { return metrics_; }

 private:
  History metrics_;
};

/// How a training run ended; `result[tag::eval_loss{}]` is the last value of a metric.
class RunResult {
 public:
  StopReason reason = StopReason::completed;
  Epochs epochs{};  ///< begun
  Updates updates{};
  MicroBatches micro_batches{};
  Samples samples{};  ///< over all ranks
  std::chrono::nanoseconds duration{};
  History metrics{};  ///< of this run

  /// Throws: UsageError that lists what was recorded, if this was not.
  template <class Tag>
  double operator[](Tag const& tag) const {
    return metrics.latest(tag);
  }
};

namespace detail {

/// Closes a run's entry in the history and tells how it went.
template <class Core, class Pass>
RunResult end_run(Core& core, Pass const& pass) {
  tell_missing_metrics(core, false, true, typename Core::composition::watched_tags{});
  core.history().end_run(pass.reason(), pass.updates());
  RunResult result;
  result.reason = pass.reason();
  result.epochs = pass.epochs_begun();
  result.updates = pass.updates();
  result.micro_batches = core.progress().micro_batches;
  result.samples = core.progress().samples;
  result.duration = pass.elapsed();
  result.metrics = core.history().last_run();
  return result;
}

}  // namespace detail
}  // namespace tacit::inline v0
