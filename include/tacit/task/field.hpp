#pragma once

#include <concepts>
#include <string_view>
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

/// The member of that name; void where there is none.
template <fixed_string Name, class Options>
constexpr decltype(auto) find_field(Options& options) {
  if constexpr (Name == fixed_string{"lr"} && requires { &options.lr; }) {
    return (options.lr);
  } else if constexpr (Name == fixed_string{"momentum"} && requires { &options.momentum; }) {
    return (options.momentum);
  } else if constexpr (Name == fixed_string{"weight_decay"} && requires { &options.weight_decay; }) {
    return (options.weight_decay);
  } else if constexpr (requires { options.options; }) {
    return find_field<Name>(options.options);
  }
}
template <fixed_string Name, class Optimizer>
inline constexpr bool has_own_field = states_field<Name, Optimizer> || std::same_as<decltype(find_field<Name>(std::declval<Optimizer&>())), double&>;

/// An optimizer of parameter groups, each with a bound optimizer of its own.
template <class Optimizer>
concept grouped_optimizer = requires(Optimizer& optimizer) { optimizer.parts().front().optimizer; };

/// An optimizer around another one: its fields and groups are those of `inner()`.
template <class Optimizer>
concept wrapping_optimizer = requires(Optimizer& optimizer) { optimizer.inner(); };

template <fixed_string Name, class Optimizer>
consteval bool finds_field() {
  if constexpr (grouped_optimizer<Optimizer>) {
    return finds_field<Name, std::remove_reference_t<decltype(std::declval<Optimizer&>().parts().front().optimizer)>>();
  } else if constexpr (wrapping_optimizer<Optimizer>) {
    return finds_field<Name, std::remove_reference_t<decltype(std::declval<Optimizer&>().inner())>>();
  } else {
    return has_own_field<Name, Optimizer>;
  }
}
template <fixed_string Name, class Optimizer>
inline constexpr bool has_field = finds_field<Name, Optimizer>();

/// Calls visit(name of the group, its optimizer) for the optimizers that have fields of their own, behind whatever wraps
/// them; one without groups has no name. Groups within a group have its name.
template <class Optimizer, class Visit>
void for_each_group(Optimizer& optimizer, Visit&& visit, std::string_view name = {}) {
  if constexpr (grouped_optimizer<Optimizer>) {
    for (auto& part : optimizer.parts()) {
      for_each_group(part.optimizer, visit, name.empty() ? std::string_view{part.name} : name);
    }
  } else if constexpr (wrapping_optimizer<Optimizer>) {
    for_each_group(optimizer.inner(), visit, name);
  } else {
    visit(name, optimizer);
  }
}

/// Whether there is a group of that name, also one that has no parameter yet.
template <class Optimizer>
bool has_group(Optimizer& optimizer, std::string_view name) {
  if constexpr (requires { optimizer.has_group(name); }) {
    return optimizer.has_group(name);
  } else if constexpr (wrapping_optimizer<Optimizer>) {
    return has_group(optimizer.inner(), name);
  } else {
    return false;
  }
}

/// Whether a group may come within the run, with values of its own.
template <class Optimizer>
bool has_waiting_group(Optimizer& optimizer) {
  if constexpr (requires { optimizer.has_waiting_group(); }) {
    return optimizer.has_waiting_group();
  } else if constexpr (wrapping_optimizer<Optimizer>) {
    return has_waiting_group(optimizer.inner());
  } else {
    return false;
  }
}

template <fixed_string Name, class Optimizer>
double read_field(Optimizer& optimizer) {
  if constexpr (states_field<Name, Optimizer>) {
    return optimizer.field(name<Name>{});
  } else {
    return find_field<Name>(optimizer);
  }
}
template <fixed_string Name, class Optimizer>
void write_field(Optimizer& optimizer, double value) {
  if constexpr (states_field<Name, Optimizer>) {
    optimizer.set_field(name<Name>{}, value);
  } else {
    find_field<Name>(optimizer) = value;
  }
}

}  // namespace tacit::inline v0::detail
