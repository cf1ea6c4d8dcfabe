#pragma once

#include <concepts>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/concepts/tensor.hpp"

namespace tacit::inline v0 {

/// A tensor type that can be had in double precision.
template <class Tensor>
concept has_float64 = requires(Tensor const& tensor) {
  { tensor_traits<Tensor>::to_float64(tensor) } -> std::same_as<Tensor>;
};

/// Double precision: parameters and buffers once, floating inputs every batch. Integers stay as they are.
struct Fp64 {
  using slot = slot::precision;

  template <class Parameters>
  struct bound {
    using tensor_type = typename Parameters::tensor_type;
    struct no_guard {};
    static constexpr bool casts = true;
    tensor_type cast(tensor_type const& tensor) const { return tensor_traits<tensor_type>::to_float64(tensor); }
    no_guard autocast() const noexcept { return {}; }
    void backward(tensor_type const& loss, double factor) const { tensor_traits<tensor_type>::backward(loss, factor); }
    tensor_type const* unscale(Parameters&) const noexcept { return nullptr; }
    void after_update() const noexcept {}
    static constexpr char const* name() noexcept { return "fp64"; }
  };

  template <class Parameters, class Device>
    requires has_float64<typename Parameters::tensor_type>
  constexpr bound<Parameters> bind(Device const&) const noexcept {
    return {};
  }
};

}  // namespace tacit::inline v0
