#pragma once

#include <array>
#include <string_view>

#include "tacit/core/slots.hpp"
#include "tacit/task/optim/adam.hpp"

namespace tacit::inline v0::optim {

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019); every number as torch.optim.AdamW gives it.
/// Example: optim::AdamW{.lr = 3e-4, .betas = {0.9, 0.95}}
struct AdamW {
  using slot = tacit::slot::optimizer;
  static constexpr std::string_view name = "optim::AdamW";
  static constexpr bool decoupled_weight_decay = true;

  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;
  bool maximize = false;

  /// Effects: every parameter gets the slots "step" (float32 scalar: the updates applied to it), "exp_avg" and
  /// "exp_avg_sq", with amsgrad also "max_exp_avg_sq", on its device, in its type and strides.
  /// Throws: ConfigError for options out of range, for no parameters, for parameters that cannot be updated.
  BoundAdamOf<AdamW> bind(ParameterSet& parameters) const;

  static void visit_config(auto& self, auto&& visit) {
    visit("lr", self.lr);
    visit("betas", self.betas);
    visit("eps", self.eps);
    visit("weight_decay", self.weight_decay);
    visit("amsgrad", self.amsgrad);
    visit("maximize", self.maximize);
  }
};

using BoundAdamW = BoundAdamOf<AdamW>;

inline BoundAdamW AdamW::bind(ParameterSet& parameters) const { return BoundAdamW{*this, parameters}; }

}  // namespace tacit::inline v0::optim
