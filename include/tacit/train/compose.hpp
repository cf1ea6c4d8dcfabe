#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include <boost/hana/filter.hpp>
#include <boost/hana/basic_tuple.hpp>
#include <boost/hana/unpack.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/precision_policy.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/metric/device_scalar.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/policy/compatibility.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/distribution/single_process.hpp"
#include "tacit/policy/precision/fp32.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/task/supervised.hpp"
#include "tacit/task/task.hpp"
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

template <misuse N, class Culprit = void, class Detail = void>
using refuse = type<bad<N, Culprit, Detail>>;
using sound = type<bad<misuse::none>>;
template <class T>
inline constexpr bool is_sound_v = std::same_as<T, sound>;

// --- slots ---

template <class T>
concept known_slot = std::same_as<slot_of_t<T>, slot::device> || std::same_as<slot_of_t<T>, slot::precision> ||
                     std::same_as<slot_of_t<T>, slot::distribution> || std::same_as<slot_of_t<T>, slot::callbacks> ||
                     std::same_as<slot_of_t<T>, slot::automatic> || std::same_as<slot_of_t<T>, slot::eval_sets>;

/// The arguments that fill a slot.
template <class Slot, class... A>
constexpr auto fill(list<A...>) {
  constexpr auto found = boost::hana::filter(boost::hana::tuple_t<A...>, []<class T>(boost::hana::basic_type<T>) {
    return boost::hana::bool_c<std::same_as<slot_of_t<T>, Slot>>;
  });
  return boost::hana::unpack(found, []<class... T>(boost::hana::basic_type<T>...) { return list<T...>{}; });
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

constexpr auto check_known(list<>) { return sound{}; }
template <class First, class... Rest>
constexpr auto check_known(list<First, Rest...>) {
  if constexpr (!known_slot<First>) {
    return refuse<misuse::ES01, First, slot_of_t<First>>{};
  } else {
    return check_known(list<Rest...>{});
  }
}

template <class Arguments>
constexpr auto check_filled_once(list<>) {
  return sound{};
}
template <class Arguments, class First, class... Rest>
constexpr auto check_filled_once(list<First, Rest...>) {
  if constexpr (filled_by<First, Arguments>::size > 1) {
    return refuse<misuse::ES02, filled_by<First, Arguments>, First>{};
  } else {
    return check_filled_once<Arguments>(list<Rest...>{});
  }
}

template <class... A>
constexpr auto check_slots(list<A...> all) {
  if constexpr ((known_slot<A> && ...)) {
    using slots = list<slot::device, slot::precision, slot::distribution, slot::callbacks, slot::automatic, slot::eval_sets>;
    return check_filled_once<list<A...>>(slots{});
  } else {
    return check_known(all);
  }
}

// --- tasks ---

template <std::size_t I, class Task>
using optimizer_of_t = std::remove_cvref_t<decltype(task_optimizer<I>(std::declval<Task const&>()))>;
template <std::size_t I, class Task>
using model_type_of_t = std::remove_cvref_t<decltype(task_model<I>(std::declval<Task&>()))>;

template <class Task>
consteval bool phase_names_differ() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    std::string_view const names[] = {task_phases<Task>::template at<I>::name.view()...};
    for (std::size_t a = 0; a < sizeof...(I); ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        if (names[a] == names[b]) return false;
      }
    }
    return true;
  }(std::make_index_sequence<task_phase_count<Task>>{});
}

template <std::size_t I, class Task>
constexpr auto check_phase() {
  if constexpr (!module_like<model_type_of_t<I, Task>>) {
    return refuse<misuse::ET09, model_type_of_t<I, Task>>{};
  } else if constexpr (!optimizer_recipe<optimizer_of_t<I, Task>, basic_parameter_set<typename Task::tensor_type>>) {
    return refuse<misuse::ES06, optimizer_of_t<I, Task>>{};
  } else if constexpr (I + 1 < task_phase_count<Task>) {
    return check_phase<I + 1, Task>();
  } else {
    return sound{};
  }
}

