#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/state/visit.hpp"

namespace tacit::inline v0 {

/// A bound optimizer and the state that it keeps with its parameters, as a part of checkpoints: options, slots by the names
/// of parameter and slot, and float32 masters where there are any.
///
/// The options are state: a rate that the loop has changed comes back. What is to differ after a resume is set after loading.
/// Requires: both outlive this, and the optimizer was bound to these parameters. A trainer shows its set as const; slots and
/// masters in it are the optimizer's, and loading writes to them.
/// Example: OptimizerState state{trainer.view().optimizer(), trainer.view().parameters()};
///          load_state(checkpoint, {}, model, state);
template <visitable_state Optimizer, class Parameters>
class OptimizerState {
 public:
  static constexpr std::string_view state_name = "optimizer";
  static constexpr bool lends_tensors = true;

  OptimizerState(Optimizer& optimizer, Parameters const& parameters)
      : optimizer_{&optimizer}, parameters_{const_cast<Parameters*>(&parameters)} {}
  OptimizerState(Optimizer& optimizer, Parameters const&& parameters) = delete;

  static void visit_state(auto& self, auto&& visit) {
    using traits = tensor_traits<typename Parameters::tensor_type>;
    if constexpr (std::is_const_v<std::remove_reference_t<decltype(self)>>) {
      Optimizer::visit_state(static_cast<Optimizer const&>(*self.optimizer_), visit);
    } else {
      Optimizer::visit_state(*self.optimizer_, visit);
    }
    for (auto& parameter : *self.parameters_) {
      std::vector<std::string> const& slots = self.parameters_->slot_names(parameter);
      for (std::size_t i = 0; i < std::min(slots.size(), parameter.slots.size()); ++i) {
        visit(std::string_view{parameter.name + "." + slots[i]}, parameter.slots[i]);
      }
      if (!traits::same(parameter.model, parameter.master)) visit(std::string_view{parameter.name + ".master"}, parameter.master);
    }
  }
  static void state_loaded(auto& self) noexcept {
    if constexpr (requires { self.optimizer_->state_loaded(); }) self.optimizer_->state_loaded();
  }

 private:
  Optimizer* optimizer_;
  Parameters* parameters_;
};

}  // namespace tacit::inline v0
