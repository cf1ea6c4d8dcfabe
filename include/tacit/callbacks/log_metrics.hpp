#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "tacit/callbacks/epoch_line.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/events.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

/// A metric that was recorded since the last report.
struct LoggedMetric {
  std::string_view name;
  double value;
  bool of_evaluation;     ///< recorded while an eval set was gone through
  bool is_volatile;       ///< time and throughput
  bool higher_is_better;
};

/// What LogMetrics reports: after an epoch, after an evaluation inside an epoch, or after an evaluation on its own.
struct MetricsReport {
  enum class Kind { epoch, inside_epoch, evaluation };
  Kind kind;
  EpochIndex epoch;
  Updates updates;
  std::chrono::duration<double> duration;         ///< of the epoch or the evaluation
  std::span<LoggedMetric const> metrics;          ///< first those of training, then those of evaluation; in the order of the composition
};

namespace detail {

/// Finds out what is new in the history: every value is reported once, and none that an earlier run or epoch left behind.
template <class Composition>
class MetricsWatch {
 public:
  /// From here on everything is new. Columns of an evaluation on its own are others than those of the history.
  void begin_run(History const& history, EpochIndex epoch) {
    seen_ = sizes_before(history, epoch);
    before_evaluation_.clear();
    of_evaluation_.clear();
    epoch_began_ = clock::now();
    evaluation_began_ = epoch_began_;
  }
  void begin_evaluation(History const& history) {
    before_evaluation_ = sizes(history);
    evaluation_began_ = clock::now();
  }
  void end_evaluation(History const& history) {
    auto const& columns = history.columns();
    of_evaluation_.resize(columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].entries.size() > count(before_evaluation_, i)) of_evaluation_[i] = true;
    }
  }
  void begin_epoch() { epoch_began_ = clock::now(); }

  /// Everything that was not reported yet.
  template <class Context>
  MetricsReport epoch(EpochIndex epoch, Context& context) {
    collect(context.metrics(), seen_);
    return {MetricsReport::Kind::epoch, epoch, context.progress().updates, clock::now() - epoch_began_, found_};
  }
  /// What the evaluation that just ended recorded.
  template <class Context>
  MetricsReport evaluation(MetricsReport::Kind kind, Context& context) {
    collect(context.metrics(), before_evaluation_);
    return {kind, context.progress().epoch, context.progress().updates, clock::now() - evaluation_began_, found_};
  }
  /// The target of an evaluation on its own is empty when it starts.
  void begin_evaluation_run() {
    before_evaluation_.clear();
    of_evaluation_.clear();
    evaluation_began_ = clock::now();
  }

 private:
  using clock = std::chrono::steady_clock;

  static std::vector<std::size_t> sizes(History const& history) {
    std::vector<std::size_t> result;
    for (HistoryColumn const& column : history.columns()) result.push_back(column.entries.size());
    return result;
  }
  /// Without what was recorded in the last run from that epoch on.
  static std::vector<std::size_t> sizes_before(History const& history, EpochIndex epoch) {
    std::int64_t const run = static_cast<std::int64_t>(history.runs().size()) - 1;
    std::vector<std::size_t> result;
    for (HistoryColumn const& column : history.columns()) {
      std::size_t size = column.entries.size();
      while (size > 0 && column.entries[size - 1].run == run && column.entries[size - 1].epoch >= epoch) --size;
      result.push_back(size);
    }
    return result;
  }
  static std::size_t count(std::vector<std::size_t> const& counts, std::size_t i) { return i < counts.size() ? counts[i] : 0; }

  /// The place of a metric among those that the composition's types declare; behind them all where its name is made at run time.
  static std::size_t place(std::string_view name) {
    return [name]<class... Tags>(list<Tags...>) {
      std::size_t at = 0;
      (void)((Tags::name == name ? true : (++at, false)) || ...);
      return at;
    }(typename Composition::recorded_tags{});
  }

  void collect(History const& history, std::vector<std::size_t> const& known) {
    auto const& columns = history.columns();
    std::vector<std::size_t> fresh;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].entries.size() > count(known, i)) fresh.push_back(i);
    }
    of_evaluation_.resize(columns.size());
    std::ranges::sort(fresh, {}, [this, &columns](std::size_t i) { return std::tuple{bool{of_evaluation_[i]}, place(columns[i].name), i}; });
    found_.clear();
    for (std::size_t i : fresh) {
      HistoryColumn const& column = columns[i];
      found_.push_back({column.name, column.entries.back().value, of_evaluation_[i], column.is_volatile, column.higher_is_better});
    }
    seen_.resize(columns.size());
    for (std::size_t i : fresh) seen_[i] = columns[i].entries.size();
  }

  std::vector<std::size_t> seen_{};               // entries of each column that were reported
  std::vector<std::size_t> before_evaluation_{};  // entries of each column when the evaluation began
  std::vector<bool> of_evaluation_{};             // columns that evaluations record
  std::vector<LoggedMetric> found_{};
  clock::time_point epoch_began_{};
  clock::time_point evaluation_began_{};
};

