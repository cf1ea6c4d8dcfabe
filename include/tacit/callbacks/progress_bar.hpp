#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "tacit/callbacks/epoch_line.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/report/progress_bar.hpp"

namespace tacit::inline v0 {

/// Shows how far an epoch or an evaluation is: steps, rate, time to go, smoothed loss; on the main process.
///
/// On a terminal one line that is drawn over, in a log file a line every 10 seconds; the line at the end of an epoch is left to
/// LogMetrics where that stands in the pack. Records the throughput of each train epoch, nested evaluations not counted.
struct ProgressBar {
  using events = event::list<event::TrainEpochStart, event::TrainStepEnd, event::TrainEpochEnd, event::EvalEpochStart, event::EvalStepEnd,
                             event::EvalEpochEnd, event::Aborted<stage::TrainEpoch>, event::Aborted<stage::EvalEpoch>>;
  using records = tacit::records<tag::samples_per_second>;

  report::BarOptions drawing{};

  template <class Composition>
  class bound;

  /// How often it draws makes no difference to a run.
  static void visit_config(auto&, auto&&) {}
};

template <class Composition>
class ProgressBar::bound {
  using traits = tensor_traits<typename Composition::tensor_type>;
  static constexpr bool leaves_line = detail::writes_epoch_line<Composition, LogMetrics>;

 public:
  using events = ProgressBar::events;

  explicit bound(ProgressBar const& options) : train_{Sink::none(), options.drawing}, eval_{Sink::none(), options.drawing} {}

  void on(event::TrainEpochStart const& event, auto& context) {
    began_ = clock::now();
    paused_ = {};
    samples_before_ = context.progress().samples.value();
    if (!context.is_main_process()) return;
    train_.start(context.sink(), detail::epoch_title(context.plan(), event.epoch), event.batches);
    if (context.sink().is_terminal()) train_.draw();
  }
  void on(event::TrainStepEnd const& event, auto& context) { show(train_, event.step, context); }
  void on(event::TrainEpochEnd const&, auto& context) {
    train_.finish(leaves_line);
    double const samples = static_cast<double>(context.progress().samples.value() - samples_before_);
    double const seconds = std::chrono::duration<double>(clock::now() - began_ - paused_).count();
    if (samples > 0.0) context.record(tag::samples_per_second{}, samples / std::max(seconds, 1e-9));  // every rank, whatever its clock says
  }

  void on(event::EvalEpochStart const& event, auto& context) {
    eval_began_ = clock::now();
    train_.pause();
    if (!context.is_main_process()) return;
    std::string label = "evaluation";
    if (!event.set.empty()) label.append(" on ").append(event.set);
    eval_.start(context.sink(), label, event.batches);
    if (context.sink().is_terminal()) eval_.draw();
  }
  void on(event::EvalStepEnd const& event, auto& context) { show(eval_, event.step, context); }
  void on(event::EvalEpochEnd const&, auto&) {
    eval_.finish(leaves_line);
    train_.resume();
    paused_ += clock::now() - eval_began_;
  }

  void on(event::Aborted<stage::TrainEpoch> const&, auto&) { train_.abandon(); }
  void on(event::Aborted<stage::EvalEpoch> const&, auto&) { eval_.abandon(); }

  static void visit_config(auto&, auto&&) {}

 private:
  using clock = std::chrono::steady_clock;

  template <class Context>
  void show(report::ProgressBar& bar, MicroBatchIndex step, Context& context) {
    if (!bar.is_active()) return;
    bool const due = bar.reach(step.value() + 1);
    // Where a read would wait for the device, it is done for a drawing only.
    if (context.log_point() != nullptr) {
      auto const& loss = context.output().loss;
      if (due || traits::host_readable(loss)) bar.observe(traits::read(loss));
    }
    if (due) bar.draw();
  }

  report::ProgressBar train_;
  report::ProgressBar eval_;
  clock::time_point began_{};
  clock::time_point eval_began_{};
  clock::duration paused_{};
  std::int64_t samples_before_ = 0;
};

}  // namespace tacit::inline v0
