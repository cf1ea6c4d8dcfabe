#pragma once

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

#include "tacit/core/member_names.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/slots.hpp"

namespace tacit::inline v0 {

/// What the loop asks of a bound device.
///
/// `is_host`: `to` returns its argument, so nothing is transferred and nothing is compiled for it.
/// `host_reads_free()`: reading a scalar on the host waits for nothing. Besides, it may have `releases_memory`.
template <class Bound, class Tensor>
concept bound_device = requires(Bound& bound, Bound const& fixed, Tensor const& tensor) {
  typename std::bool_constant<static_cast<bool>(Bound::is_host)>;
  { fixed.to(tensor) } -> std::convertible_to<Tensor>;
  { fixed.host_reads_free() } -> std::same_as<bool>;
  { fixed.name() } -> std::convertible_to<std::string>;
  bound.synchronize();
};

/// One that gives memory back to the device once an allocation failed: `release_memory()`.
template <class Bound>
concept releases_memory = requires(Bound& bound) { bound.release_memory(); };

/// One that looks at the work: `run_scope()`, an RAII guard for as long as a run lasts, `forward_scope()`, a guard around each forward pass,
/// and `after_update()`.
template <class Bound>
concept scopes_steps = requires(Bound& bound) {
  requires std::is_class_v<decltype(bound.run_scope())>;
  requires std::is_class_v<decltype(bound.forward_scope())>;
  bound.after_update();
};

/// Where training computes: `policy.bind<Tensor>()` gives a bound device.
template <class Policy, class Tensor>
concept device_policy = std::same_as<slot_of_t<Policy>, slot::device> && requires(Policy const& policy) {
  { policy.template bind<Tensor>() } -> bound_device<Tensor>;
};

namespace detail {

template <class Bound, class Tensor>
consteval misuse missing_in_bound_device() {
  if constexpr (!requires { typename std::bool_constant<static_cast<bool>(Bound::is_host)>; }) {
    return misuse::EP02;
  } else if constexpr (!requires(Bound const& fixed, Tensor const& tensor) { { fixed.to(tensor) } -> std::convertible_to<Tensor>; }) {
    return misuse::EP03;
  } else if constexpr (!requires(Bound const& fixed) { { fixed.host_reads_free() } -> std::same_as<bool>; }) {
    return misuse::EP04;
  } else if constexpr (!requires(Bound const& fixed) { { fixed.name() } -> std::convertible_to<std::string>; }) {
    return misuse::EP05;
  } else if constexpr (!requires(Bound& bound) { bound.synchronize(); }) {
    return misuse::EP06;
  } else {
    return misuse::none;
  }
}

/// The first group of optional members that a bound device names and does not have whole.
template <class Bound>
consteval misuse half_in_bound_device() {
  if constexpr (!can_be_probed<Bound>) {
    return misuse::none;
  } else {
    using probe = named_twice<Bound>;
    if constexpr (!releases_memory<Bound> && !requires { &probe::release_memory; }) {
      return misuse::EP78;
    } else if constexpr (!scopes_steps<Bound> && !requires { &probe::run_scope; &probe::forward_scope; }) {
      return misuse::EP79;
    } else {
      return misuse::none;
    }
  }
}

/// The first requirement that a device policy does not meet.
template <class Policy, class Tensor>
consteval misuse missing_in_device() {
  if constexpr (!std::same_as<slot_of_t<Policy>, slot::device>) {
    return misuse::ES01;
  } else if constexpr (!requires(Policy const& policy) { requires std::is_class_v<decltype(policy.template bind<Tensor>())>; }) {
    return misuse::EP01;
  } else {
    return missing_in_bound_device<decltype(std::declval<Policy const&>().template bind<Tensor>()), Tensor>();
  }
}

}  // namespace detail

/// One numbered error for the first requirement of `device_policy` that a type lacks: `static_assert(require_device_policy<Mine, at::Tensor>())`.
template <class Policy, class Tensor>
consteval bool require_device_policy() {
  return detail::report(bad<detail::missing_in_device<Policy, Tensor>(), Policy>{});
}

/// The smallest device policy: tests compile the trainer against it.
struct device_archetype {
  using slot = slot::device;
  template <class Tensor>
  struct bound {
    static constexpr bool is_host = false;
    Tensor to(Tensor const& tensor) const { return tensor; }
    bool host_reads_free() const { return true; }
    char const* name() const { return "archetype"; }
    void synchronize() {}
  };
  template <class Tensor>
  bound<Tensor> bind() const {
    return {};
  }
};

}  // namespace tacit::inline v0
