#pragma once

#include <algorithm>
#include <cstdint>

#include "tacit/callbacks/averaging.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/metric/tags.hpp"

namespace tacit::inline v0 {

/// An exponential moving average of the model's weights, taken after every update, and evaluations of it.
///
/// average = d * average + (1 - d) * weights, where d is `decay`, or (1 + n) / (10 + n) after n updates while that is less
/// and `warmup` is on. Updates that a mask leaves out change nothing (one on a device counts for the warmup).
/// Evaluations of the average run at the end of epochs; what
/// they record is named "ema/eval_loss", "ema/accuracy" and so on, and callbacks see an eval set of the name "ema".
/// The average goes on in the next run; where the weights are others than those that the run left, it begins anew.
/// Requires: a task of one phase.
/// Throws: ConfigError when the trainer is made, for a decay outside [0, 1).
/// Example: CallbackPack{default_callbacks, Ema{.decay = 0.9999}, EarlyStopping<on<"ema", tag::eval_loss>>{}}
struct Ema {
  using events = event::list<event::TrainingRunEpochStart, event::ParametersChanged, event::UpdateEnd, event::TrainEpochEnd,
                             event::TrainingRunEnd, event::Aborted<stage::TrainingRun>>;
  using evaluates_as = tacit::evaluates_as<"ema">;

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

  explicit bound(Ema const& config) : config_{config}, averaging_{"ema", config.evaluate_every, "Ema::evaluate_every"} {
    if (!(config_.decay >= 0.0 && config_.decay < 1.0)) {
      throw ConfigError{"TACIT-RC57", "the decay is not a number from 0 to below 1", "Ema::decay", "give 0.999 or so"};
    }
  }

  void on(event::TrainingRunEpochStart const&, auto& context) { begin(context); }
  void on(event::ParametersChanged const&, auto& context) { averaging_.follow(context); }

  void on(event::UpdateEnd const&, auto& context) {
    begin(context);
    double const n = static_cast<double>(updates_);
    double const kept = config_.warmup ? std::min(config_.decay, (1.0 + n) / (10.0 + n)) : config_.decay;
    auto const* mask = context.update_mask();
    if (mask != nullptr && traits::host_readable(*mask) && traits::read(*mask) != 0.0) return;
    averaging_.average().update(1.0 - kept, mask);
    ++updates_;
  }

  void on(event::TrainEpochEnd const& event, auto& context) {
    begin(context);
    averaging_.evaluate(event, context);
  }
  void on(event::TrainingRunEnd const&, auto& context) {
    begin(context);
    if (config_.leave_averaged) averaging_.leave(context);
    averaging_.end(context);
  }
  void on(event::Aborted<stage::TrainingRun> const&, auto& context) { averaging_.abort(context); }

  static void visit_config(auto& self, auto&& visit) { Ema::visit_config(self.config_, visit); }
  static void state_loaded(auto& self) noexcept { self.averaging_.state_loaded(); }
  static void visit_state(auto& self, auto&& visit) {
    visit("updates", self.updates_);
    detail::averaging<Composition>::visit_state(self.averaging_, visit);
  }

 private:
  void begin(auto& context) {
    if (averaging_.begin(context)) updates_ = 0;
  }

  using traits = tensor_traits<typename Composition::tensor_type>;

  Ema config_;
  detail::averaging<Composition> averaging_;
  std::int64_t updates_ = 0;  // that were applied, as far as the host knows
};

}  // namespace tacit::inline v0
