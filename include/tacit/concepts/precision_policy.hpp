#pragma once

#include <concepts>
#include <string>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/slots.hpp"

namespace tacit::inline v0 {

/// What the loop asks of a bound precision, in the order of a step.
///
/// `casts`: `cast` changes a dtype (of parameters once, of floating inputs every batch); false costs nothing.
/// `autocast()`: an RAII guard around the task's step. `backward(loss, factor)`: gradients of factor * loss, scaled if the
/// policy scales. `unscale(parameters)`: whole gradients to their true size; the mask of an update that must change
/// nothing, or null. `after_update()`: once per update.
template <class Bound, class Parameters>
concept bound_precision = requires(Bound& bound, typename Parameters::tensor_type const& tensor, Parameters& parameters, double factor) {
  { Bound::casts } -> std::convertible_to<bool>;
  { bound.cast(tensor) } -> std::convertible_to<typename Parameters::tensor_type>;
  bound.autocast();
  bound.backward(tensor, factor);
  { bound.unscale(parameters) } -> std::same_as<typename Parameters::tensor_type const*>;
  bound.after_update();
  { bound.name() } -> std::convertible_to<std::string>;
};

/// In what precision training computes: `policy.bind<Parameters>(device)` gives a bound precision.
template <class Policy, class Parameters, class Device>
concept precision_policy = std::same_as<slot_of_t<Policy>, slot::precision> && requires(Policy const& policy, Device const& device) {
  { policy.template bind<Parameters>(device) } -> bound_precision<Parameters>;
};

/// The smallest precision policy: tests compile the trainer against it.
struct precision_archetype {
  using slot = slot::precision;
  template <class Parameters>
  struct bound {
    using tensor_type = typename Parameters::tensor_type;
    struct guard {
      guard() {}
      ~guard() {}
    };
    static constexpr bool casts = true;
    tensor_type cast(tensor_type const& tensor) { return tensor; }
    guard autocast() { return {}; }
    void backward(tensor_type const& loss, double factor) { tensor_traits<tensor_type>::backward(loss, factor); }
    tensor_type const* unscale(Parameters&) { return nullptr; }
    void after_update() {}
    char const* name() const { return "archetype"; }
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

}  // namespace tacit::inline v0
