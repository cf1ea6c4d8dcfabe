#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/train/checks/call.hpp"
#include "tacit/train/checks/first_of.hpp"
#include "tacit/train/checks/slots.hpp"
#include "tacit/train/compose.hpp"

namespace tacit::inline v0 {

namespace detail {

template <class Slot, class Policy, class Arguments>
using unless_given = std::conditional_t<filled_by<Slot, Arguments>::size + (std::same_as<Slot, slot::callbacks> ? 0 : filled_by<slot::automatic, Arguments>::size) == 0,
                                        list<Policy>, list<>>;
/// What Trainer<...> states and no argument gives: it is made by default.
template <class Trainer, class Arguments>
using stated_only = concat_t<unless_given<slot::device, typename Trainer::device_policy, Arguments>,
                             unless_given<slot::precision, typename Trainer::precision_policy, Arguments>,
                             unless_given<slot::distribution, typename Trainer::distribution_policy, Arguments>,
                             unless_given<slot::callbacks, typename Trainer::callbacks, Arguments>>;

template <class Policy>
struct parts_of {
  using type = list<Policy>;
};
template <class... C>
struct parts_of<CallbackPack<C...>> {
  using type = list<C...>;
};
template <class... Parts>
constexpr auto check_each_default(list<Parts...>) {
  constexpr std::size_t at = first_true({!std::default_initializable<Parts>...});
  if constexpr (at < sizeof...(Parts)) {
    return refuse<misuse::ES07, type_at_t<at, list<Parts...>>>{};
  } else {
    return sound{};
  }
}
template <class... Policies>
constexpr auto check_defaults(list<Policies...>) {
  return check_each_default(concat_t<typename parts_of<Policies>::type...>{});
}

template <class... A>
constexpr auto check_given(list<A...>) {
  constexpr std::size_t at = first_true({!std::constructible_from<std::decay_t<A>, A>...});
  if constexpr (at < sizeof...(A)) {
    return refuse<misuse::ES08, std::decay_t<type_at_t<at, list<A...>>>>{};
  } else {
    return sound{};
  }
}

template <class Made, class Stated>
constexpr auto check_same_type() {
  if constexpr (!std::same_as<Made, Stated>) {
    return refuse<misuse::ES05, Made, Stated>{};
  } else {
    return sound{};
  }
}
template <class Made, class Trainer>
constexpr auto check_same() {
  return first_of<decltype(check_same_type<typename Made::task, typename Trainer::task_type>()),
                  decltype(check_same_type<typename Made::device, typename Trainer::device_policy>()),
                  decltype(check_same_type<typename Made::precision, typename Trainer::precision_policy>()),
                  decltype(check_same_type<typename Made::distribution, typename Trainer::distribution_policy>()),
                  decltype(check_same_type<typename Made::callbacks, typename Trainer::callbacks>())>();
}

/// What of the arguments contradicts the types written into Trainer<...>; those of a deduced type never do.
template <class Trainer, class Arguments, class Deduced>
constexpr auto check_agreement() {
  if constexpr (is_sound_v<decltype(check_same<Deduced, Trainer>())>) {
    return sound{};
  } else {
    using stated = stated_only<Trainer, Arguments>;
    using made = typename decltype(compose_arguments(concat_t<Arguments, stated>{}))::value;
    if constexpr (is_bad_v<typename made::task>) {
      return type<typename made::task>{};
    } else {
      return first_of<decltype(check_same<made, Trainer>()), decltype(check_defaults(stated{}))>();
    }
  }
}
template <class Trainer, class... A>
constexpr auto check_constructor() {
  using agreement = decltype(check_agreement<Trainer, list<std::decay_t<A>...>, compose<std::decay_t<A>...>>());
  if constexpr (!is_sound_v<agreement>) {
    return agreement{};
  } else {
    return first_of<decltype(check_given(list<A...>{})), decltype(check_stated_batch<typename Trainer::core_type>())>();
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
