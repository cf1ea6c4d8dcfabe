#pragma once

#include <concepts>
#include <type_traits>

#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/policy/compatibility.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/distribution/single_process.hpp"
#include "tacit/policy/precision/fp32.hpp"
#include "tacit/task/supervised.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/checks/first_of.hpp"
#include "tacit/train/checks/pack.hpp"
#include "tacit/train/checks/policies.hpp"
#include "tacit/train/checks/slots.hpp"
#include "tacit/train/checks/task.hpp"
#include "tacit/train/composition.hpp"

namespace tacit::inline v0 {

namespace detail {

/// The types of a sound composition.
template <class Task, class Device, class Precision, class Distribution, class Callbacks>
struct composed {
  using task = Task;
  using device = Device;
  using precision = Precision;
  using distribution = Distribution;
  using callbacks = Callbacks;
};
/// A refused one: its task is the misuse; the device is the task that was meant, where it is known.
template <class Bad, class Meant = void>
struct refused {
  using task = Bad;
  using device = Meant;
  using precision = void;
  using distribution = void;
  using callbacks = void;
};

template <class Task, class Arguments>
constexpr auto compose_sound_task(Arguments arguments) {
  using slots = decltype(check_slots(arguments));
  if constexpr (!is_sound_v<slots>) {
    return type<refused<typename slots::value, Task>>{};
  } else {
    using automatic = filled_t<slot::automatic, void, Arguments>;
    using device = filled_t<slot::device, typename automatic_policies<automatic>::device, Arguments>;
    using precision = filled_t<slot::precision, typename automatic_policies<automatic>::precision, Arguments>;
    using distribution = filled_t<slot::distribution, typename automatic_policies<automatic>::distribution, Arguments>;
    using given_pack = filled_t<slot::callbacks, CallbackPack<default_callbacks_t>, Arguments>;
    using flat_list = concat_t<flat_types<given_pack>, filled_by<slot::eval_sets, Arguments>>;
    using pack = typename pack_of<flat_list>::type;
    using policies = decltype(check_policies<Task, device, precision, distribution>());
    if constexpr (!is_sound_v<policies>) {
      return type<refused<typename policies::value, Task>>{};
    } else {
      using callbacks = decltype(check_callbacks<Composition<Task, device, precision, distribution, pack>>(flat_list{}));
      if constexpr (!is_sound_v<callbacks>) {
        return type<refused<typename callbacks::value, Task>>{};
      } else {
        return type<composed<Task, device, precision, distribution, pack>>{};
      }
    }
  }
}
template <class Task, class... A>
constexpr auto compose_task(list<A...> arguments) {
  using task = decltype(check_task<Task>());
  if constexpr (!is_sound_v<task>) {
    return type<refused<typename task::value>>{};
  } else {
    return compose_sound_task<Task>(arguments);
  }
}

/// A model as people pass it who have not read that it is shared.
template <class T>
concept raw_model = !has_slot<T> && std::is_void_v<model_of_t<T>> &&
                    (module_like<T> || requires(T const& t) { (*t).named_parameters(); });

/// Something before what may be a loss and an optimizer, as a std::reference_wrapper, a std::weak_ptr or a nullptr.
template <class First, class... Rest>
consteval bool stands_for_model() {
  if constexpr (sizeof...(Rest) < 2 || !std::is_void_v<model_of_t<First>>) {
    return false;
  } else {
    return []<class Loss, class Optimizer, class... Policies>(list<Loss, Optimizer, Policies...>) {
      return !(has_slot<First> || has_slot<Loss> || known_slot<Optimizer>) && std::is_void_v<model_of_t<Loss>> &&
             std::is_void_v<model_of_t<Optimizer>>;
    }(list<Rest...>{});
  }
}

template <class Model, class Loss, class Optimizer, class... Policies>
constexpr auto compose_supervised(list<Model, Loss, Optimizer, Policies...>) {
  if constexpr (known_slot<Loss> || known_slot<Optimizer>) {
    return type<refused<bad<misuse::ES03, Model, list<Loss, Optimizer>>>>{};
  } else if constexpr (!module_like<model_of_t<Model>>) {
    return type<refused<bad<misuse::ET09, model_of_t<Model>>>>{};
  } else {
    return compose_task<Supervised<model_of_t<Model>, Loss, Optimizer>>(list<Policies...>{});
  }
}

constexpr auto compose_arguments(list<>) { return type<refused<bad<misuse::ES03>>>{}; }
template <class First, class... Rest>
constexpr auto compose_arguments(list<First, Rest...> arguments) {
  if constexpr (std::same_as<slot_of_t<First>, slot::task>) {
    return compose_task<First>(list<Rest...>{});
  } else if constexpr (raw_model<First> || stands_for_model<First, Rest...>()) {
    return type<refused<bad<misuse::ES04, First>>>{};
  } else if constexpr (std::is_void_v<model_of_t<First>> || sizeof...(Rest) < 2) {
    return type<refused<bad<misuse::ES03, First, list<Rest...>>>>{};
  } else {
    return compose_supervised(arguments);
  }
}

}  // namespace detail

/// The types of the trainer that these arguments make; its `task` is a `bad<number, ...>` where they make none.
template <class... Arguments>
using compose = typename decltype(detail::compose_arguments(list<Arguments...>{}))::value;

}  // namespace tacit::inline v0
