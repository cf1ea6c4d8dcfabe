#pragma once

#include <cstdint>

#include "tacit/callbacks/averaging.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/metric/tags.hpp"

namespace tacit::inline v0 {

/// Stochastic weight averaging (Izmailov et al., 2018): the mean of the weights at the end of epochs, from epoch `start` on.
///
/// The mean is evaluated after each epoch that it takes in; what that records is named "swa/eval_loss", "swa/accuracy" and so
/// on. Running statistics of norms are averaged with the weights; before the first mean nothing is evaluated. The schedule of the
/// rate is the run's: `lr(cosine().then(constant(0.05).over(Epochs{5})))` say.
/// The mean goes on in the next run; where the weights are others than those that the run left, it begins anew.
/// Requires: a task of one phase. Throws: ConfigError when the trainer is made, for `every` 0.
/// Example: CallbackPack{default_callbacks, Swa{.start = 10}}
struct Swa {
  using events = event::list<event::TrainingRunEpochStart, event::ParametersChanged, event::TrainEpochEnd,
                             event::TrainingRunEnd, event::Aborted<stage::TrainingRun>>;
  using evaluates_as = tacit::evaluates_as<"swa">;

  Epochs start = 0;            ///< epochs of a run that are left out at its start
  Epochs every = 1;
  bool evaluates = true;       ///< it takes a run with an eval set
  bool leave_averaged = true;  ///< true: the model has the mean after the run, for good

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) {
    visit("start", self.start);
    visit("every", self.every);
    visit("evaluates", self.evaluates);
    visit("leave_averaged", self.leave_averaged);
  }
};

template <class Composition>
class Swa::bound {
 public:
  using events = Swa::events;

  explicit bound(Swa const& config) : config_{config}, averaging_{"swa", config.evaluates ? 1 : 0, "Swa::evaluates"} {
    if (config_.every.value_or(0) < 1) {
      throw ConfigError{"TACIT-RC68", "weights are to be averaged every 0 epochs", "Swa::every", "give 1 or more"};
    }
  }

  void on(event::TrainingRunEpochStart const&, auto& context) { begin(context); }
  void on(event::ParametersChanged const&, auto& context) { averaging_.follow(context); }

  void on(event::TrainEpochEnd const& event, auto& context) {
    begin(context);
    std::int64_t const since = event.epoch.value() - config_.start.value_or(0);
    if (since < 0 || since % config_.every.value() != 0) return;
    averaging_.average().update(1.0 / static_cast<double>(++taken_));
    averaging_.evaluate(event, context);
  }
  void on(event::TrainingRunEnd const&, auto& context) {
    begin(context);
    if (config_.leave_averaged && taken_ > 0) averaging_.leave(context);
    averaging_.end(context);
  }
  void on(event::Aborted<stage::TrainingRun> const&, auto& context) { averaging_.abort(context); }

  static void visit_config(auto& self, auto&& visit) { Swa::visit_config(self.config_, visit); }
  static void state_loaded(auto& self) noexcept { self.averaging_.state_loaded(); }
  static void visit_state(auto& self, auto&& visit) {
    visit("taken", self.taken_);
    detail::averaging<Composition>::visit_state(self.averaging_, visit);
  }

 private:
  void begin(auto& context) {
    if (averaging_.begin(context)) taken_ = 0;
  }

  Swa config_;
  detail::averaging<Composition> averaging_;
  std::int64_t taken_ = 0;  // epochs in the mean
};

}  // namespace tacit::inline v0