template <class Task>
constexpr auto check_task() {
  if constexpr (is_phase_task_v<Task>) {
    if constexpr (task_phase_count<Task> > 1) {
      if constexpr (!phase_names_differ<Task>()) {
        return refuse<misuse::ET10, Task>{};
      } else {
        return check_phase<0, Task>();
      }
    } else {
      return check_phase<0, Task>();
    }
  } else if constexpr (supervised_task<Task> && !is_plain_supervised_v<Task>) {
    if constexpr (requires { typename Task::overrides; }) {
      if constexpr (!names_all<Task>(typename Task::overrides{})) {
        return refuse<misuse::ET06, Task, typename Task::overrides>{};
      } else {
        return check_phase<0, Task>();
      }
    } else if constexpr (!names_an_override<Task>) {
      return refuse<misuse::ET04, Task>{};
    } else {
      return check_phase<0, Task>();
    }
  } else {
    return check_phase<0, Task>();
  }
}

// --- callbacks ---

/// What a context is asked before any batch is known: nothing in it can be looked into.
template <class Tensor>
struct opaque_output {
  Tensor loss;
};
struct opaque_batch {};
template <class Tensor>
struct probe_core {
  using tensor_type = Tensor;
  using history_type = History;
  using view_type = probe_core*;
};
template <class Tensor>
struct probe_run {
  using core_type = probe_core<Tensor>;
  using tensor_type = Tensor;
  using batch_type = opaque_batch;
  using device_scalar = basic_device_scalar<Tensor>;
  static constexpr std::size_t phase_count = 1;
  template <std::size_t>
  using output_type = opaque_output<Tensor>;
  template <fixed_string>
  static constexpr std::size_t phase_index = 0;
};
template <class Tensor, class Event>
using probe_context = Context<probe_run<Tensor>, is_builtin_event<Event> ? event_parts<Event> : unsigned{part::latest | part::record}>;

template <class Callback, class Tensor, class... Events>
consteval bool handles_any(list<Events...>) {
  return (handles<Callback, Events, probe_context<Tensor, Events>> || ...);
}

template <class Callback, class Tensor, class First, class... Rest>
constexpr auto check_listed(list<First, Rest...>) {
  if constexpr (!handles<Callback, First, probe_context<Tensor, First>>) {
    return refuse<misuse::EC05, Callback, First>{};
  } else if constexpr (!handles_soundly<Callback, First, probe_context<Tensor, First>>) {
    return refuse<misuse::EC08, Callback, First>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_listed<Callback, Tensor>(list<Rest...>{});
  } else {
    return sound{};
  }
}
template <class Callback, class Tensor, class Listed, class First, class... Rest>
constexpr auto check_unlisted(list<First, Rest...>) {
  if constexpr (!contains_v<Listed, First> && handles<Callback, First, probe_context<Tensor, First>>) {
    return refuse<misuse::EC06, Callback, First>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_unlisted<Callback, Tensor, Listed>(list<Rest...>{});
  } else {
    return sound{};
  }
}
template <class Callback, class Tensor, class First, class... Rest>
constexpr auto check_near_misses(list<First, Rest...>) {
  constexpr misuse found = near_miss<Callback, First, probe_context<Tensor, First>>();
  if constexpr (found != misuse::none) {
    return refuse<found, Callback, First>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_near_misses<Callback, Tensor>(list<Rest...>{});
  } else {
    return sound{};
  }
}

/// A callback that derives its handlers from a base event handler has handled the base too; a phase's own events are its business.
template <class Callback, class Tensor>
constexpr auto check_handlers() {
  if constexpr (states_events<Callback>) {
    using listed = typename Callback::events;
    using first = decltype(check_listed<Callback, Tensor>(listed{}));
    if constexpr (!is_sound_v<first>) {
      return first{};
    } else {
      return check_unlisted<Callback, Tensor, listed>(event::all{});
    }
  } else {
    return check_near_misses<Callback, Tensor>(event::all{});
  }
}

template <class... Tags>
consteval bool all_tags(list<Tags...>) {
  return (metric_tag<Tags> && ...);
}

template <class Callback>
concept is_lambda_like = requires { &Callback::operator(); } && !names_on_v<Callback>;

/// What one callback of the pack does wrong by itself; `Unbound` is what the user wrote, `Bound` what is asked for handlers.
template <class Unbound, class Bound, class Tensor, bool Saves>
constexpr auto check_callback() {
  using plain = unwrap_t<Unbound>;
  using asked = typename innermost<Bound>::type;
  if constexpr (is_eval_sets_v<Unbound>) {
    return sound{};
  } else if constexpr (!all_tags(recorded_tags_t<Unbound>{}) || !all_tags(watched_tags_t<Unbound>{})) {
    return refuse<misuse::EM05, plain>{};
  } else {
    using handlers = decltype(check_handlers<asked, Tensor>());
    if constexpr (!is_sound_v<handlers>) {
      return handlers{};
    } else if constexpr (!names_on_v<asked>) {
      return refuse<misuse::EC02, plain>{};
    } else if constexpr (Saves) {
      return check_visitors<asked>();
    } else {
      return sound{};
    }
  }
}

