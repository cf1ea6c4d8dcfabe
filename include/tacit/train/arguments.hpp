#pragma once

#include <concepts>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/core/slots.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/task/supervised.hpp"
#include "tacit/train/composition.hpp"

namespace tacit::inline v0 {

// The trainer's arguments, each for its slot.

namespace detail {

/// The flat pack's elements, whether the caller gave a pack or not.
template <class Callbacks>
struct pack_defaults;
template <class... C>
struct pack_defaults<CallbackPack<C...>> {
  using type = std::tuple<make_default<C>...>;
};

struct nothing {};

/// The argument that fills a slot, or `fallback`.
template <class Slot, class Fallback>
Fallback pick(Fallback fallback) {
  return fallback;
}
template <class Slot, class Fallback, class First, class... Rest>
decltype(auto) pick(Fallback fallback, First& first, Rest&... rest) {
  if constexpr (std::same_as<slot_of_t<std::remove_cvref_t<First>>, Slot>) {
    return (first);
  } else {
    return pick<Slot>(fallback, rest...);
  }
}

/// An automatic argument tells what it chose, once everything is bound.
template <class Core, class... A>
void announce_choices(Core& core, A&... arguments) {
  auto&& automatic = pick<slot::automatic>(nothing{}, arguments...);
  if constexpr (requires { automatic.announce(core); }) automatic.announce(core);
}

template <class Policy, class Slot, class... A>
Policy pick_policy(A&... arguments) {
  auto&& given = pick<Slot>(nothing{}, arguments...);
  if constexpr (!std::same_as<std::remove_cvref_t<decltype(given)>, nothing>) {
    static_assert(std::same_as<std::remove_cvref_t<decltype(given)>, Policy>);
    return given;
  } else {
    auto&& automatic = pick<slot::automatic>(nothing{}, arguments...);
    if constexpr (std::same_as<std::remove_cvref_t<decltype(automatic)>, nothing>) {
      return Policy{};
    } else if constexpr (std::same_as<Slot, slot::device>) {
      return automatic.make_device();
    } else if constexpr (std::same_as<Slot, slot::precision>) {
      return automatic.make_precision();
    } else {
      return automatic.make_distribution();
    }
  }
}

template <class Callbacks, class... A>
auto pick_callbacks(A&... arguments) {
  auto&& given = pick<slot::callbacks>(nothing{}, arguments...);
  auto&& sets = pick<slot::eval_sets>(nothing{}, arguments...);
  if constexpr (std::same_as<std::remove_cvref_t<decltype(given)>, nothing>) {
    return typename pack_defaults<Callbacks>::type{};  // with the eval sets
  } else if constexpr (std::same_as<std::remove_cvref_t<decltype(sets)>, nothing>) {
    return flat<std::remove_cvref_t<decltype(given)>>::refs(given);
  } else {
    return std::tuple_cat(flat<std::remove_cvref_t<decltype(given)>>::refs(given), std::tuple<make_default<std::remove_cvref_t<decltype(sets)>>>{});
  }
}

template <class Task, class Model, class Loss, class Optimizer, class... Rest>
Task make_supervised(Model& model, Loss& loss, Optimizer& optimizer, Rest&...) {
  return Task{shared_model(model), std::move(loss), std::move(optimizer)};
}
template <class Task, class First, class... Rest>
Task make_task(First& first, Rest&... rest) {
  if constexpr (std::same_as<slot_of_t<std::remove_cvref_t<First>>, slot::task>) {
    return std::move(first);
  } else {
    return make_supervised<Task>(first, rest...);
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
