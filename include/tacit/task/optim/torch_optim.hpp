#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <concepts>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/optim/fused_lists.hpp"

namespace tacit::inline v0::detail {
template <class Optimizer>
concept steps_alone = requires(Optimizer& optimizer) {
  optimizer.step();
};
template <class Optimizer>
concept steps_by_closure = !steps_alone<Optimizer> && requires(Optimizer& optimizer, at::Tensor (*closure)()) {
  optimizer.step(closure);
};
}  // namespace tacit::inline v0::detail

namespace tacit::inline v0::optim {

/// An optimizer of `torch::optim` with the parameters of a set.
///
/// Its state stays inside LibTorch's optimizer, keyed by tensor: the parameters get no slots.
template <class Optimizer>
class BoundTorchOptim {
 public:
  static constexpr bool maskable = false;
  static constexpr bool takes_closure = detail::steps_by_closure<Optimizer>;

  template <class Options>
  BoundTorchOptim(Options const& options, ParameterSet& parameters) {
    detail::check_parameters(parameters, name);
    for (Parameter& p : parameters) p.slots.clear();
    parameters.set_slot_names({});
    optimizer_ = std::make_unique<Optimizer>(tensors_of(parameters), options);
  }

  /// Effects: nothing where the mask is not 0. Cost: a mask is read, which waits for its device.
  void step(ParameterSet& parameters, update_input<at::Tensor> const& input = {})
    requires detail::steps_alone<Optimizer>
  {
    if (input.mask != nullptr && tensor_traits<at::Tensor>::read(*input.mask) != 0.0) return;
    lend_gradients(parameters);
    optimizer_->step();
    for (at::Tensor& master : lent_) master.mutable_grad().reset();
    lent_.clear();
  }

  /// `closure()` makes the gradients anew and returns the loss; it is called as often as the optimizer asks.
  template <class Closure>
    requires detail::steps_by_closure<Optimizer> && requires(Closure const& closure) { { closure() } -> std::same_as<at::Tensor>; }
  void step(ParameterSet&, Closure const& closure) {
    optimizer_->step([&] {
      at::AutoGradMode const graph{true};
      return closure();
    });
  }

  /// Rebuilds the parameter list of the optimizer's first group: parameters that stay keep their state, the state of
  /// those that went is dropped, new ones start anew, all with the group's present options. One with a closure keeps
  /// what it learnt about all parameters together: it starts anew.
  void parameters_changed(ParameterSet& parameters) {
    detail::check_parameters(parameters, name);
    std::vector<at::Tensor> tensors = tensors_of(parameters);
    if constexpr (detail::steps_by_closure<Optimizer>) {
      auto options = optimizer_->param_groups().front().options().clone();
      std::decay_t<decltype(optimizer_->param_groups())> groups;
      groups.emplace_back(std::move(tensors), options->clone());
      optimizer_ = std::make_unique<Optimizer>(std::move(groups));
      optimizer_->param_groups().front().set_options(std::move(options));  // LBFGS sets max_eval by the default max_iter
      return;
    }
    auto& state = optimizer_->state();
    auto kept = std::decay_t<decltype(state)>{};
    for (at::Tensor const& t : tensors) {
      auto const at = state.find(t.unsafeGetTensorImpl());
      if (at != state.end()) kept[at->first] = std::move(at->second);
    }
    state = std::move(kept);
    optimizer_->param_groups().front().params() = std::move(tensors);
  }

  /// The learning rate, for schedules.
  double field(tacit::name<"lr">) const { return optimizer_->param_groups().front().options().get_lr(); }
  void set_field(tacit::name<"lr">, double value) {
    for (auto& group : optimizer_->param_groups()) group.options().set_lr(value);
  }

  /// LibTorch's object: for its learning rate and other options, param_groups()[0].options().
  Optimizer& optimizer() & { return *optimizer_; }

 private:
  static constexpr std::string_view name = "optim::from_torch";

  static std::vector<at::Tensor> tensors_of(ParameterSet const& parameters) {
    std::vector<at::Tensor> tensors;
    tensors.reserve(parameters.size());
    for (Parameter const& p : parameters) tensors.push_back(p.master);
    return tensors;
  }

  void lend_gradients(ParameterSet& parameters) {
    for (Parameter& p : parameters) {
      if (p.master.is_same(p.model) || p.master.mutable_grad().defined() || !p.model.mutable_grad().defined()) continue;
      p.master.mutable_grad() = p.model.mutable_grad().to(p.master.scalar_type());
      lent_.push_back(p.master);
    }
  }

  std::unique_ptr<Optimizer> optimizer_;
  std::vector<at::Tensor> lent_;  // masters that were given their model tensor's gradient for this step
};

/// The recipe that `from_torch` makes.
template <class Optimizer, class Options>
struct TorchOptim {
  static_assert(detail::steps_alone<Optimizer> || detail::steps_by_closure<Optimizer>,
                "[TACIT-ET50] this is no optimizer of torch::optim, wanted: a type with step() or step(closure), see docs/errors.md");

  using slot = tacit::slot::optimizer;

  Options options;

  /// Throws: ConfigError for no parameters.
  BoundTorchOptim<Optimizer> bind(ParameterSet& parameters) const {
    return BoundTorchOptim<Optimizer>{options, parameters};
  }
};

/// Any optimizer of `torch::optim` with the options that a hand-written loop gave it, also `LBFGS`, which computes the loss several
/// times in an update.
/// Requires: its header, <torch/optim/adam.h> say, included by the caller.
/// Example: optim::from_torch<torch::optim::Adam>(torch::optim::AdamOptions(1e-3))
template <class Optimizer, class Options>
TorchOptim<Optimizer, Options> from_torch(Options options) {
  return {std::move(options)};
}

}  // namespace tacit::inline v0::optim
