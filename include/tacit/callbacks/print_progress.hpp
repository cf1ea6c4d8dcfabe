#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "tacit/callbacks/epoch_line.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/events/progress.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

/// Says what a run is going to do when it starts, and what it did and why it ended when it ends; on the main process.
///
/// It also says when each epoch and each evaluation is done, where neither LogMetrics nor ProgressBar stands in the pack.
struct PrintProgress {
  using events = event::list<event::TrainingRunStart, event::TrainingRunEpochStart, event::TrainingRunEpochEnd, event::TrainingRunEnd,
                             event::EvaluationRunStart, event::EvaluationRunEnd, event::Aborted<stage::TrainingRun>>;

  template <class Composition>
  class bound;

  static void visit_config(auto&, auto&&) {}
};

template <class Composition>
class PrintProgress::bound {
  static constexpr bool leaves_line = detail::writes_epoch_line<Composition, LogMetrics, ProgressBar>;

 public:
  using events = PrintProgress::events;

  explicit bound(PrintProgress const&) {}

  void on(event::TrainingRunStart const&, auto& context) {
    follow_run(context);
    if (context.is_main_process()) report::write_line(context.sink(), plan_text(context.plan()));
  }
  void on(event::TrainingRunEpochStart const&, auto& context) {
    follow_run(context);
    epoch_began_ = clock::now();
    ++epochs_;
  }
  void on(event::TrainingRunEpochEnd const& event, auto& context) {
    follow_run(context);
    if (!leaves_line || !context.is_main_process()) return;
    report::write_line(context.sink(), detail::epoch_title(context.plan(), event.epoch) + " done in " + since(epoch_began_));
  }
  void on(event::TrainingRunEnd const& event, auto& context) {
    follow_run(context);
    if (!context.is_main_process()) return;
    bool const planned = event.reason == StopReason::completed;
    std::string text = done_text(planned ? "trained " : "stopped after ", context.progress());
    if (!planned) text.append(": ").append(to_string(event.reason));
    report::write_line(context.sink(), text);
  }
  void on(event::Aborted<stage::TrainingRun> const& event, auto& context) {
    follow_run(context);
    if (!context.is_main_process()) return;
    report::write_line(context.sink(), done_text("failed after ", context.progress()) + ": " + std::string{event.what});
  }

  void on(event::EvaluationRunStart const&, auto& context) { follow_run(context); }
  void on(event::EvaluationRunEnd const&, auto& context) {
    follow_run(context);
    if (leaves_line && context.is_main_process()) report::write_line(context.sink(), "evaluated in " + since(run_began_));
  }

  static void visit_config(auto&, auto&&) {}

 private:
  using clock = std::chrono::steady_clock;

  void follow_run(auto& context) {
    if (!run_.is_new(context)) return;
    run_began_ = clock::now();
    epoch_began_ = run_began_;
    epochs_ = 0;
  }

  static std::string since(clock::time_point start) {
    return report::duration_text(std::chrono::duration<double>(clock::now() - start).count());
  }

  static std::string plan_text(RunPlan const& plan) {
    std::string text = "[tacit] training";
    char const* separator = " ";
    auto add = [&](std::string const& part) {
      text.append(separator).append(part);
      separator = ", ";
    };
    if (plan.epochs.is_set()) {
      add("for " + report::count_text(plan.epochs.value(), "epoch"));
      if (plan.updates_per_epoch.is_set()) text.append(" of ").append(report::count_text(plan.updates_per_epoch.value(), "update"));
      bool const cut = plan.updates.is_set() && !(plan.updates_per_epoch.is_set() && plan.updates.value() == plan.epochs.value() * plan.updates_per_epoch.value());
      if (cut) add("at most " + report::count_text(plan.updates.value(), "update"));
    } else if (plan.updates.is_set()) {
      add("for " + report::count_text(plan.updates.value(), "update"));
    }
    if (plan.total_batch_size.is_set()) add(report::count_text(plan.total_batch_size.value(), "sample") + " an update");
    add("on " + plan.device);
    add(plan.precision);
    if (plan.world_size > 1) add(report::count_text(plan.world_size, "rank"));
    return text;
  }

  std::string done_text(std::string_view how, Progress const& progress) const {
    std::string text = "[tacit] ";
    text.append(how).append(report::count_text(epochs_, "epoch")).append(", ").append(report::count_text(progress.updates.value(), "update"));
    return text.append(" in ").append(since(run_began_));
  }

  detail::RunWatch run_{};  // a When may hold start events back
  clock::time_point run_began_{};
  clock::time_point epoch_began_{};
  std::int64_t epochs_ = 0;
};

}  // namespace tacit::inline v0
