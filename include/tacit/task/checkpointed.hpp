#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/empty.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/ScalarTypeToTypeMeta.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/policy/precision/autocast.hpp"
#include "tacit/task/module_modes.hpp"

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

/// What LibTorch's operations read from this thread and this process, as it is at one moment.
class OperationState {
 public:
  explicit OperationState(c10::Device device)
      : default_type_{c10::get_default_dtype_as_scalartype()},
        casts_{cast_of(c10::DeviceType::CPU), cast_of(device.type())},
        caches_casts_{at::autocast::is_autocast_cache_enabled()} {
    at::Context const& context = at::globalContext();
    switches_ = {context.deterministicAlgorithms(), context.deterministicAlgorithmsWarnOnly(), context.userEnabledMkldnn(), context.userEnabledFlashSDP(),
                 context.userEnabledMemEfficientSDP(), context.userEnabledMathSDP()};
  }

  /// While it lives, operations run in that state; then all is as before.
  class Scope;

 private:
  struct Cast {
    c10::DeviceType device;
    bool is_on;
    c10::ScalarType type;
  };
  static Cast cast_of(c10::DeviceType device) {
    return {device, at::autocast::is_autocast_enabled(device), at::autocast::get_autocast_dtype(device)};
  }

  void set() const {
    if (c10::get_default_dtype_as_scalartype() != default_type_) c10::set_default_dtype(c10::scalarTypeToTypeMeta(default_type_));
    for (Cast const& cast : casts_) {
      at::autocast::set_autocast_enabled(cast.device, cast.is_on);
      at::autocast::set_autocast_dtype(cast.device, cast.type);
    }
    at::autocast::set_autocast_cache_enabled(caches_casts_);
    at::Context& context = at::globalContext();
    auto const [deterministic, warns, mkldnn, flash, efficient, math] = switches_;
    if (context.deterministicAlgorithms() != deterministic || context.deterministicAlgorithmsWarnOnly() != warns) {
      context.setDeterministicAlgorithms(deterministic, warns);
    }
    if (context.userEnabledMkldnn() != mkldnn) context.setUserEnabledMkldnn(mkldnn);
    if (context.userEnabledFlashSDP() != flash) context.setSDPUseFlash(flash);
    if (context.userEnabledMemEfficientSDP() != efficient) context.setSDPUseMemEfficient(efficient);
    if (context.userEnabledMathSDP() != math) context.setSDPUseMath(math);
  }

  c10::ScalarType default_type_;
  std::array<Cast, 2> casts_;  // of the CPU and of the device
  bool caches_casts_;
  std::array<bool, 6> switches_{};
};

class OperationState::Scope {
 public:
  Scope(OperationState const& state, c10::Device device) : before_{device}, casts_{state.casts_[0].is_on || state.casts_[1].is_on} {
    state.set();
    // A cast of a parameter that was made outside belongs to another graph.
    if (casts_) {
      at::autocast::increment_nesting();
      at::autocast::clear_cache();
    }
  }
  Scope(Scope const&) = delete;
  Scope& operator=(Scope const&) = delete;
  ~Scope() {
    if (casts_) {
      at::autocast::decrement_nesting();
      at::autocast::clear_cache();
    }
    before_.set();
  }

 private:
  OperationState before_;
  bool casts_;
};

/// Which parameters and buffers of a module require a gradient at one moment.
class GradientFlags {
 public:
  template <class Module>
  explicit GradientFlags(Module& module) {
    if constexpr (requires { module.parameters(); }) note(module.parameters());
    if constexpr (requires { module.buffers(); }) note(module.buffers());
  }
  bool any() const {
    return std::ranges::any_of(flags_, [](auto const& one) { return one.second; });
  }
  /// While it lives, they are as they were noted; then as before.
  class Scope {
   public:
    explicit Scope(GradientFlags& flags) : flags_{flags} {
      for (auto& one : flags.flags_) exchange(one);
    }
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;
    ~Scope() {
      // Backwards: a tied tensor is noted twice.
      for (std::size_t i = flags_.flags_.size(); i-- > 0;) exchange(flags_.flags_[i]);
    }

   private:
    GradientFlags& flags_;
  };

 private:
  void note(std::vector<at::Tensor> const& tensors) {
    for (at::Tensor const& tensor : tensors) {
      if (tensor.defined() && tensor.is_leaf()) flags_.emplace_back(tensor, tensor.requires_grad());
    }
  }
  static void exchange(std::pair<at::Tensor, bool>& one) {
    auto& [tensor, required] = one;
    if (bool const now = tensor.requires_grad(); now != required) {
      tensor.set_requires_grad(required);
      required = now;
    }
  }

