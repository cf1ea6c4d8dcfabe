#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/task/task.hpp"
#include "tacit/task/weight_average.hpp"

namespace tacit::inline v0 {

/// An exponential moving average of the model's weights, taken after every update, and evaluations of it.
///
/// average = d * average + (1 - d) * weights, where d is `decay`, or (1 + n) / (10 + n) after n updates while that is less
/// and `warmup` is on. Updates that a mask leaves out do not count. Evaluations of the average run at the end of epochs; what
/// they record is named "ema/eval_loss", "ema/accuracy" and so on, and callbacks see an eval set of the name "ema".
/// Requires: a task of one phase.
/// Throws: ConfigError when the trainer is made, for a decay outside [0, 1).
/// Example: CallbackPack{default_callbacks, Ema{.decay = 0.9999}, EarlyStopping<on<"ema", tag::eval_loss>>{}}
struct Ema {
  using events = event::list<event::TrainingRunStart, event::UpdateEnd, event::TrainEpochEnd, event::TrainingRunEnd>;
  using records = tacit::records<on<"ema", tag::eval_loss>>;

  double decay = 0.999;
  bool warmup = true;
  Epochs evaluate_every = 1;     ///< 0: never; it takes a run with an eval set
  bool leave_averaged = false;   ///< true: the model has the averaged weights after the run, for good

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) {
    visit("decay", self.decay);
    visit("warmup", self.warmup);
    visit("evaluate_every", self.evaluate_every);
    visit("leave_averaged", self.leave_averaged);
  }
};

template <class Composition>
class Ema::bound {
 public:
  using events = Ema::events;

  explicit bound(Ema const& config) : config_{config} {
    if (!(config_.decay >= 0.0 && config_.decay < 1.0)) {
      throw ConfigError{"TACIT-RC57", "the decay is not a number from 0 to below 1", "Ema::decay", "give 0.999 or so"};
    }
  }

  void on(event::TrainingRunStart const& event, auto& context) {
    evaluates_ = event.has_evaluation && config_.evaluate_every.value() > 0;
    if (!average_) average_.emplace(context.trainer().model());
  }

  void on(event::UpdateEnd const&, auto& context) {
    double const n = static_cast<double>(updates_);
    double const kept = config_.warmup ? std::min(config_.decay, (1.0 + n) / (10.0 + n)) : config_.decay;
    auto const* mask = context.update_mask();
    if (mask != nullptr && traits::host_readable(*mask) && traits::read(*mask) != 0.0) return;
    average_->update(1.0 - kept, mask);
    ++updates_;
  }

  void on(event::TrainEpochEnd const& event, auto& context) {
    if (!evaluates_ || (event.epoch.value() + 1) % config_.evaluate_every.value() != 0) return;
    auto const averaged = average_->swap();
    context.evaluate("ema");
  }

  void on(event::TrainingRunEnd const&, auto&) {
    if (config_.leave_averaged) average_->apply();
  }

  static void visit_config(auto& self, auto&& visit) { Ema::visit_config(self.config_, visit); }
  static void visit_state(auto& self, auto&& visit) {
    visit("updates", self.updates_);
    if (self.average_) std::remove_cvref_t<decltype(*self.average_)>::visit_state(*self.average_, visit);
  }

 private:
  using traits = tensor_traits<typename Composition::tensor_type>;
  using model_type = std::remove_cvref_t<decltype(detail::task_model<0>(std::declval<typename Composition::task&>()))>;

  Ema config_;
  std::optional<WeightAverage<model_type>> average_{};
  std::int64_t updates_ = 0;  // that were applied, as far as the host knows
  bool evaluates_ = false;
};

}  // namespace tacit::inline v0
