#pragma once

#include <ATen/ops/_fused_adagrad.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/task/optim/fused_lists.hpp"

namespace tacit::inline v0::optim {

class BoundAdagrad;

/// Steps divided by the root of all squared gradients so far (Duchi, Hazan and Singer, 2011); every number as
/// torch.optim.Adagrad gives it.
/// Example: optim::Adagrad{.lr = 0.05, .lr_decay = 1e-4}
struct Adagrad {
  using slot = tacit::slot::optimizer;

  double lr = 1e-2;
  double lr_decay = 0.0;
  double weight_decay = 0.0;
  double initial_accumulator_value = 0.0;
  double eps = 1e-10;
  bool maximize = false;

  /// Effects: every parameter gets the slots "step" (float32 scalar: the updates applied to it) and "sum", on its
  /// device, in its type and strides.
  /// Throws: ConfigError for options out of range, for no parameters, for parameters that cannot be updated.
  BoundAdagrad bind(ParameterSet& parameters) const;

  static void visit_config(auto& self, auto&& visit) {
    visit("lr", self.lr);
    visit("lr_decay", self.lr_decay);
    visit("weight_decay", self.weight_decay);
    visit("initial_accumulator_value", self.initial_accumulator_value);
    visit("eps", self.eps);
    visit("maximize", self.maximize);
  }
};

/// `Adagrad` with the state of a set of parameters.
class BoundAdagrad : public detail::masked_step<BoundAdagrad> {
 public:
  /// Read at every step, so that a schedule may change it; not checked again.
  Adagrad options;

  BoundAdagrad(Adagrad const& recipe, ParameterSet& parameters) : options{recipe} {
    check();
    for (Parameter& p : parameters) p.slots.clear();
    parameters_changed(parameters);
  }

  /// `step` for a mask that nothing reads on the host, wherever it is.
  void step_on_device(ParameterSet& parameters, at::Tensor const* mask) {
    at::NoGradGuard const guard;
    lists_.fill(parameters, [](std::size_t, at::Tensor const&) { return false; });
    for (auto const& list : lists_.lists()) {
      if (list.gradients().empty()) continue;
      auto const& [tensors, slots] = list.beside_gradients();
      auto const& [steps, sums] = slots;
      auto const found_inf = lists_.found_inf(mask, list.device());
      lists_.advance(steps, list, found_inf);
      at::_fused_adagrad_(tensors, list.gradients(), sums, steps, options.lr, options.lr_decay, options.weight_decay,
                          options.eps, options.maximize, std::nullopt, found_inf);
      lists_.take_back(steps, found_inf);
    }
    lists_.release();
  }

  /// Gives new parameters their slots and keeps the others'; to be called as well after state was loaded.
  void parameters_changed(ParameterSet& parameters) {
    std::array<detail::slot_form, 2> const forms{{{"step", true}, {"sum", false, options.initial_accumulator_value}}};
    lists_.rebuild(parameters, forms);
  }

  static void visit_state(auto& self, auto&& visit) { visit("options", self.options); }

 private:
  static constexpr std::string_view name = "optim::Adagrad";

  void check() const {
    for (auto const& [option, value] : {std::pair{"lr", options.lr},
                                        {"lr_decay", options.lr_decay},
                                        {"weight_decay", options.weight_decay},
                                        {"initial_accumulator_value", options.initial_accumulator_value},
                                        {"eps", options.eps}}) {
      detail::check_option(detail::finite_from_zero(value), "TACIT-RC84", name, option, value,
                           "a finite number, 0 or more");
    }
  }

  detail::fused_lists<2> lists_{name};
};

inline BoundAdagrad Adagrad::bind(ParameterSet& parameters) const { return BoundAdagrad{*this, parameters}; }

}  // namespace tacit::inline v0::optim
