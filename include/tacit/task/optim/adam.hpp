#pragma once

#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/task/optim/fused_lists.hpp"

namespace tacit::inline v0::optim {

template <class Recipe>
class BoundAdamOf;

/// Adam (Kingma and Ba, 2015), whose weight decay is added to the gradient; every number as torch.optim.Adam gives it.
/// Example: optim::Adam{.lr = 3e-4, .betas = {0.5, 0.9}}
struct Adam {
  using slot = tacit::slot::optimizer;
  static constexpr std::string_view name = "optim::Adam";

  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool amsgrad = false;
  bool maximize = false;
  bool decoupled_weight_decay = false;  // true: weights decay as with `AdamW`

  /// Effects: every parameter gets the slots "step" (float32 scalar: the updates applied to it), "exp_avg" and
  /// "exp_avg_sq", with amsgrad also "max_exp_avg_sq", on its device, in its type and strides.
  /// Throws: ConfigError for options out of range, for no parameters, for parameters that cannot be updated.
  BoundAdamOf<Adam> bind(ParameterSet& parameters) const;

  static void visit_config(auto& self, auto&& visit) {
    visit("lr", self.lr);
    visit("betas", self.betas);
    visit("eps", self.eps);
    visit("weight_decay", self.weight_decay);
    visit("amsgrad", self.amsgrad);
    visit("maximize", self.maximize);
    visit("decoupled_weight_decay", self.decoupled_weight_decay);
  }
};

/// A recipe of Adam's family, which gives the options and says how weight decays, with the state of a set of
/// parameters.
template <class Recipe>
class BoundAdamOf : public detail::masked_step<BoundAdamOf<Recipe>> {
 public:
  /// Read at every step, so that a schedule may change it; not checked again.
  Recipe options;

  BoundAdamOf(Recipe const& recipe, ParameterSet& parameters) : options{recipe} {
    check();
    for (Parameter& p : parameters) p.slots.clear();
    parameters_changed(parameters);
  }

  /// `step` for a mask that nothing reads on the host, wherever it is.
  void step_on_device(ParameterSet& parameters, at::Tensor const* mask) {
    at::NoGradGuard const guard;
    if (forms_wanted() > forms_) parameters_changed(parameters);
    lists_.fill(parameters, [](std::size_t, at::Tensor const&) { return false; });
    for (auto const& list : lists_.lists()) {
      if (list.gradients().empty()) continue;
      auto const& [tensors, slots] = list.beside_gradients();
      auto const& [steps, averages, squares, maxima] = slots;
      auto const found_inf = lists_.found_inf(mask, list.device());
      lists_.advance(steps, list, found_inf);
      auto const update = [&](auto operation) {
        operation(tensors, list.gradients(), averages, squares,
                  options.amsgrad ? at::TensorList{maxima} : at::TensorList{}, steps, options.lr, options.betas[0],
                  options.betas[1], options.weight_decay, options.eps, options.amsgrad, options.maximize, std::nullopt,
                  found_inf);
      };
      if (options.decoupled_weight_decay) {
        update([](auto const&... arguments) { at::_fused_adamw_(arguments...); });
      } else {
        update([](auto const&... arguments) { at::_fused_adam_(arguments...); });
      }
      lists_.take_back(steps, found_inf);
    }
    lists_.release();
  }

  /// Gives new parameters their slots and keeps the others'; to be called as well after state was loaded.
  void parameters_changed(ParameterSet& parameters) {
    forms_ = std::max(forms_wanted(), forms_);
    lists_.rebuild(parameters, std::span{forms}.first(forms_));
  }

  static void visit_state(auto& self, auto&& visit) { visit("options", self.options); }

 private:
  static constexpr std::array<detail::slot_form, 4> forms{
      {{"step", true}, {"exp_avg"}, {"exp_avg_sq"}, {"max_exp_avg_sq"}}};
  static constexpr std::string_view name = Recipe::name;

  void check() const {
    using detail::check_option;
    using detail::finite_from_zero;
    auto const is_beta = [](double x) { return x >= 0.0 && x < 1.0; };
    check_option(finite_from_zero(options.lr), "TACIT-RC26", name, "lr", options.lr, "a finite number, 0 or more");
    for (double const beta : options.betas) {
      check_option(is_beta(beta), "TACIT-RC27", name, "one of the betas", beta, "two numbers from 0 to below 1");
    }
    check_option(finite_from_zero(options.eps), "TACIT-RC28", name, "eps", options.eps, "a finite number, 0 or more");
    check_option(finite_from_zero(options.weight_decay), "TACIT-RC29", name, "weight_decay", options.weight_decay,
                 "a finite number, 0 or more");
  }

  std::size_t forms_wanted() const { return options.amsgrad ? 4 : 3; }

  detail::fused_lists<4> lists_{name};
  std::size_t forms_ = 0;  // how many of `forms` the parameters have
};

using BoundAdam = BoundAdamOf<Adam>;

inline BoundAdam Adam::bind(ParameterSet& parameters) const { return BoundAdam{*this, parameters}; }

}  // namespace tacit::inline v0::optim
