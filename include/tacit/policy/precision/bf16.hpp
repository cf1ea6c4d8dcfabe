#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <concepts>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/policy/precision/autocast.hpp"

namespace tacit::inline v0 {

/// Mixed precision: parameters, gradients and updates stay float32, and the operations that bear it (matrix products,
/// convolutions, attention) compute in bfloat16 within the task's step.
///
/// There is no loss scaling: bfloat16 has the range of float32. Predictions may be bfloat16 in callbacks.
struct Bf16 {
  using slot = slot::precision;

  template <class Parameters>
  class bound {
   public:
    using tensor_type = typename Parameters::tensor_type;
    static constexpr bool casts = false;

    explicit bound(c10::DeviceType type) noexcept : type_{type} {}

    tensor_type const& cast(tensor_type const& tensor) const noexcept { return tensor; }
    AutocastScope autocast() const { return {type_, c10::ScalarType::BFloat16}; }
    void backward(tensor_type const& loss, double factor) const { tensor_traits<tensor_type>::backward(loss, factor); }
    tensor_type const* unscale(Parameters&) const noexcept { return nullptr; }
    void after_update() const noexcept {}
    static constexpr char const* name() noexcept { return "bf16"; }

   private:
    c10::DeviceType type_;
  };

  template <class Parameters, class Device>
    requires std::same_as<typename Parameters::tensor_type, at::Tensor>
  bound<Parameters> bind(Device const& device) const {
    return bound<Parameters>{detail::device_type_of(device)};
  }
};

}  // namespace tacit::inline v0
