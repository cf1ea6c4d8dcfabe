#pragma once

#include <chrono>
#include <utility>

#include "tacit/core/units.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/train/recorded.hpp"
#include "tacit/train/stop_request.hpp"

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
  explicit EvalResult(History metrics, StopReason reason = StopReason::completed)
      : metrics_{std::move(metrics)}, reason_{reason} {}

  /// `completed`, or the reason of the stop request that ended the evaluation before its last batch. The metrics are
  /// then those of the batches until there.
  StopReason reason() const noexcept { return reason_; }
  bool is_complete() const noexcept { return reason_ == StopReason::completed; }

  /// The value of a metric.
  /// Throws: UsageError that lists what was recorded, if this was not.
  template <class Tag>
  double operator[](Tag const& tag) const {
    return metrics_.latest(tag);
  }
  History const& metrics() const& noexcept { return metrics_; }
  History metrics() const&& { return metrics_; }

  /// `eval_loss 0.25, accuracy 0.9`; where it is not complete, `eval_loss 0.25 (cut short: stop requested)`.
  template <detail::output_stream Stream>
  friend Stream& operator<<(Stream& out, EvalResult const& result) {
    detail::write_latest(out, result.metrics_, "");
    if (!result.is_complete()) out << " (cut short: " << result.reason_ << ')';
    return out;
  }

 private:
  History metrics_;
  StopReason reason_;
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
    out << result.reason << " after " << result.epochs << (result.epochs.value_or(0) == 1 ? " epoch, " : " epochs, ")
        << result.updates << (result.updates.value_or(0) == 1 ? " update" : " updates");
    detail::write_latest(out, result.metrics, ": ");
    return out;
  }
};

namespace detail {

/// Why an evaluation ended before its last batch, on this rank or on another one; completed for no request.
template <class Core>
StopReason agreed_reason([[maybe_unused]] Core& core, StopRequest request) {
  if constexpr (!Core::is_single) {
    if (core.world_size() > 1) {
      request = StopRequest::of_strength(static_cast<int>(core.distribution().agree(request.strength())));
    }
  }
  if (request.is_none()) return StopReason::completed;
  return request.ends_run() ? request.reason() : StopReason::callback;  // only callbacks end an epoch
}

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
