#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/member_names.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/slots.hpp"

namespace tacit::inline v0 {

class LogPoint;

/// What the loop asks of a bound precision, in the order of a step.
///
/// `casts`: `cast` changes a dtype (of parameters once, of floating inputs every batch); false costs nothing.
/// `autocast()`: an RAII guard around the task's step. `backward(loss, factor)`: gradients of factor * loss, scaled if the
/// policy scales. `unscale(parameters)`: whole gradients to their true size; the mask of an update that must change
/// nothing, or null. `after_update()`: once per update, after that of the last phase.
///
/// Besides, it may have groups of members, each whole or not at all: `keeps_masters`, `may_skip_updates`, `scopes_runs`,
/// `scales_losses`. To name one member of a group and not the others does not compile.
template <class Bound, class Parameters>
concept bound_precision = requires(Bound& bound, typename Parameters::tensor_type const& tensor, Parameters& parameters, double factor) {
  typename std::bool_constant<static_cast<bool>(Bound::casts)>;
  { bound.cast(tensor) } -> std::convertible_to<typename Parameters::tensor_type>;
  requires !std::is_void_v<decltype(bound.autocast())>;
  bound.backward(tensor, factor);
  { bound.unscale(parameters) } -> std::same_as<typename Parameters::tensor_type const*>;
  bound.after_update();
  { bound.name() } -> std::convertible_to<std::string>;
};

/// A bound precision that keeps masters of the parameters beside the model's tensors. `prepare_parameters(parameters)` makes
/// them; `write_back(parameters)`: after the optimizer's step the model takes what the masters are.
template <class Bound, class Parameters>
concept keeps_masters = requires(Bound& bound, Parameters& parameters) {
  bound.prepare_parameters(parameters);
  bound.write_back(parameters);
};

/// One whose masks leave updates out. `skipped(LogPoint const*)`: how many so far, as far as the host knows without waiting;
/// schedules do not advance on them. `discard()`: forgets an update that was begun and is not made.
template <class Bound>
concept may_skip_updates = requires(Bound& bound, LogPoint const* log_point) {
  { bound.skipped(log_point) } -> std::same_as<std::int64_t>;
  bound.discard();
};

/// One that changes something for as long as a run lasts: `run_scope()`, an RAII guard.
template <class Bound>
concept scopes_runs = requires(Bound& bound) { requires std::is_class_v<decltype(bound.run_scope())>; };

/// One that scales losses, so that the loss of an update is computed once: `scaler()`, which callbacks may read.
template <class Bound>
concept scales_losses = requires(Bound& bound) { requires std::is_class_v<std::remove_cvref_t<decltype(bound.scaler())>>; };

/// In what precision training computes: `policy.bind<Parameters>(device)` gives a bound precision.
template <class Policy, class Parameters, class Device>
concept precision_policy = std::same_as<slot_of_t<Policy>, slot::precision> && requires(Policy const& policy, Device const& device) {
  { policy.template bind<Parameters>(device) } -> bound_precision<Parameters>;
};

namespace detail {

template <class Bound, class Parameters>
consteval misuse missing_in_bound_precision() {
  using tensor_type = typename Parameters::tensor_type;
  if constexpr (!requires { typename std::bool_constant<static_cast<bool>(Bound::casts)>; }) {
    return misuse::EP12;
  } else if constexpr (!requires(Bound& bound, tensor_type const& tensor) { { bound.cast(tensor) } -> std::convertible_to<tensor_type>; }) {
    return misuse::EP13;
  } else if constexpr (!requires(Bound& bound) { requires !std::is_void_v<decltype(bound.autocast())>; }) {
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

/// The first group of optional members that a bound precision names and does not have whole.
template <class Bound, class Parameters>
consteval misuse half_in_bound_precision() {
  if constexpr (!can_be_probed<Bound>) {
    return misuse::none;
  } else {
    using probe = named_twice<Bound>;
    if constexpr (!keeps_masters<Bound, Parameters> && !requires { &probe::prepare_parameters; &probe::write_back; }) {
      return misuse::EP74;
    } else if constexpr (!may_skip_updates<Bound> && !requires { &probe::skipped; &probe::discard; }) {
      return misuse::EP75;
    } else if constexpr (!scopes_runs<Bound> && !requires { &probe::run_scope; }) {
      return misuse::EP76;
    } else if constexpr (!scales_losses<Bound> && !requires { &probe::scaler; }) {
      return misuse::EP77;
    } else {
      return misuse::none;
    }
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
