#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "tacit/core/member_names.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"

namespace tacit::inline v0 {

/// What an update is given besides the parameters.
template <class Tensor>
struct update_input {
  /// float32 scalar on the parameters' device, or null: where it is not 0 the update changes nothing.
  Tensor const* mask = nullptr;
};

namespace detail {
/// A closure as an optimizer is given it.
template <class Tensor>
struct closure_archetype {
  Tensor operator()() const;
};
template <class Bound, class Parameters>
concept steps = requires(Bound&& bound, Parameters& parameters, update_input<typename Parameters::tensor_type> const& input) {
  std::forward<Bound>(bound).step(parameters, input);
};
/// Parameter groups of an optimizer with a closure: each would compute the loss of all, and see what the others did
/// meanwhile.
template <class Bound>
inline constexpr bool groups_closures = requires { requires Bound::groups_closures; };
template <class Bound, class Parameters>
concept steps_with_closure = requires { requires std::remove_cvref_t<Bound>::takes_closure; } &&
    requires(Bound&& bound, Parameters& parameters, closure_archetype<typename Parameters::tensor_type> const& closure) {
      std::forward<Bound>(bound).step(parameters, closure);
    };
/// An optimizer with weights of its own, as Lookahead: it is told when a run begins and ends, because the model's
/// weights may be loaded between two runs.
template <class Bound, class Parameters>
concept keeps_weights = requires(Bound& bound, Parameters& parameters) {
  bound.run_begins(parameters);
  { bound.run_ends(parameters) } noexcept;
};
}  // namespace detail

/// A recipe, `optim::Sgd{.lr = 1e-3}`: bound after the model is on its device, it allocates its state there.
///
/// `recipe.bind(parameters)` gives the bound optimizer; `bound.step(parameters, update_input)` updates every parameter
/// that has a gradient; `bound.parameters_changed(parameters)` is called after parameters came or went: it gives new
/// ones their slots and keeps what the others have. `Bound::maskable` tells whether `step` obeys `update_input::mask`
/// on the device; for one that does not, the loop reads the mask on the host first (one wait per update).
///
/// One that computes the loss several times in an update has `static constexpr bool takes_closure = true` and
/// `step(parameters, closure)` in place of the other: each call of `closure()` makes the gradients of the whole window anew and
/// returns its mean loss, a scalar on the host.
template <class Recipe, class Parameters>
concept optimizer_recipe = requires(Recipe const& recipe, Parameters& parameters) {
  requires !detail::groups_closures<decltype(recipe.bind(parameters))>;
  requires detail::steps<decltype(recipe.bind(parameters)), Parameters> || detail::steps_with_closure<decltype(recipe.bind(parameters)), Parameters>;
  recipe.bind(parameters).parameters_changed(parameters);
  { std::bool_constant<decltype(recipe.bind(parameters))::maskable>{} };
};

namespace detail {

template <class Bound, class Parameters>
consteval misuse missing_in_bound_optimizer() {
  if constexpr (groups_closures<std::remove_cvref_t<Bound>>) {
    return misuse::EO05;
  } else if constexpr (!steps<Bound, Parameters> && !steps_with_closure<Bound, Parameters>) {
    return misuse::EO01;
  } else if constexpr (!requires(Bound&& bound, Parameters& parameters) { std::forward<Bound>(bound).parameters_changed(parameters); }) {
    return misuse::EO02;
  } else if constexpr (!requires { std::bool_constant<Bound::maskable>{}; }) {
    return misuse::EO03;
  } else {
    return misuse::none;
  }
}

/// An optimizer that is told when its state was loaded, and then derives anew what depends on it.
template <class Bound>
concept hears_of_state = requires(Bound& bound) {
  { bound.state_loaded() } noexcept;
};

/// The first group of optional members that a bound optimizer names and does not have whole: a step with a closure, the
/// pair `field(name<"x">{})`, `set_field(name<"x">{}, value)`, `state_loaded()`, and the pair `run_begins`, `run_ends`.
template <class Bound, class Parameters>
consteval misuse half_in_bound_optimizer() {
  if constexpr (!can_be_probed<Bound>) {
    return misuse::none;
  } else {
    using probe = named_twice<Bound>;
    constexpr bool states_closure = requires { std::bool_constant<Bound::takes_closure>{}; };
    if constexpr (!requires { &probe::takes_closure; } && !states_closure) {
      return misuse::EO20;
    } else if constexpr (requires { requires Bound::takes_closure; } && !steps_with_closure<Bound&, Parameters>) {
      return misuse::EO20;
    } else if constexpr (requires { &probe::field; } != requires { &probe::set_field; }) {
      return misuse::EO21;
    } else if constexpr (!requires { &probe::state_loaded; } && !hears_of_state<Bound> &&
                         !requires(Bound& bound) { { Bound::state_loaded(bound) } noexcept; }) {
      return misuse::EO22;
    } else if constexpr ((!requires { &probe::run_begins; } || !requires { &probe::run_ends; }) && !keeps_weights<Bound, Parameters>) {
      return misuse::EO23;
    } else {
      return misuse::none;
    }
  }
}

/// The first requirement that an optimizer recipe does not meet.
template <class Recipe, class Parameters>
consteval misuse missing_in_optimizer() {
  if constexpr (!requires(Recipe const& recipe, Parameters& parameters) { requires std::is_class_v<decltype(recipe.bind(parameters))>; }) {
    return misuse::ES06;
  } else {
    return missing_in_bound_optimizer<decltype(std::declval<Recipe const&>().bind(std::declval<Parameters&>())), Parameters>();
  }
}

}  // namespace detail

/// One numbered error for the first requirement of `optimizer_recipe` that a type lacks.
template <class Recipe, class Parameters>
consteval bool require_optimizer_recipe() {
  return detail::report(bad<detail::missing_in_optimizer<Recipe, Parameters>(), Recipe>{});
}

}  // namespace tacit::inline v0
