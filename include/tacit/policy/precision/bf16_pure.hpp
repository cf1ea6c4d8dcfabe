#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/ScalarType.h>

#include <concepts>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/task/aten.hpp"

namespace tacit::inline v0 {

/// The whole model in bfloat16: parameters, buffers, inputs, gradients. The optimizer updates float32 masters of the
/// parameters, so that small updates are not lost; its state is float32, too.
///
/// Masters begin with the parameters as they were before the cast. Gradients are clipped and applied in float32. A parameter
/// that two phases train would have two masters, which is an error.
struct Bf16Pure {
  using slot = slot::precision;

  template <class Parameters>
  class bound {
   public:
    using tensor_type = typename Parameters::tensor_type;
    struct no_guard {};
    static constexpr bool casts = true;

    tensor_type cast(tensor_type const& tensor) const {
      return tensor.defined() && tensor.is_floating_point() ? tensor.to(at::kBFloat16) : tensor;
    }
    no_guard autocast() const noexcept { return {}; }
    void backward(tensor_type const& loss, double factor) const { tensor_traits<tensor_type>::backward(loss, factor); }

    /// Gives every parameter that has none its master, and the model bfloat16. Where the model has other values than its
    /// master made, weights that were loaded, say, the master takes them.
    void prepare_parameters(Parameters& parameters) const {
      at::NoGradGuard const guard;
      for (auto& parameter : parameters) {
        if (!parameter.model.is_floating_point()) continue;
        if (!parameter.master.is_same(parameter.model)) {
          if (!parameter.model.equal(parameter.master.to(at::kBFloat16))) parameter.master.copy_(parameter.model);
          continue;
        }
        parameter.master = parameter.model.detach().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
        parameter.model.set_data(parameter.model.to(at::kBFloat16));
      }
    }
    /// Gradients become float32 ones of the masters. There is no mask.
    tensor_type const* unscale(Parameters& parameters) const {
      at::NoGradGuard const guard;
      for (auto& parameter : parameters) {
        at::Tensor& gradient = parameter.model.mutable_grad();
        if (parameter.master.is_same(parameter.model) || !gradient.defined()) continue;
        parameter.master.mutable_grad() = gradient.to(at::kFloat);
        gradient.reset();
      }
      return nullptr;
    }
    /// The model takes what the masters are.
    void write_back(Parameters& parameters) const {
      at::NoGradGuard const guard;
      for (auto& parameter : parameters) {
        if (!parameter.master.is_same(parameter.model)) parameter.model.copy_(parameter.master);
      }
    }
    void after_update() const noexcept {}
    static constexpr char const* name() noexcept { return "bf16-pure"; }
  };

  template <class Parameters, class Device>
    requires std::same_as<typename Parameters::tensor_type, at::Tensor>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

}  // namespace tacit::inline v0
