#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/policy/precision/autocast.hpp"

namespace tacit::inline v0 {

namespace detail {

/// The default generators that a segment on a device may draw from, with a state.
class GeneratorStates {
 public:
  explicit GeneratorStates(c10::Device device) {
    generators_.push_back(at::detail::getDefaultCPUGenerator());
    if (!device.is_cpu()) generators_.push_back(at::globalContext().defaultGenerator(device));
    for (at::Generator& generator : generators_) {
      std::scoped_lock const lock{generator.mutex()};
      states_.push_back(generator.get_state());
    }
  }
  void restore() {
    for (std::size_t i = 0; i < generators_.size(); ++i) {
      std::scoped_lock const lock{generators_[i].mutex()};
      generators_[i].set_state(states_[i]);
    }
  }

 private:
  std::vector<at::Generator> generators_{};
  std::vector<at::Tensor> states_{};
};

/// A piece of a forward pass, with all that it takes to run again in the same way.
class Segment : public torch::CustomClassHolder {
 public:
  using Forward = std::function<at::Tensor(std::vector<at::Tensor> const&)>;

  Segment(Forward forward, c10::Device device)
      : forward_{std::move(forward)}, device_{device}, generators_{device}, autocast_{at::autocast::is_autocast_enabled(device.type())},
        autocast_type_{at::autocast::get_autocast_dtype(device.type())} {}

  at::Tensor run(std::vector<at::Tensor> const& inputs) const { return forward_(inputs); }

  /// Runs again with the random numbers and the autocast of the first time, and leaves the generators as they are.
  at::Tensor run_again(std::vector<at::Tensor> const& inputs) {
    class Restore {
     public:
      explicit Restore(c10::Device device) : now_{device} {}
      Restore(Restore const&) = delete;
      Restore& operator=(Restore const&) = delete;
      ~Restore() { now_.restore(); }

     private:
      GeneratorStates now_;
    } const restore{device_};
    generators_.restore();
    if (!autocast_) return forward_(inputs);
    AutocastScope const autocast{device_.type(), autocast_type_};
    return forward_(inputs);
  }

 private:
  Forward forward_;
  c10::Device device_;
  GeneratorStates generators_;
  bool autocast_;
  c10::ScalarType autocast_type_;
};

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  // `anchor` requires a gradient, so that there is a backward also where only parameters want one.
  static at::Tensor forward(torch::autograd::AutogradContext* context, c10::intrusive_ptr<Segment> const& segment, at::Tensor const& anchor,
                            at::TensorList inputs) {
    static_cast<void>(anchor);
    context->saved_data["segment"] = c10::IValue::make_capsule(segment);
    context->save_for_backward(inputs.vec());
    return segment->run(inputs.vec());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list const& gradients) {
    if (!torch::autograd::Engine::get_default_engine().is_checkpoint_valid()) {
      throw UsageError{"TACIT-RU23", "the gradients of some inputs alone were asked for through a checkpointed unit", "Checkpointed",
                       "call backward() without inputs, or leave the unit unwrapped"};
    }
    auto const segment = c10::static_intrusive_pointer_cast<Segment>(context->saved_data["segment"].toCapsule());
    std::vector<at::Tensor> inputs;
    for (at::Tensor const& saved : context->get_saved_variables()) {
      inputs.push_back(saved.defined() ? saved.detach().set_requires_grad(saved.requires_grad()) : saved);
    }
    at::Tensor output;
    {
      at::AutoGradMode const record{true};
      output = segment->run_again(inputs);
    }
    if (output.requires_grad()) torch::autograd::backward({output}, {gradients.front()});
    torch::autograd::variable_list result{at::Tensor{}, at::Tensor{}};  // of the segment and the anchor
    for (at::Tensor const& input : inputs) result.push_back(input.defined() ? input.grad() : at::Tensor{});
    return result;
  }
};

}  // namespace detail

/// A registered child whose activations are not kept for the backward pass but computed again (Chen et al., 2016).
///
/// Losses and gradients are those of the plain child to the last bit, also with dropout and autocast, and the random numbers
/// after it are the same. A child that changes itself in its forward pass, by running statistics say, does so twice.
/// Requires: tensors in, one tensor out. Cost: one forward pass more; the inputs and the generators' states are kept.
/// Example: `tacit::Checkpointed block{register_module("block", std::make_shared<Block>())}; ... x = block(x);`
template <class Module>
class Checkpointed {
 public:
  Checkpointed() = default;
  Checkpointed(std::shared_ptr<Module> module) : module_{std::move(module)} {}

  template <std::convertible_to<at::Tensor>... Tensors>
  at::Tensor operator()(Tensors const&... tensors) const {
    if (!at::GradMode::is_enabled()) return module_->forward(tensors...);
    std::vector<at::Tensor> const inputs{tensors...};
    c10::Device device{c10::DeviceType::CPU};
    for (at::Tensor const& input : inputs) {
      if (input.defined() && !input.is_cpu()) device = input.device();
    }
    auto forward = [module = module_](std::vector<at::Tensor> const& all) {
      return [&]<std::size_t... I>(std::index_sequence<I...>) -> at::Tensor { return module->forward(all[I]...); }(std::index_sequence_for<Tensors...>{});
    };
    auto const segment = c10::make_intrusive<detail::Segment>(std::move(forward), device);
    at::Tensor const anchor = at::empty({0}, at::TensorOptions{}.device(device)).set_requires_grad(true);
    return detail::CheckpointFunction::apply(segment, anchor, at::TensorList{inputs});
  }

  Module* operator->() const noexcept { return module_.get(); }
  Module& operator*() const noexcept { return *module_; }
  std::shared_ptr<Module> const& ptr() const noexcept { return module_; }

 private:
  std::shared_ptr<Module> module_;
};

}  // namespace tacit::inline v0
