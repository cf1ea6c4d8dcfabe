#pragma once

#include "tacit/concepts/precision_policy.hpp"

namespace tacit::inline v0 {

/// The model's own dtypes, no autocast, no scaling: nothing is compiled in for it.
struct Fp32 {
  using slot = slot::precision;

  template <class Parameters>
  struct bound {
    using tensor_type = typename Parameters::tensor_type;
    struct no_guard {};
    static constexpr bool casts = false;
    tensor_type const& cast(tensor_type const& tensor) const noexcept { return tensor; }
    no_guard autocast() const noexcept { return {}; }
    void backward(tensor_type const& loss, double factor) const { tensor_traits<tensor_type>::backward(loss, factor); }
    tensor_type const* unscale(Parameters&) const noexcept { return nullptr; }
    void after_update() const noexcept {}
    static constexpr char const* name() noexcept { return "fp32"; }
  };

  template <class Parameters, class Device>
  constexpr bound<Parameters> bind(Device const&) const noexcept {
    return {};
  }
};

}  // namespace tacit::inline v0