template <class Pair>
struct pair_parts;

template <class Tensor, bool Saves, class First, class... Rest>
constexpr auto check_each_callback(list<First, Rest...>) {
  using result = decltype(check_callback<typename First::unbound, typename First::bound, Tensor, Saves>());
  if constexpr (!is_sound_v<result>) {
    return result{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_each_callback<Tensor, Saves>(list<Rest...>{});
  } else {
    return sound{};
  }
}

template <class Unbound, class Bound>
struct callback_pair {
  using unbound = Unbound;
  using bound = Bound;
};

template <class Callback>
inline constexpr bool may_repeat = requires { typename innermost_t<Callback>::run_time_name; };

template <class First, class... Rest>
constexpr auto check_duplicates(list<First, Rest...>) {
  if constexpr (!may_repeat<First> && (std::same_as<unwrap_t<First>, unwrap_t<Rest>> || ...)) {
    return refuse<misuse::EC03, unwrap_t<First>>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_duplicates(list<Rest...>{});
  } else {
    return sound{};
  }
}
template <class First, class... Rest>
constexpr auto check_movable(list<First, Rest...>) {
  if constexpr (!std::move_constructible<First>) {
    return refuse<misuse::EC04, First>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_movable(list<Rest...>{});
  } else {
    return sound{};
  }
}

template <class Recorded, class First, class... Rest>
constexpr auto check_watched(list<First, Rest...>) {
  if constexpr (!contains_v<Recorded, First>) {
    return refuse<misuse::EM01, First>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_watched<Recorded>(list<Rest...>{});
  } else {
    return sound{};
  }
}
template <class First, class... Rest>
constexpr auto check_tag_names(list<First, Rest...>) {
  if constexpr (((!std::same_as<First, Rest> && First::name == Rest::name) || ...)) {
    return refuse<misuse::EM03, First>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_tag_names(list<Rest...>{});
  } else {
    return sound{};
  }
}

template <class Callback>
concept saves_state = requires { requires innermost_t<Callback>::saves_state; };

template <class Composition, class... C>
constexpr auto check_callbacks(list<C...> pack) {
  using tensor_type = typename Composition::tensor_type;
  if constexpr (sizeof...(C) == 0) {
    return sound{};
  } else {
    using movable = decltype(check_movable(pack));
    using unique = decltype(check_duplicates(pack));
    if constexpr (!is_sound_v<movable>) {
      return movable{};
    } else if constexpr (!is_sound_v<unique>) {
      return unique{};
    } else {
      constexpr bool saves = (saves_state<C> || ...);
      using each = decltype(check_each_callback<tensor_type, saves>(
          list<callback_pair<C, unwrap_t<typename bound_callback<C, Composition>::type>>...>{}));
      if constexpr (!is_sound_v<each>) {
        return each{};
      } else {
        constexpr auto order = solve_order(list<innermost_t<C>...>{});
        if constexpr (order.cyclic) {
          return []<std::size_t... I>(std::index_sequence<I...>) {
            return refuse<misuse::EC07, typename decltype([] {
                            constexpr std::size_t at = solve_order(list<innermost_t<C>...>{}).in_cycle;
                            return std::get<at>(std::tuple<type<C>...>{});
                          }())::value>{};
          }(std::index_sequence_for<C...>{});
        } else {
          using recorded = typename Composition::recorded_tags;
          using names = decltype(check_tag_names(recorded{}));
          if constexpr (!is_sound_v<names>) {
            return names{};
          } else if constexpr (Composition::watched_tags::size > 0) {
            return check_watched<recorded>(typename Composition::watched_tags{});
          } else {
            return sound{};
          }
        }
      }
    }
  }
}

// --- the whole ---

template <class Task, class Device, class Precision, class Distribution>
constexpr auto check_policies() {
  using tensor_type = typename Task::tensor_type;
  using parameters = basic_parameter_set<tensor_type>;
  if constexpr (!device_policy<Device, tensor_type>) {
    return refuse<misuse::EP01, Device>{};
  } else {
    using bound_device = decltype(std::declval<Device const&>().template bind<tensor_type>());
    if constexpr (!precision_policy<Precision, parameters, bound_device>) {
      return refuse<misuse::EP11, Precision>{};
    } else if constexpr (!distribution_policy<Distribution, parameters, bound_device>) {
      return refuse<misuse::EP21, Distribution>{};
    } else if constexpr (!compatible<Device, Precision> || !compatible<Precision, Device>) {
      return refuse<misuse::EP41, Device, Precision>{};
    } else if constexpr (!compatible<Device, Distribution> || !compatible<Distribution, Device>) {
      return refuse<misuse::EP41, Device, Distribution>{};
    } else if constexpr (!compatible<Precision, Distribution> || !compatible<Distribution, Precision>) {
      return refuse<misuse::EP41, Precision, Distribution>{};
    } else {
      return sound{};
    }
  }
}

template <class Task, class... A>
constexpr auto compose_task(list<A...> arguments) {
  using slots = decltype(check_slots(arguments));
  if constexpr (!is_sound_v<slots>) {
    return type<refused<typename slots::value>>{};
  } else {
    using automatic = filled_t<slot::automatic, void, list<A...>>;
    using device = filled_t<slot::device, typename automatic_policies<automatic>::device, list<A...>>;
    using precision = filled_t<slot::precision, typename automatic_policies<automatic>::precision, list<A...>>;
    using distribution = filled_t<slot::distribution, typename automatic_policies<automatic>::distribution, list<A...>>;
    using given_pack = filled_t<slot::callbacks, CallbackPack<default_callbacks_t>, list<A...>>;
    using sets = filled_t<slot::eval_sets, void, list<A...>>;
    using flat_list = concat_t<flat_types<given_pack>, std::conditional_t<std::is_void_v<sets>, list<>, list<sets>>>;
    using pack = typename pack_of<flat_list>::type;
    using task_checked = decltype(check_task<Task>());
    if constexpr (!is_sound_v<task_checked>) {
      return type<refused<typename task_checked::value>>{};
    } else {
      using policies_checked = decltype(check_policies<Task, device, precision, distribution>());
      if constexpr (!is_sound_v<policies_checked>) {
        return type<refused<typename policies_checked::value>>{};
      } else {
        using callbacks_checked =
            decltype(check_callbacks<Composition<Task, device, precision, distribution, pack>>(flat_list{}));
        if constexpr (!is_sound_v<callbacks_checked>) {
          return type<refused<typename callbacks_checked::value>>{};
        } else {
          return type<composed<Task, device, precision, distribution, pack>>{};
        }
      }
    }
  }
}

template <class T>
concept raw_model = !has_slot<T> && std::is_class_v<T> && std::is_void_v<model_of_t<T>> &&
                    (module_like<T> || requires(T const& t) { t.get(); (*t).named_parameters(); });

template <class First, class... Rest>
constexpr auto compose_arguments(list<First, Rest...>) {
  if constexpr (std::same_as<slot_of_t<First>, slot::task>) {
    return compose_task<First>(list<Rest...>{});
  } else if constexpr (!std::is_void_v<model_of_t<First>>) {
    if constexpr (sizeof...(Rest) < 2) {
      return type<refused<bad<misuse::ES03, First>>>{};
    } else {
      return []<class Loss, class Optimizer, class... Policies>(list<Loss, Optimizer, Policies...>) {
        if constexpr (known_slot<Loss> || known_slot<Optimizer>) {
          return type<refused<bad<misuse::ES03, First, Optimizer>>>{};
        } else if constexpr (!module_like<model_of_t<First>>) {
          return type<refused<bad<misuse::ET09, model_of_t<First>>>>{};
        } else {
          return compose_task<Supervised<model_of_t<First>, Loss, Optimizer>>(list<Policies...>{});
        }
      }(list<Rest...>{});
    }
  } else if constexpr (raw_model<First>) {
    return type<refused<bad<misuse::ES04, First>>>{};
  } else {
    return type<refused<bad<misuse::ES03, First>>>{};
  }
}

}  // namespace detail

/// The types of the trainer that these arguments make; its `task` is a `bad<number, ...>` where they make none.
template <class... Arguments>
using compose = typename decltype(detail::compose_arguments(list<Arguments...>{}))::value;

}  // namespace tacit::inline v0