/// Turns reports into lines whose values stand below each other.
class MetricsLine {
 public:
  std::string text(MetricsReport const& found, RunPlan const& plan) {
    std::string line;
    switch (found.kind) {
      case MetricsReport::Kind::epoch: line = epoch_title(plan, found.epoch); break;
      case MetricsReport::Kind::inside_epoch:
        line = epoch_title(plan, found.epoch) + ", update " + std::to_string(found.updates.value());
        break;
      case MetricsReport::Kind::evaluation: line = "evaluation"; break;
    }
    for (LoggedMetric const& metric : found.metrics) {
      if (metric.name == tag::samples_per_second::name) continue;
      std::string const value = report::metric_text(metric.value);
      std::size_t& width = widths_[std::string{metric.name}];
      width = std::max(width, value.size());
      line.append("  ").append(metric.name).append(" ").append(report::right_text(value, width));
    }
    line.append("  ").append(report::right_text(report::duration_text(found.duration.count()), 6));
    for (LoggedMetric const& metric : found.metrics) {
      if (metric.name == tag::samples_per_second::name) line.append("  ").append(report::rate_text(metric.value)).append(" samples/s");
    }
    return line;
  }

 private:
  std::map<std::string, std::size_t, std::less<>> widths_{};
};

using log_metrics_events = event::list<event::TrainingRunStart, event::TrainingRunEpochStart, event::EvalEpochStart, event::EvalEpochEnd,
                                       event::TrainingRunEpochEnd, event::EvaluationRunStart, event::EvaluationRunEnd>;

/// What LogMetrics and LogMetricsTo share; `write(report, context)` does the rest.
template <class Composition, class Write>
class MetricsLog {
 public:
  using events = log_metrics_events;

  explicit MetricsLog(Write write) : write_{std::move(write)} {}

  void on(event::TrainingRunStart const&, auto& context) { follow_run(context); }
  void on(event::TrainingRunEpochStart const&, auto& context) {
    follow_run(context);
    watch_.begin_epoch();
  }
  void on(event::EvalEpochStart const&, auto& context) {
    follow_run(context);
    if (!evaluates_alone_) watch_.begin_evaluation(context.metrics());
  }
  void on(event::EvalEpochEnd const& event, auto& context) {
    follow_run(context);
    watch_.end_evaluation(context.metrics());
    if (!event.intermediate) return;
    auto const found = watch_.evaluation(MetricsReport::Kind::inside_epoch, context);
    if (context.is_main_process()) write_(found, context);
  }
  void on(event::TrainingRunEpochEnd const& event, auto& context) {
    follow_run(context);
    auto const found = watch_.epoch(event.epoch, context);
    if (context.is_main_process()) write_(found, context);
  }
  void on(event::EvaluationRunStart const&, auto& context) { follow_run(context); }
  void on(event::EvaluationRunEnd const&, auto& context) {
    follow_run(context);
    auto const found = watch_.evaluation(MetricsReport::Kind::evaluation, context);
    if (context.is_main_process()) write_(found, context);
  }

  /// What was written down is no part of a run's state: a resumed run writes on.
  static void visit_config(auto&, auto&&) {}

 private:
  void follow_run(auto& context) {
    if (!run_.is_new(context)) return;
    evaluates_alone_ = &context.metrics() != &context.history();
    if (evaluates_alone_) {
      watch_.begin_evaluation_run();
    } else {
      watch_.begin_run(context.history(), context.progress().epoch);
    }
  }

  Write write_;
  MetricsWatch<Composition> watch_{};
  RunWatch run_{};  // a When may hold start events back
  bool evaluates_alone_ = false;
};

struct WriteMetricsLine {
  MetricsLine line{};
  void operator()(MetricsReport const& found, auto& context) { report::write_line(context.sink(), line.text(found, context.plan())); }
};

}  // namespace detail

/// Writes one line an epoch with every metric that was recorded in it, its time and its throughput; one line for each evaluation
/// inside an epoch and for each evaluation on its own. On the main process; after all callbacks that do not run last themselves.
struct LogMetrics {
  using events = detail::log_metrics_events;
  using runs_last = tacit::runs_last;

  template <class Composition>
  class bound : public detail::MetricsLog<Composition, detail::WriteMetricsLine> {
   public:
    explicit bound(LogMetrics const&) : detail::MetricsLog<Composition, detail::WriteMetricsLine>{{}} {}
  };

  static void visit_config(auto&, auto&&) {}
};

/// LogMetrics to another place: calls `write(report, context)` with a MetricsReport on the main process.
///
/// The report ends with the call. Example: `LogMetricsTo{[&](MetricsReport const& report, auto&) { for (auto& m : report.metrics) ...; }}`
template <class Write>
struct LogMetricsTo {
  using events = detail::log_metrics_events;
  using runs_last = tacit::runs_last;

  Write write;

  template <class Composition>
  class bound : public detail::MetricsLog<Composition, Write> {
   public:
    /// Behind std::ref a copy of `write` would be called.
    explicit bound(LogMetricsTo const& config) : detail::MetricsLog<Composition, Write>{config.write} {
      detail::report(bad<misuse::EC31, LogMetricsTo>{});
    }
    explicit bound(LogMetricsTo&& config) : detail::MetricsLog<Composition, Write>{std::move(config.write)} {}
  };

  static void visit_config(auto&, auto&&) {}
};

}  // namespace tacit::inline v0
