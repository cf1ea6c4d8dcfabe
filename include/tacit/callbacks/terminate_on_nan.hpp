#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/events.hpp"
#include "tacit/report/text.hpp"
#include "tacit/task/step_result.hpp"
#include "tacit/task/task.hpp"

namespace tacit::inline v0 {

/// Ends the run at the first update whose loss or gradient is NaN or infinite; nothing of that update happens, nor of any later one.
///
/// Where host reads are free the run stops at once. Elsewhere nobody waits: a flag on the device masks every update from
/// the bad one on, and the next log point finds out which one it was. An infinite or NaN evaluation loss ends the run too.
/// In a task of several phases those before the bad one have had their part of the update. Infinite gradients that a loss
/// scale (`Fp16`) takes care of are left to it.
/// Throws: ConfigError for `bad_updates_in_a_row` below 1. Cost: the norm that clipping computes, else one reduction over the
/// gradients of an update.
struct TerminateOnNaN {
  /// The run ends at this many bad updates in a row; those before it are skipped, and the run goes on. Of several ranks each
  /// counts its own bad losses, and the gradients, which all of them have; on a device a bad loss makes those bad.
  Updates bad_updates_in_a_row = 1;

  using events = event::list<event::TrainingRunStart, event::EvaluationRunStart, event::TrainLossComputed, event::TrainStepEnd, event::UpdateStart, event::UpdateEnd,
                             event::TrainEpochEnd, event::EvalEpochStart, event::EvalStepEnd, event::EvalEpochEnd, event::ParametersChanged>;
  static constexpr bool acts_on_all_ranks = true;

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) { visit("bad_updates_in_a_row", self.bad_updates_in_a_row); }
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
    bool is_gradient = false;

