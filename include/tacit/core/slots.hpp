#pragma once

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// The places of a composition that a type can fill; a type names its own by the member alias `slot`.
namespace slot {
struct task;
struct optimizer;
struct device;
struct precision;
struct distribution;
struct callbacks;
struct automatic;  ///< fills device, precision and distribution where nothing is named
struct eval_sets;
}  // namespace slot

template <class T>
concept has_slot = requires { typename T::slot; };

namespace detail {
template <class T>
struct slot_of {
  using type = void;
};
template <has_slot T>
struct slot_of<T> {
  using type = typename T::slot;
};
}  // namespace detail

/// The slot that T fills; void where it fills none.
template <class T>
using slot_of_t = typename detail::slot_of<T>::type;

}  // namespace tacit::inline v0
