#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

/// Ends the run once a metric has not improved for `patience` epochs in a row.
///
/// A value is an improvement if it is better than the best one, in the direction of the tag, by more than `threshold`.
/// A NaN is no improvement, and any number is one on a NaN that came first. Epochs that record no value do not count.
/// Throws: ConfigError when the trainer is made, for a patience of 0 or a threshold that is negative or no number.
template <metric_tag Tag>
struct EarlyStopping {
  using events = event::list<event::TrainingRunStart, event::TrainingRunEpochEnd, event::StopRequested>;
  using watches = tacit::watches<Tag>;

  Epochs patience = 1;
  double threshold = 0.01;
  bool reset_on_train = true;  ///< each run starts anew; false: a run goes on where the one before it stood

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) {
    visit("patience", self.patience);
    visit("threshold", self.threshold);
    visit("reset_on_train", self.reset_on_train);
  }
};

template <metric_tag Tag>
template <class Composition>
class EarlyStopping<Tag>::bound {
 public:
  using events = EarlyStopping::events;

  explicit bound(EarlyStopping const& config) : config_{config} {
    if (config_.patience.value() < 1) {
      throw ConfigError{"TACIT-RC80", "0 epochs without improvement are no reason to stop", "EarlyStopping::patience", "give 1 or more"};
    }
    if (!(config_.threshold >= 0.0) || std::isinf(config_.threshold)) {
      throw ConfigError{"TACIT-RC81", "the threshold is not a finite number of 0 or more", "EarlyStopping::threshold",
                        "give the smallest change that counts as an improvement"};
    }
  }

  void on(event::TrainingRunStart const&, auto& context) {
    seen_ = context.history().values(Tag{}).size();
    follow_run(context);
  }

  Flow on(event::TrainingRunEpochEnd const&, auto& context) {
    follow_run(context);
    auto const values = context.history().values(Tag{});
    if (values.size() == seen_ || !detail::is_of_last_run(values, context.history())) return Flow::proceed;
    seen_ = values.size();
    double const value = values.back().value;
    if (!has_value_ || improves(value)) {
      best_ = value;
      epochs_without_ = 0;
    } else {
      epochs_without_ = epochs_without_.value() + 1;
    }
    has_value_ = true;
    wants_stop_ = epochs_without_ >= config_.patience;
    return wants_stop_ ? Flow::stop_run : Flow::proceed;
  }

  // Said here, for at the end of the epoch its metrics are not written yet.
  void on(event::StopRequested const& event, auto& context) {
    follow_run(context);
    if (!wants_stop_ || event.reason != StopReason::callback || !context.is_main_process()) return;
    std::string text = "[tacit] early stopping: ";
    text.append(Tag::name).append(" did not improve on ").append(report::metric_text(best_)).append(" by more than ");
    text.append(report::shortest_text(config_.threshold)).append(" for ").append(report::count_text(epochs_without_.value(), "epoch"));
    report::write_line(context.sink(), text);
  }

  static void visit_config(auto& self, auto&& visit) { EarlyStopping::visit_config(self.config_, visit); }
  /// How many values it has seen follows from the history.
  static void visit_state(auto& self, auto&& visit) {
    visit("best", self.best_);
    visit("has_value", self.has_value_);
    visit("epochs_without", self.epochs_without_);
  }

 private:
  void follow_run(auto& context) {
    if (!run_.is_new(context)) return;
    wants_stop_ = false;
    if (!config_.reset_on_train) return;
    best_ = std::numeric_limits<double>::quiet_NaN();
    epochs_without_ = 0;
    has_value_ = false;
  }
  bool improves(double value) const {
    if (std::isnan(best_)) return !std::isnan(value);
    return Tag::direction::better(value, best_) && std::abs(value - best_) > config_.threshold;
  }

  EarlyStopping config_;
  detail::RunWatch run_{};  // a When may hold the start event back
  double best_ = std::numeric_limits<double>::quiet_NaN();
  bool has_value_ = false;
  Epochs epochs_without_ = 0;
  bool wants_stop_ = false;
  std::size_t seen_ = 0;
};

}  // namespace tacit::inline v0
