#pragma once

#include <concepts>
#include <string>

#include "tacit/core/slots.hpp"

namespace tacit::inline v0 {

/// What the loop asks of a bound device.
///
/// `is_host`: `to` returns its argument, so nothing is transferred and nothing is compiled for it.
/// `host_reads_free()`: reading a scalar on the host waits for nothing.
template <class Bound, class Tensor>
concept bound_device = requires(Bound& bound, Bound const& fixed, Tensor const& tensor) {
  { Bound::is_host } -> std::convertible_to<bool>;
  { fixed.to(tensor) } -> std::convertible_to<Tensor>;
  { fixed.host_reads_free() } -> std::same_as<bool>;
  { fixed.name() } -> std::convertible_to<std::string>;
  bound.synchronize();
};

/// Where training computes: `policy.bind<Tensor>()` gives a bound device.
template <class Policy, class Tensor>
concept device_policy = std::same_as<slot_of_t<Policy>, slot::device> && requires(Policy const& policy) {
  { policy.template bind<Tensor>() } -> bound_device<Tensor>;
};

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
