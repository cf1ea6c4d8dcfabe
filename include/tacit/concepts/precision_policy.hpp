#pragma once

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/slots.hpp"

namespace tacit::inline v0 {

/// What the loop asks of a bound precision, in the order of a step.
///
/// `casts`: `cast` changes a dtype (of parameters once, of floating inputs every batch); false costs nothing.
/// `autocast()`: an RAII guard around the task's step. `backward(loss, factor)`: gradients of factor * loss, scaled if the
/// policy scales. `unscale(parameters)`: whole gradients to their true size; the mask of an update that must change
/// nothing, or null. `after_update()`: once per update, after that of the last phase.
///
/// Optional: `skipped(LogPoint const*)`, how many updates such masks left out so far, as far as the host knows without
/// waiting. Schedules do not advance on them.
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

/// A bound precision that keeps masters of the parameters beside the model's tensors.
template <class Bound, class Parameters>
concept keeps_masters = requires(Bound& bound, Parameters& parameters) { bound.prepare_parameters(parameters); };

/// In what precision training computes: `policy.bind<Parameters>(device)` gives a bound precision.
template <class Policy, class Parameters, class Device>
concept precision_policy = std::same_as<slot_of_t<Policy>, slot::precision> && requires(Policy const& policy, Device const& device) {
  { policy.template bind<Parameters>(device) } -> bound_precision<Parameters>;
};

namespace detail {

template <class Bound, class Parameters>
consteval misuse missing_in_bound_precision() {
  using tensor_type = typename Parameters::tensor_type;
  if constexpr (!requires { { Bound::casts } -> std::convertible_to<bool>; }) {
    return misuse::EP12;
  } else if constexpr (!requires(Bound& bound, tensor_type const& tensor) { { bound.cast(tensor) } -> std::convertible_to<tensor_type>; }) {
    return misuse::EP13;
  } else if constexpr (!requires(Bound& bound) { bound.autocast(); }) {
    return misuse::EP14;
  } else if constexpr (!requires(Bound& bound, tensor_type const& loss, double factor) { bound.backward(loss, factor); }) {
    return misuse::EP15;
  } else if constexpr (!requires(Bound& bound, Parameters& parameters) { { bound.unscale(parameters) } -> std::same_as<tensor_type const*>; }) {
    return misuse::EP16;
  } else if constexpr (!requires(Bound& bound) { bound.after_update(); }) {
    return misuse::EP17;
  } else if constexpr (!requires(Bound& bound) { { bound.name() } -> std::convertible_to<std::string>; }) {
    return misuse::EP18;
  } else {
    return misuse::none;
  }
}

/// The first requirement that a precision policy does not meet.
template <class Policy, class Parameters, class Device>
consteval misuse missing_in_precision() {
  if constexpr (!std::same_as<slot_of_t<Policy>, slot::precision>) {
    return misuse::ES01;
  } else if constexpr (!requires(Policy const& policy, Device const& device) {
                         requires std::is_class_v<decltype(policy.template bind<Parameters>(device))>;
                       }) {
    return misuse::EP11;
  } else {
    return missing_in_bound_precision<decltype(std::declval<Policy const&>().template bind<Parameters>(std::declval<Device const&>())), Parameters>();
  }
}

}  // namespace detail

/// One numbered error for the first requirement of `precision_policy` that a type lacks.
template <class Policy, class Parameters, class Device>
consteval bool require_precision_policy() {
  return detail::report(bad<detail::missing_in_precision<Policy, Parameters, Device>(), Policy>{});
}

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
