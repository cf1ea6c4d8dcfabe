#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/train/checks/first_of.hpp"

namespace tacit::inline v0 {

namespace detail {

template <class T>
concept known_slot = std::same_as<slot_of_t<T>, slot::device> || std::same_as<slot_of_t<T>, slot::precision> ||
                     std::same_as<slot_of_t<T>, slot::distribution> || std::same_as<slot_of_t<T>, slot::callbacks> ||
                     std::same_as<slot_of_t<T>, slot::automatic> || std::same_as<slot_of_t<T>, slot::eval_sets>;

/// The arguments that fill a slot.
template <class Slot, class... A>
constexpr auto fill(list<A...>) {
  return concat_t<std::conditional_t<std::same_as<slot_of_t<A>, Slot>, list<A>, list<>>...>{};
}
template <class Slot, class List>
using filled_by = decltype(fill<Slot>(List{}));

template <class List, class Default>
struct first_or {
  using type = Default;
};
template <class First, class... Rest, class Default>
struct first_or<list<First, Rest...>, Default> {
  using type = First;
};
/// The one argument for a slot, or the default.
template <class Slot, class Default, class List>
using filled_t = typename first_or<filled_by<Slot, List>, Default>::type;

template <class Arguments, class... Slots>
constexpr auto check_filled_once(list<Slots...>) {
  constexpr std::size_t at = first_true({(filled_by<Slots, Arguments>::size > 1)...});
  if constexpr (at < sizeof...(Slots)) {
    using twice = type_at_t<at, list<Slots...>>;
    return refuse<misuse::ES02, filled_by<twice, Arguments>, twice>{};
  } else {
    return sound{};
  }
}
template <class... A>
constexpr auto check_slots(list<A...>) {
  constexpr std::size_t at = first_true({!known_slot<A>...});
  if constexpr (at < sizeof...(A)) {
    using unknown = type_at_t<at, list<A...>>;
    return refuse<misuse::ES01, unknown, slot_of_t<unknown>>{};
  } else {
    return check_filled_once<list<A...>>(
        list<slot::device, slot::precision, slot::distribution, slot::callbacks, slot::automatic, slot::eval_sets>{});
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
