#pragma once

#include "tacit/core/list.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/distribution/single_process.hpp"
#include "tacit/policy/precision/fp32.hpp"

namespace tacit::inline v0 {

namespace detail {
template <class Policy>
concept states_excludes = requires { typename Policy::excludes; };
template <class Policy>
concept states_excludes_badly = (states_excludes<Policy> && !is_specialization_v<typename Policy::excludes, list>) ||
                                requires { &Policy::excludes; };

template <class A, class B>
consteval bool excludes() {
  if constexpr (states_excludes<A>) {
    return contains_v<typename A::excludes, B>;
  } else {
    return false;
  }
}
}  // namespace detail

/// False for a pair of policies that makes no sense together: one names the other in `using excludes = list<Other>`.
template <class A, class B>
inline constexpr bool compatible = !detail::excludes<A, B>();

namespace detail {
/// What stands in the slots that nothing named fills: the automatic policies where there is one, else the plain ones.
template <class Automatic>
struct automatic_policies {
  using device = typename Automatic::device;
  using precision = typename Automatic::precision;
  using distribution = typename Automatic::distribution;
};
template <>
struct automatic_policies<void> {
  using device = Cpu;
  using precision = Fp32;
  using distribution = SingleProcess;
};
}  // namespace detail

}  // namespace tacit::inline v0
