#pragma once

#include <chrono>
#include <utility>

#include "tacit/core/units.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/train/recorded.hpp"

namespace tacit::inline v0 {

namespace detail {
/// The latest value of every metric, behind `before`; nothing where there is none.
template <class Stream>
void write_latest(Stream& out, History const& metrics, char const* before) {
  for (HistoryColumn const& column : metrics.columns()) {
    if (column.entries.empty()) continue;
    out << before << column.name << ' ' << column.entries.back().value;
    before = ", ";
  }
}
}  // namespace detail

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

  /// `eval_loss 0.25, accuracy 0.9`.
  template <detail::output_stream Stream>
  friend Stream& operator<<(Stream& out, EvalResult const& result) {
    detail::write_latest(out, result.metrics_, "");
    return out;
  }

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
  /// `completed after 2 epochs, 8 updates: train_loss 0.25, eval_loss 0.5`.
  template <detail::output_stream Stream>
  friend Stream& operator<<(Stream& out, RunResult const& result) {
    out << result.reason << " after " << result.epochs << " epochs, " << result.updates << " updates";
    detail::write_latest(out, result.metrics, ": ");
    return out;
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
