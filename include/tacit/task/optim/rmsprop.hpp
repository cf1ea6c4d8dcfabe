#pragma once

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/where.h>

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/task/optim/fused_lists.hpp"

namespace tacit::inline v0::optim {

class BoundRMSprop;

/// Steps divided by a running root mean square of the gradients (Hinton, 2012; centered: Graves, 2013); every number as
/// torch.optim.RMSprop gives it.
/// Example: optim::RMSprop{.lr = 1e-3, .momentum = 0.9}
struct RMSprop {
  using slot = tacit::slot::optimizer;

  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0.0;
  double momentum = 0.0;
  bool centered = false;
  bool maximize = false;

  /// Effects: every parameter gets the slot "square_avg", where momentum is not 0 also "momentum_buffer", with centered
  /// also "grad_avg", on its device, in its type and strides.
  /// Throws: ConfigError for options out of range, for no parameters, for parameters that cannot be updated.
  BoundRMSprop bind(ParameterSet& parameters) const;

  static void visit_config(auto& self, auto&& visit) {
    visit("lr", self.lr);
    visit("alpha", self.alpha);
    visit("eps", self.eps);
    visit("weight_decay", self.weight_decay);
    visit("momentum", self.momentum);
    visit("centered", self.centered);
    visit("maximize", self.maximize);
  }
};

/// `RMSprop` with the state of a set of parameters.
class BoundRMSprop : public detail::masked_step<BoundRMSprop> {
 public:
  /// Read at every step, so that a schedule may change it; not checked again.
  RMSprop options;

  BoundRMSprop(RMSprop const& recipe, ParameterSet& parameters) : options{recipe} {
    check();
    for (Parameter& p : parameters) p.slots.clear();
    parameters_changed(parameters);
  }

  /// `step` for a mask that nothing reads on the host, wherever it is.
  /// Cost: such a mask takes a copy of parameters and state for the time of the step.
  void step_on_device(ParameterSet& parameters, at::Tensor const* mask) {
    at::NoGradGuard const guard;
    if (lacks_slots()) parameters_changed(parameters);
    lists_.fill(parameters, [](std::size_t, at::Tensor const&) { return false; });
    for (auto const& list : lists_.lists()) {
      if (list.gradients().empty()) continue;
      auto const& columns = list.beside_gradients();
      auto const found_inf = lists_.found_inf(mask, list.device());
      std::vector<at::Tensor> changed;
      std::vector<at::Tensor> before;
      if (found_inf) {
        changed = columns.parameters;
        for (auto const& slots : columns.slots) changed.insert(changed.end(), slots.begin(), slots.end());
        for (at::Tensor const& t : changed) before.push_back(t.clone());
      }
      update(columns, list.gradients());
      if (!found_inf) continue;
      // Not by a factor of 0, which would leave the NaN of infinite gradients.
      at::Tensor const off = found_inf->to(at::kBool);
      for (std::size_t i = 0; i < changed.size(); ++i) at::where_out(changed[i], off, before[i], changed[i]);
    }
    lists_.release();
  }

  /// Gives new parameters their slots and keeps the others'; to be called as well after state was loaded.
  void parameters_changed(ParameterSet& parameters) {
    // What is wanted later comes last, so that slots keep their places.
    if (forms_.empty()) forms_.push_back({"square_avg"});
    if (options.momentum != 0.0 && momentum_at_ == nowhere) {
      momentum_at_ = forms_.size();
      forms_.push_back({"momentum_buffer"});
    }
    if (options.centered && average_at_ == nowhere) {
      average_at_ = forms_.size();
      forms_.push_back({"grad_avg"});
    }
    lists_.rebuild(parameters, forms_);
  }

  static void visit_state(auto& self, auto&& visit) { visit("options", self.options); }

 private:
  using lists = detail::fused_lists<3>;

  static constexpr std::string_view name = "optim::RMSprop";
  static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

  void check() const {
    using detail::check_option;
    for (auto const& [option, value] :
         {std::pair{"lr", options.lr}, {"eps", options.eps}, {"weight_decay", options.weight_decay}}) {
      check_option(detail::finite_from_zero(value), "TACIT-RC85", name, option, value, "a finite number, 0 or more");
    }
    check_option(options.alpha >= 0.0 && options.alpha <= 1.0, "TACIT-RC86", name, "alpha", options.alpha,
                 "a number from 0 to 1");
    check_option(options.momentum >= 0.0 && options.momentum < 1.0, "TACIT-RC86", name, "momentum", options.momentum,
                 "a number from 0 to below 1");
  }

  bool lacks_slots() const {
    return (options.momentum != 0.0 && momentum_at_ == nowhere) || (options.centered && average_at_ == nowhere);
  }

  void update(lists::columns const& columns, std::vector<at::Tensor> const& own_gradients) const {
    auto const& [parameters, slots] = columns;
    std::vector<at::Tensor> made;
    if (options.maximize) made = at::_foreach_neg(own_gradients);
    if (options.weight_decay != 0.0) {
      made = at::_foreach_add(options.maximize ? made : own_gradients, parameters, options.weight_decay);
    }
    std::vector<at::Tensor> const& gradients = made.empty() ? own_gradients : made;
    auto const& squares = slots[0];
    at::_foreach_mul_(squares, options.alpha);
    at::_foreach_addcmul_(squares, gradients, gradients, 1.0 - options.alpha);
    std::vector<at::Tensor> roots;
    if (options.centered) {
      auto const& averages = slots[average_at_];
      at::_foreach_lerp_(averages, gradients, 1.0 - options.alpha);
      roots = at::_foreach_addcmul(squares, averages, averages, -1.0);
      at::_foreach_sqrt_(roots);
    } else {
      roots = at::_foreach_sqrt(squares);
    }
    at::_foreach_add_(roots, options.eps);
    if (options.momentum != 0.0) {
      auto const& momenta = slots[momentum_at_];
      at::_foreach_mul_(momenta, options.momentum);
      at::_foreach_addcdiv_(momenta, gradients, roots);
      at::_foreach_add_(parameters, momenta, -options.lr);
    } else {
      at::_foreach_addcdiv_(parameters, gradients, roots, -options.lr);
    }
  }

  lists lists_{name};
  std::vector<detail::slot_form> forms_;
  std::size_t momentum_at_ = nowhere;
  std::size_t average_at_ = nowhere;
};

inline BoundRMSprop RMSprop::bind(ParameterSet& parameters) const { return BoundRMSprop{*this, parameters}; }

}  // namespace tacit::inline v0::optim
