#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "tacit/core/fixed_string.hpp"

namespace tacit::inline v0::detail {

// A bound optimizer has the fields lr, momentum and weight_decay as members of its `options` or of its own; any other one,
// or one that is no plain double, by a pair of functions `field(name<"x">{})` and `set_field(name<"x">{}, value)`.

template <fixed_string Name, class Optimizer>
concept states_field = requires(Optimizer& optimizer, double value) {
  { optimizer.field(name<Name>{}) } -> std::convertible_to<double>;
  optimizer.set_field(name<Name>{}, value);
};

template <fixed_string Name, class Options>
constexpr double* find_field(Options& options) {
  if constexpr (Name == fixed_string{"lr"} && requires { &options.lr; }) {
    return &options.lr;
  } else if constexpr (Name == fixed_string{"momentum"} && requires { &options.momentum; }) {
    return &options.momentum;
  } else if constexpr (Name == fixed_string{"weight_decay"} && requires { &options.weight_decay; }) {
    return &options.weight_decay;
  } else if constexpr (requires { options.options; }) {
    return find_field<Name>(options.options);
  } else {
    return nullptr;
  }
}
template <fixed_string Name, class Options>
consteval bool finds_field() {
  if constexpr (Name == fixed_string{"lr"} && requires(Options& o) { &o.lr; }) {
    return true;
  } else if constexpr (Name == fixed_string{"momentum"} && requires(Options& o) { &o.momentum; }) {
    return true;
  } else if constexpr (Name == fixed_string{"weight_decay"} && requires(Options& o) { &o.weight_decay; }) {
    return true;
  } else if constexpr (requires(Options& o) { o.options; }) {
    return finds_field<Name, std::remove_cvref_t<decltype(std::declval<Options&>().options)>>();
  } else {
    return false;
  }
}
template <fixed_string Name, class Optimizer>
inline constexpr bool has_field = states_field<Name, Optimizer> || finds_field<Name, Optimizer>();

template <fixed_string Name, class Optimizer>
double read_field(Optimizer& optimizer) {
  if constexpr (states_field<Name, Optimizer>) {
    return optimizer.field(name<Name>{});
  } else {
    return *find_field<Name>(optimizer);
  }
}
template <fixed_string Name, class Optimizer>
void write_field(Optimizer& optimizer, double value) {
  if constexpr (states_field<Name, Optimizer>) {
    optimizer.set_field(name<Name>{}, value);
  } else {
    *find_field<Name>(optimizer) = value;
  }
}

}  // namespace tacit::inline v0::detail
