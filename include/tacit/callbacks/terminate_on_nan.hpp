#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

/// Ends the run at the first loss that is NaN or infinite; nothing of that update happens, nor of any later one.
///
/// Where host reads are free the run stops at once. Elsewhere nobody waits: a flag on the device masks every update from
/// the bad one on, and the next log point finds out which one it was. An infinite or NaN evaluation loss ends the run too.
/// In a task of several phases those before the bad one have had their part of the update.
struct TerminateOnNaN {
  using events = event::list<event::TrainingRunStart, event::EvaluationRunStart, event::TrainLossComputed, event::TrainStepEnd, event::TrainEpochEnd,
                             event::EvalEpochStart, event::EvalStepEnd, event::EvalEpochEnd>;

  template <class Composition>
  class bound;
};

template <class Composition>
class TerminateOnNaN::bound {
  using tensor_type = typename Composition::tensor_type;
  using traits = tensor_traits<tensor_type>;

  struct Place {
    EpochIndex epoch;
    MicroBatchIndex step;
    UpdateIndex update;
    std::int64_t phase;

    static void visit_state(auto& self, auto&& visit) {
      visit("epoch", self.epoch);
      visit("step", self.step);
      visit("update", self.update);
      visit("phase", self.phase);
    }
  };

 public:
  using events = TerminateOnNaN::events;

  explicit bound(TerminateOnNaN const&) {}

  void on(event::TrainingRunStart const&, auto&) { reset(); }
  void on(event::EvaluationRunStart const&, auto&) { reset(); }

  void on(event::TrainLossComputed const& event, auto& context) { examine(event, {}, context); }
  template <fixed_string Phase>
  void on(event::Of<Phase, event::TrainLossComputed> const& event, auto& context) {
    examine(event, Phase.view(), context);
  }
  // Before the ranks agree on the coming update.
  void on(event::TrainStepEnd const&, auto& context) {
    if (context.log_point() != nullptr) settle(context);
  }
  void on(event::TrainEpochEnd const&, auto& context) { settle(context); }

  void on(event::EvalEpochStart const& event, auto&) {
    eval_set_ = event.set;
    eval_steps_ = 0;
    eval_flagged_ = tensor_type{};
  }
  void on(event::EvalStepEnd const& event, auto& context) {
    if (found_) return;
    auto const& loss = context.output().loss;
    if (traits::host_readable(loss)) {
      double const value = traits::read(loss);
      if (!std::isfinite(value)) stop_for_evaluation(event.step.value(), value_text(value), context);
    } else {
      if (!traits::defined(eval_flagged_)) {
        eval_flag_ = traits::flag_like(0.0, loss);
        eval_flagged_ = traits::scalar_like(0.0, loss);
      }
      traits::max_(eval_flag_, traits::non_finite(loss));
      traits::add_(eval_flagged_, eval_flag_, 1.0);
      eval_steps_ = event.step.value() + 1;
    }
  }
  void on(event::EvalEpochEnd const&, auto& context) {
    if (found_ || !traits::defined(eval_flagged_) || context.log_point() == nullptr) return;
    if (auto const bad = static_cast<std::int64_t>(traits::read(eval_flagged_)); bad > 0) {
      stop_for_evaluation(eval_steps_ - bad, "not finite", context);
    }
  }

  /// Evaluation has no state between its steps that a checkpoint could hold: none is written inside it.
  static void visit_state(auto& self, auto&& visit) {
    visit("found", self.found_);
    visit("flag", self.flag_);
    visit("flagged", self.flagged_);
    visit("since", self.since_);
  }

 private:
  void reset() {
    found_ = false;
    flag_ = tensor_type{};
    flagged_ = tensor_type{};
    since_.clear();
  }

  template <class Context>
  void examine(event::TrainLossComputed const& event, std::string_view phase, Context& context) {
    auto const& loss = context.output().loss;
    // Between log points ranks cannot tell each other what they read: then the mask travels as a tensor on all of them alike.
    bool const by_host = context.world_size() == 1 || context.log_point() != nullptr;
    if (by_host && traits::host_readable(loss)) {
      settle(context);
      if (!found_) {
        double const value = traits::read(loss);
        if (std::isfinite(value)) return;
        stop(Place{event.epoch, event.step, event.update, number_of(phase)}, value_text(value), context);
      }
      context.mask_update();
    } else if (found_ && by_host) {
      context.mask_update();
    } else {
      if (!traits::defined(flag_)) {
        flag_ = traits::flag_like(found_ ? 1.0 : 0.0, loss);
        flagged_ = traits::scalar_like(0.0, loss);
      }
      traits::max_(flag_, traits::non_finite(loss));
      traits::add_(flagged_, flag_, 1.0);
      since_.push_back({event.epoch, event.step, event.update, number_of(phase)});
      context.mask_update(flag_);
    }
  }

  /// Reads on the host how many of the losses since the last time came after the first bad one, itself counted.
  template <class Context>
  void settle(Context& context) {
    if (since_.empty()) return;
    auto const bad = static_cast<std::size_t>(traits::read(flagged_));
    if (bad > 0 && !found_) stop(since_[since_.size() - std::min(bad, since_.size())], "not finite", context);
    since_.clear();
  }

  template <class Context>
  void stop(Place const& place, std::string_view value, Context& context) {
    found_ = true;
    context.request_stop(StopReason::non_finite);
    std::string text = who(context) + "loss";
    if (std::string_view const name = phases_[static_cast<std::size_t>(place.phase)]; !name.empty()) text.append(" of ").append(name);
    text.append(" is ").append(value).append(" at epoch ").append(std::to_string(place.epoch.value()));
    text.append(", step ").append(std::to_string(place.step.value())).append(", update ").append(std::to_string(place.update.value()));
    report::write_line(context.sink(), text.append(", counted from 0: that update changes nothing, the run stops"));
  }

  template <class Context>
  void stop_for_evaluation(std::int64_t step, std::string_view value, Context& context) {
    found_ = true;
    context.request_stop(StopReason::non_finite);
    std::string text = who(context) + "evaluation loss";
    if (!eval_set_.empty()) text.append(" on ").append(eval_set_);
    text.append(" is ").append(value).append(" at epoch ").append(std::to_string(context.progress().epoch.value()));
    report::write_line(context.sink(), text.append(", step ").append(std::to_string(step)).append(", counted from 0: the run stops"));
  }

  /// The rank that finds it tells it: no other one knows.
  template <class Context>
  static std::string who(Context& context) {
    return context.world_size() == 1 ? "[tacit] " : "[tacit] rank " + std::to_string(context.rank()) + ": ";
  }
  static std::string value_text(double value) { return report::fixed_text(value, 0); }

  /// Numbers the task's phases in the order of their first loss; their names live as long as the program.
  std::int64_t number_of(std::string_view phase) {
    auto const at = std::ranges::find(phases_, phase);
    std::int64_t const number = at - phases_.begin();
    if (at == phases_.end()) phases_.push_back(phase);
    return number;
  }

  bool found_ = false;
  tensor_type flag_{};              // 1 from the first bad loss on
  tensor_type flagged_{};           // losses with the flag set since the run began
  std::vector<Place> since_{};      // every loss since the flag was last read
  std::vector<std::string_view> phases_{};
  std::string eval_set_{};
  std::int64_t eval_steps_ = 0;
  tensor_type eval_flag_{};
  tensor_type eval_flagged_{};
};

}  // namespace tacit::inline v0
