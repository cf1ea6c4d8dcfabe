#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>

#include "tacit/core/error.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/task/field.hpp"

namespace tacit::inline v0 {

/// Multiplies the learning rate of the first phase's optimizer by `factor` once a metric has not improved for more than `patience`
/// epochs in a row.
///
/// A value is an improvement if it is better than the best one, in the direction of the tag, by more than `threshold`; a NaN is none.
/// Epochs that record no value do not count, nor do `cooldown` epochs after a reduction. The rate never falls below `lowest`.
/// Throws: ConfigError when the trainer is made, for a factor outside (0, 1) or a bound that is negative or no number.
template <metric_tag Tag>
struct ReduceOnPlateau {
  using events = event::list<event::TrainingRunStart, event::TrainingRunEpochEnd>;
  using watches = tacit::watches<Tag>;
  static constexpr bool acts_on_all_ranks = true;

  double factor = 0.1;
  Epochs patience = 10;
  double threshold = 1e-4;
  Epochs cooldown = 0;
  double lowest = 0.0;

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) {
    visit("factor", self.factor);
    visit("patience", self.patience);
    visit("threshold", self.threshold);
    visit("cooldown", self.cooldown);
    visit("lowest", self.lowest);
  }
};

template <metric_tag Tag>
template <class Composition>
class ReduceOnPlateau<Tag>::bound {
 public:
  using events = ReduceOnPlateau::events;

  explicit bound(ReduceOnPlateau const& config) : config_{config} {
    if (!(config_.factor > 0.0 && config_.factor < 1.0)) {
      throw ConfigError{"TACIT-RC77", "the factor is not between 0 and 1", "ReduceOnPlateau::factor", "give 0.1 for a tenth"};
    }
    if (!(config_.threshold >= 0.0 && config_.lowest >= 0.0) || std::isinf(config_.threshold) || std::isinf(config_.lowest)) {
      throw ConfigError{"TACIT-RC78", "`threshold` or `lowest` is not a finite number of 0 or more", "ReduceOnPlateau", "give 0 or more"};
    }
    if (!config_.patience.is_set() || !config_.cooldown.is_set()) {
      throw ConfigError{"TACIT-RC79", "`patience` or `cooldown` is not given", "ReduceOnPlateau", "give a number of epochs"};
    }
  }

  void on(event::TrainingRunStart const&, auto& context) { seen_ = context.history().values(Tag{}).size(); }

  void on(event::TrainingRunEpochEnd const&, auto& context) {
    auto const values = context.history().values(Tag{});
    // An adapter may hold the start event back: the last value is then one of an earlier run.
    if (values.size() == seen_ || !detail::is_of_last_run(values, context.history())) return;
    seen_ = values.size();
    double const value = values.back().value;
    if (std::isnan(best_) ? !std::isnan(value) : Tag::direction::better(value, best_) && std::abs(value - best_) > config_.threshold) {
      best_ = value;
      epochs_without_ = 0;
    } else {
      epochs_without_ = epochs_without_.value() + 1;
    }
    if (cooling_.value() > 0) {
      cooling_ = cooling_.value() - 1;
      epochs_without_ = 0;
    }
    if (epochs_without_ <= config_.patience) return;
    reduce(context.trainer().optimizer());
    cooling_ = config_.cooldown;
    epochs_without_ = 0;
  }

  static void visit_config(auto& self, auto&& visit) { ReduceOnPlateau::visit_config(self.config_, visit); }
  /// How many values it has seen follows from the history.
  static void visit_state(auto& self, auto&& visit) {
    visit("best", self.best_);
    visit("epochs_without", self.epochs_without_);
    visit("cooling", self.cooling_);
  }

 private:
  template <class Optimizer>
  void reduce(Optimizer& optimizer) const {
    if constexpr (!detail::has_field<"lr", Optimizer>) {
      detail::report(bad<misuse::EO06, Optimizer>{});
    } else {
      detail::for_each_group(optimizer, [this](std::string_view, auto& one) {
        double const rate = detail::read_field<"lr">(one);
        double const reduced = rate * config_.factor;
        if (rate > config_.lowest) detail::write_field<"lr">(one, reduced > config_.lowest ? reduced : config_.lowest);
      });
    }
  }

  ReduceOnPlateau config_;
  double best_ = std::numeric_limits<double>::quiet_NaN();
  Epochs epochs_without_ = 0;
  Epochs cooling_ = 0;
  std::size_t seen_ = 0;
};

}  // namespace tacit::inline v0