    static void visit_state(auto& self, auto&& visit) {
      visit("epoch", self.epoch);
      visit("step", self.step);
      visit("update", self.update);
      visit("phase", self.phase);
      visit("is_gradient", self.is_gradient);
    }
  };

 public:
  using events = TerminateOnNaN::events;
  static constexpr bool takes_back_updates = true;

  explicit bound(TerminateOnNaN const& config) : config_{config}, limit_{config.bad_updates_in_a_row.value_or(0)} {
    if (limit_ < 1) {
      throw ConfigError{"TACIT-RC113", detail::message({"bad_updates_in_a_row is ", limit_}), "TerminateOnNaN", "give 1 to end at the first, or more"};
    }
  }

  void on(event::TrainingRunStart const&, auto& context) { follow_run(context); }
  void on(event::EvaluationRunStart const&, auto& context) { follow_run(context); }

  void on(event::TrainLossComputed const& event, auto& context) { examine(event, {}, context); }
  template <fixed_string Phase>
  void on(event::Of<Phase, event::TrainLossComputed> const& event, auto& context) {
    examine(event, Phase.view(), context);
  }
  void on(event::UpdateStart const& event, auto& context) { examine_gradients<0>(event, {}, context); }
  template <fixed_string Phase>
  void on(event::Of<Phase, event::UpdateStart> const& event, auto& context) {
    using task = typename std::remove_cvref_t<decltype(context)>::core_type::task_type;
    examine_gradients<detail::task_phases<task>::template index<Phase>>(event, Phase.view(), context);
  }
  // An optimizer with a closure meets more losses than the first; the run takes back an update with a bad one.
  void on(event::UpdateEnd const& event, auto& context) {
    using core = typename std::remove_cvref_t<decltype(context)>::core_type;
    if constexpr (requires { requires core::template Phase<0>::optimizer_type::takes_closure; }) {
      follow_run(context);
      if (found_ || was_masked_) return;
      tensor_type const* const mask = context.update_mask();
      if (mask == nullptr || traits::read(*mask) == 0.0) return;
      take_bad(Place{event.epoch, MicroBatchIndex{0}, event.update, number_of({}), true}, "a later loss or gradient of the optimizer's closure", "not finite", context);
    }
  }
  // Before the ranks agree on the coming update.
  void on(event::TrainStepEnd const&, auto& context) {
    follow_run(context);
    if (context.log_point() != nullptr) settle(context);
  }
  void on(event::TrainEpochEnd const&, auto& context) {
    follow_run(context);
    end_window();
    settle(context);
  }

  void on(event::EvalEpochStart const& event, auto& context) {
    follow_run(context);
    eval_set_ = event.set;
    eval_steps_ = 0;
    eval_flagged_ = tensor_type{};
  }
  void on(event::EvalStepEnd const& event, auto& context) {
    using task = typename std::remove_cvref_t<decltype(context)>::core_type::task_type;
    follow_run(context);
    if (found_) return;
    if constexpr (detail::task_phase_count<task> == 1) {
      examine_evaluation(context.output(), {}, event.step.value(), context);
    } else {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        (examine_evaluation(context.output(name<detail::phase_name<task, I>()>{}), detail::phase_name<task, I>().view(), event.step.value(), context), ...);
      }(std::make_index_sequence<detail::task_phase_count<task>>{});
    }
    if (!traits::defined(eval_flagged_)) return;
    traits::add_(eval_flagged_, eval_flag_, 1.0);
    eval_steps_ = event.step.value() + 1;
  }
  void on(event::EvalEpochEnd const&, auto& context) {
    follow_run(context);
    if (found_ || !traits::defined(eval_flagged_) || context.log_point() == nullptr) return;
    if (auto const bad = static_cast<std::int64_t>(traits::read(eval_flagged_)); bad > 0) {
      stop_for_evaluation({}, eval_steps_ - bad, "not finite", context);
    }
  }
  // Its places are those of the parameters that have a gradient.
  void on(event::ParametersChanged const&, auto&) { names_.clear(); }

  /// Evaluation has no state between its steps that a checkpoint could hold: none is written inside it.
  static void visit_state(auto& self, auto&& visit) {
    visit("found", self.found_);
    visit("flag", self.flag_);
    visit("flagged", self.flagged_);
    visit("since", self.since_);
    visit("first", self.first_);
    visit("last_bad", self.last_bad_);
    visit("host_in_a_row", self.host_in_a_row_);
    visit("in_a_row", self.in_a_row_);
    visit("skipped", self.skipped_);
    visit("told", self.told_);
    visit("window", self.window_);
  }
  static void visit_config(auto& self, auto&& visit) { TerminateOnNaN::visit_config(self.config_, visit); }

 private:
  void follow_run(auto& context) {
    if (run_.is_new(context)) reset();
  }
  void reset() {
    found_ = false;
    flag_ = tensor_type{};
    flagged_ = tensor_type{};
    since_.clear();
    first_ = tensor_type{};
    last_bad_ = none;
    host_in_a_row_ = 0;
    in_a_row_ = tensor_type{};
    skipped_ = tensor_type{};
    told_ = 0;
    window_ = none;
    names_.clear();
    was_masked_ = false;
    eval_flagged_ = tensor_type{};
  }

  template <class Context>
  void examine(event::TrainLossComputed const& event, std::string_view phase, Context& context) {
    follow_run(context);
    auto const& loss = context.output().loss;
    bool const may_settle = context.world_size() == 1 || context.log_point() != nullptr;
    if (traits::host_readable(loss)) {
      if (may_settle) settle(context);
      if (!found_) {
        double const value = traits::read(loss);
        if (std::isfinite(value) || counts_nothing(context.output())) return;
        take_bad(Place{event.epoch, event.step, event.update, number_of(phase)}, "loss", value_text(value), context);
      }
      context.mask_update();
    } else if (found_ && may_settle) {
      context.mask_update();
    } else {
      note(bad_loss(context.output()), Place{event.epoch, event.step, event.update, number_of(phase)}, loss, context);
    }
  }

  /// The gradients of phase I are whole, and those of all ranks: what one rank finds every other one finds too.
  template <std::size_t I, class Context>
  void examine_gradients(event::UpdateStart const& event, std::string_view phase, Context& context) {
    follow_run(context);
    was_masked_ = true;
    if (found_) {  // what it found masks the update already, unless this rank had no batch
      if (context.log_point() == nullptr) context.mask_update();
      return;
    }
    tensor_type const* const skipped = context.update_mask();  // by the precision's scale, or by a bad loss
    bool const is_known = skipped != nullptr && traits::host_readable(*skipped);
    if (is_known && traits::read(*skipped) != 0.0) return;
    was_masked_ = false;
    auto const* const norm = context.gradient_norm();
    tensor_type const first = norm != nullptr ? tensor_type{} : first_bad<I>(context);
    if (norm == nullptr && !traits::defined(first)) return;  // no gradient at all
    tensor_type const& asked = norm != nullptr ? norm->tensor() : first;
    Place const place{event.epoch, MicroBatchIndex{0}, event.update, number_of(phase), true};
    if (traits::host_readable(asked)) {
      double const value = traits::read(asked);
      if (norm != nullptr ? std::isfinite(value) : value == 0.0) return;
      double const at = norm != nullptr ? traits::read(first_bad<I>(context)) : value;
      // Finite gradients may have a norm that overflows.
      take_bad(place, at == 0.0 ? "norm of the gradients" : "gradient of '" + parameter_name<I>(at, context) + "'", at == 0.0 ? value_text(value) : "not finite", context);
      was_masked_ = true;
      context.mask_update();
    } else {
      tensor_type flag = norm != nullptr ? traits::non_finite(asked) : is_set(asked);
      if (skipped != nullptr) {
        traits::add_(flag, *skipped, -1.0);
        flag = positive(flag);
      }
      if (limit_ == 1 && norm == nullptr) {
        if (!traits::defined(first_)) first_ = traits::scalar_like(0.0, asked);
        tensor_type fresh = traits::scalar_like(found_ ? 0.0 : 1.0, asked);
        if (traits::defined(flag_)) traits::add_(fresh, flag_, -1.0);
        traits::add_(first_, traits::weighted(traits::weighted(asked, flag), fresh), 1.0);
        names_.resize(std::max<std::size_t>(names_.size(), static_cast<std::size_t>(place.phase) + 1));
        if (names_[static_cast<std::size_t>(place.phase)].empty()) names_[static_cast<std::size_t>(place.phase)] = names_of<I>(context);
      }
      note(flag, place, asked, context);
    }
  }

  /// 1 + the place of the first gradient that is not finite, 0 if all are; no tensor where there is no gradient.
  template <std::size_t I, class Context>
  tensor_type first_bad(Context& context) {
    gradients_.clear();
    for (auto const& parameter : context.trainer().template parameters<I>()) {
      tensor_type master = parameter.master;
      if (traits::defined(traits::grad(master))) gradients_.push_back(traits::grad(master));
    }
    tensor_type const first = gradients_.empty() ? tensor_type{} : traits::first_non_finite(gradients_);
    gradients_.clear();
    return first;
  }
  template <std::size_t I, class Context>
  static std::vector<std::string> names_of(Context& context) {
    std::vector<std::string> names;
    for (auto const& parameter : context.trainer().template parameters<I>()) {
      tensor_type master = parameter.master;
      if (traits::defined(traits::grad(master))) names.push_back(parameter.name);
    }
    return names;
  }
  template <std::size_t I, class Context>
  static std::string parameter_name(double place, Context& context) {
    return names_of<I>(context)[static_cast<std::size_t>(place) - 1];
  }

  /// A batch of weight 0 is left out, whatever its loss is: 0/0 say.
  template <class Output>
  static bool counts_nothing([[maybe_unused]] Output const& output) {
    if constexpr (states_weight<Output>) {
      return detail::host_weight(output) == 0.0;
    } else {
      return false;
    }
  }
  template <class Output>
  static tensor_type bad_loss(Output const& output) {
    tensor_type const flag = traits::non_finite(output.loss);
    if constexpr (states_tensor_weight<Output>) {
      return is_set(traits::weighted(flag, output.weight));
    } else if constexpr (states_weight<Output>) {
      return counts_nothing(output) ? traits::flag_like(0.0, output.loss) : flag;
    } else {
      return flag;
    }
  }

  // --- on the device ---

  /// 1 where the number is not 0, else 0.
  static tensor_type is_set(tensor_type const& number) {
    return traits::non_finite(traits::weighted(traits::scalar_like(std::numeric_limits<double>::infinity(), number), number));
  }
  static tensor_type positive(tensor_type const& number) {
    tensor_type result = traits::flag_like(0.0, number);
    traits::max_(result, number);
    return result;
  }

  /// Masks the update by a flag that nobody reads now.
  template <class Context>
  void note(tensor_type const& flag, Place const& place, tensor_type const& like, Context& context) {
    if (window_ != place.update.value()) {
      end_window();
      window_ = place.update.value();
    }
    if (!traits::defined(flag_)) {
      flag_ = traits::flag_like(found_ ? 1.0 : 0.0, like);
      flagged_ = traits::scalar_like(0.0, like);
    }
    traits::max_(flag_, flag);
    if (limit_ == 1) {
      traits::add_(flagged_, flag_, 1.0);
      since_.push_back(place);
    }
    context.mask_update(flag_);
  }

  /// Where several bad updates are allowed: counts the last one, and clears its flag unless it was one too many.
  void end_window() {
    if (limit_ == 1 || window_ == none || !traits::defined(flag_)) return;
    window_ = none;
    if (!traits::defined(in_a_row_)) {
      in_a_row_ = traits::scalar_like(0.0, flag_);
      skipped_ = traits::scalar_like(0.0, flag_);
    }
    traits::add_(skipped_, flag_, 1.0);
    tensor_type const one = traits::scalar_like(1.0, flag_);
    traits::add_(in_a_row_, one, 1.0);
    in_a_row_ = traits::weighted(in_a_row_, flag_);
    tensor_type over = traits::scalar_like(1.0 - static_cast<double>(limit_), flag_);
    traits::add_(over, in_a_row_, 1.0);
    flag_ = is_set(positive(over));  // stays 1 from then on: every later update counts as bad
  }

  /// Reads on the host what the device found since the last time.
  template <class Context>
  void settle(Context& context) {
    if (limit_ > 1) return settle_in_a_row(context);
    if (since_.empty()) return;
    auto const bad = static_cast<std::size_t>(traits::read(flagged_));
    if (bad > 0 && !found_) {
      Place const& place = since_[since_.size() - std::min(bad, since_.size())];
      stop(place, place.is_gradient ? device_gradient_text(place) : "loss", "not finite", context);
    }
    since_.clear();
  }
  template <class Context>
  void settle_in_a_row(Context& context) {
    if (found_ || !traits::defined(skipped_)) return;
    auto const skipped = static_cast<std::int64_t>(traits::read(skipped_));
    if (skipped == told_) return;
    std::string text = who(context) + std::to_string(skipped - told_) + " updates up to update " + std::to_string(context.progress().updates.value()) +
                       " have a loss or a gradient that is not finite: they change nothing";
    told_ = skipped;
    if (traits::read(in_a_row_) >= static_cast<double>(limit_)) {
      end_run(context);
      text.append(", ").append(std::to_string(limit_)).append(" or more in a row: the run stops");
    }
    report::write_line(context.sink(), text);
  }

  // --- on the host ---

  /// A bad update: it ends the run if it is the last that is allowed in a row.
  template <class Context>
  void take_bad(Place const& place, std::string_view what, std::string_view value, Context& context) {
    if (last_bad_ == place.update.value()) return;  // another loss of an update that is skipped already
    host_in_a_row_ = last_bad_ + 1 == place.update.value() ? host_in_a_row_ + 1 : 1;
    last_bad_ = place.update.value();
    if (host_in_a_row_ >= limit_) return stop(place, what, value, context);
    std::string const count = std::to_string(host_in_a_row_) + " of " + std::to_string(limit_);
    tell(place, what, value, ", counted from 0: that update changes nothing (" + count + " in a row that end the run)",
         context);
  }

  /// Several ranks stop at the next log point; until then the flag masks their updates.
  template <class Context>
  void end_run(Context& context) {
    found_ = true;
    if (traits::defined(flag_)) traits::max_(flag_, traits::flag_like(1.0, flag_));
    context.request_stop(StopReason::non_finite);
  }
  template <class Context>
  void stop(Place const& place, std::string_view what, std::string_view value, Context& context) {
    end_run(context);
    tell(place, what, value, ", counted from 0: that update changes nothing, the run stops", context);
  }

  template <class Context>
  void tell(Place const& place, std::string_view what, std::string_view value, std::string_view end, Context& context) {
    if (place.is_gradient && context.rank() != 0) return;  // all ranks have these gradients
    std::string text = (place.is_gradient ? std::string{"[tacit] "} : who(context)).append(what);
    if (std::string_view const name = phases_[static_cast<std::size_t>(place.phase)]; !name.empty()) text.append(" of ").append(name);
    text.append(" is ").append(value).append(" at epoch ").append(std::to_string(place.epoch.value()));
    if (!place.is_gradient) text.append(", step ").append(std::to_string(place.step.value()));
    report::write_line(context.sink(), text.append(", update ").append(std::to_string(place.update.value())).append(end));
  }

  std::string device_gradient_text(Place const& place) const {
    if (traits::defined(first_) && static_cast<std::size_t>(place.phase) < names_.size()) {
      auto const& names = names_[static_cast<std::size_t>(place.phase)];
      auto const at = static_cast<std::size_t>(traits::read(first_));
      if (at > 0 && at <= names.size()) return "gradient of '" + names[at - 1] + "'";
    }
    return "norm of the gradients";
  }

  template <class Output, class Context>
  void examine_evaluation(Output const& output, std::string_view phase, std::int64_t step, Context& context) {
    auto const& loss = output.loss;
    if (traits::host_readable(loss)) {
      double const value = traits::read(loss);
      if (!found_ && !std::isfinite(value) && !counts_nothing(output)) stop_for_evaluation(phase, step, value_text(value), context);
    } else {
      if (!traits::defined(eval_flagged_)) {
        eval_flag_ = traits::flag_like(0.0, loss);
        eval_flagged_ = traits::scalar_like(0.0, loss);
      }
      traits::max_(eval_flag_, bad_loss(output));
    }
  }
  template <class Context>
  void stop_for_evaluation(std::string_view phase, std::int64_t step, std::string_view value, Context& context) {
    end_run(context);
    std::string text = who(context) + "evaluation loss";
    if (!phase.empty()) text.append(" of ").append(phase);
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

  static constexpr std::int64_t none = -2;

  TerminateOnNaN config_;
  std::int64_t limit_;
  detail::RunWatch run_{};          // a When may hold start events back
  bool found_ = false;
  tensor_type flag_{};              // 1 from the first bad loss or gradient on; with a limit above 1 of the update in work
  tensor_type flagged_{};           // losses and gradients with the flag set since the run began
  std::vector<Place> since_{};      // every loss and gradient since the flag was last read
  tensor_type first_{};             // 1 + the place of the parameter whose gradient was the first bad one
  std::vector<std::vector<std::string>> names_{};  // of the parameters of each phase
  std::vector<tensor_type> gradients_{};
  bool was_masked_ = false;         // the update in work, at its start
  std::int64_t last_bad_ = none;    // update, found by the host
  std::int64_t host_in_a_row_ = 0;
  tensor_type in_a_row_{};          // of a device, with a limit above 1: bad updates up to the last window
  tensor_type skipped_{};           // all bad updates of the run
  std::int64_t told_ = 0;
  std::int64_t window_ = none;      // the update that `flag_` is of
  std::vector<std::string_view> phases_{};
  std::string eval_set_{};
  std::int64_t eval_steps_ = 0;
  tensor_type eval_flag_{};
  tensor_type eval_flagged_{};
};

}  // namespace tacit::inline v0