  std::vector<std::pair<at::Tensor, bool>> flags_{};
};

/// A piece of a forward pass, with all that it takes to run again in the same way.
class Segment : public torch::CustomClassHolder {
 public:
  using Forward = std::function<at::Tensor(std::vector<at::Tensor> const&)>;

  template <class Module>
  Segment(Module& module, Forward forward, std::vector<at::Tensor> const& inputs, c10::Device device)
      : forward_{std::move(forward)}, device_{device}, generators_{device}, operations_{device}, parameters_{module} {
    modes_.note(module);
    // `requires_grad()` of a leaf may be another one in the backward pass.
    for (at::Tensor const& input : inputs) inputs_require_.push_back(input.defined() && input.requires_grad());
  }

  bool wants_gradient() const {
    return parameters_.any() || std::ranges::any_of(inputs_require_, [](bool one) { return one; });
  }
  bool wants_gradient(std::size_t input) const { return inputs_require_[input]; }

  /// Runs as the child alone would, with a graph.
  at::Tensor run(std::vector<at::Tensor> const& inputs) { return output_ = forward_(inputs); }
  /// The values of that run; its graph is dropped.
  at::Tensor take_values() { return std::exchange(output_, at::Tensor{}).detach(); }

  /// Runs again in the state of the first time, and leaves all as it is.
  at::Tensor run_again(std::vector<at::Tensor> const& inputs) {
    RestoreGenerators const generators{device_};
    generators_.restore();
    OperationState::Scope const operations{operations_, device_};
    GradientFlags::Scope const parameters{parameters_};
    RestoreModes const modes{modes_};
    return forward_(inputs);
  }

 private:
  class RestoreGenerators {
   public:
    explicit RestoreGenerators(c10::Device device) : now_{device} {}
    RestoreGenerators(RestoreGenerators const&) = delete;
    RestoreGenerators& operator=(RestoreGenerators const&) = delete;
    ~RestoreGenerators() { now_.restore(); }

   private:
    GeneratorStates now_;
  };
  class RestoreModes {
   public:
    explicit RestoreModes(ModuleModes const& then) : now_{then.now()} { then.restore(); }
    RestoreModes(RestoreModes const&) = delete;
    RestoreModes& operator=(RestoreModes const&) = delete;
    ~RestoreModes() { now_.restore(); }

   private:
    ModuleModes now_;
  };

  Forward forward_;
  c10::Device device_;
  GeneratorStates generators_;
  OperationState operations_;
  GradientFlags parameters_;
  ModuleModes modes_{};
  std::vector<bool> inputs_require_{};
  at::Tensor output_{};
};

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  // `anchor` requires a gradient, so that there is a backward also where only parameters want one.
  static at::Tensor forward(torch::autograd::AutogradContext* context, c10::intrusive_ptr<Segment> const& segment, at::Tensor const& anchor,
                            at::TensorList inputs) {
    static_cast<void>(anchor);
    context->saved_data["segment"] = c10::IValue::make_capsule(segment);
    context->save_for_backward(inputs.vec());
    return segment->take_values();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list const& gradients) {
    if (!torch::autograd::Engine::get_default_engine().is_checkpoint_valid()) {
      throw UsageError{"TACIT-RU23", "the gradients of some inputs alone were asked for through a checkpointed unit", "Checkpointed",
                       "call backward() without inputs, or leave the unit unwrapped"};
    }
    auto const segment = c10::static_intrusive_pointer_cast<Segment>(context->saved_data["segment"].toCapsule());
    std::vector<at::Tensor> inputs;
    for (at::Tensor const& saved : context->get_saved_variables()) {
      inputs.push_back(saved.defined() ? saved.detach().set_requires_grad(segment->wants_gradient(inputs.size())) : saved);
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
/// after it are the same. The second run takes the state of the first: training modes, which parameters require a gradient,
/// autocast, default dtype, generators. Where autocast casts a weight once for several uses in one step, the plain child sums the
/// gradients of the uses in the small type and a checkpointed one in the weight's. A child that changes itself in its forward pass,
/// by running statistics say, does so twice.
/// Requires: tensors in, one tensor out; what the child computes with is registered in it. Cost: one forward pass more; the inputs
/// and the generators' states are kept. Where nothing of it requires a gradient it is the plain child.
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
    auto const segment = c10::make_intrusive<detail::Segment>(*module_, std::move(forward), inputs, device);
    if (!segment->wants_gradient()) return module_->forward(tensors...);
    if (at::Tensor const output = segment->run(inputs); !output.requires_grad()) return output;
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
