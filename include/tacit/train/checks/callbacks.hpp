#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tacit/concepts/callback.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/metric/device_scalar.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/checks/first_of.hpp"
#include "tacit/train/composition.hpp"

namespace tacit::inline v0 {

namespace detail {

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
/// The phase that an event's context is of: events of a task's phases have the phase's.
template <class Event>
inline constexpr std::size_t probed_phase = contains_v<list<event::TrainLossComputed, event::UpdateStart, event::UpdateEnd>, Event> ? 0 : whole_step;
template <fixed_string Name, class Event>
inline constexpr std::size_t probed_phase<event::Of<Name, Event>> = 0;
template <class Tensor, class Event>
using probe_context = Context<probe_run<Tensor>, is_builtin_event<Event> ? event_parts<Event> : unsigned{part::latest | part::record}, probed_phase<Event>>;

/// The events of a task's phases under their names; none where there is but one phase.
template <class Task, std::size_t... I>
constexpr auto phased_events(std::index_sequence<I...>) {
  if constexpr (sizeof...(I) > 1) {
    return concat_t<list<event::Of<phase_name<Task, I>(), event::TrainLossComputed>, event::Of<phase_name<Task, I>(), event::UpdateStart>,
                         event::Of<phase_name<Task, I>(), event::UpdateEnd>>...>{};
  } else {
    return list<>{};
  }
}
template <class Task>
using phased_events_t = decltype(phased_events<Task>(std::make_index_sequence<task_phase_count<Task>>{}));

template <class Callback, class Tensor, class... Events>
inline constexpr std::array<misuse, sizeof...(Events)> near_misses{near_miss<Callback, Events, probe_context<Tensor, Events>>()...};

/// The first near miss; one of the general kind only where there is no other, for a handler whose first parameter takes
/// anything nearly matches every event.
template <std::size_t N>
consteval std::size_t most_telling(std::array<misuse, N> found) {
  std::size_t const general = first_fault(found);
  for (misuse& number : found) {
    if (number == misuse::EC01) number = misuse::none;
  }
  std::size_t const special = first_fault(found);
  return special < N ? special : general;
}

template <class Callback, class Tensor, class... Events>
constexpr auto check_near_misses(list<Events...>) {
  constexpr std::size_t at = most_telling(near_misses<Callback, Tensor, Events...>);
  if constexpr (at < sizeof...(Events)) {
    return refuse<near_misses<Callback, Tensor, Events...>[at], Callback, type_at_t<at, list<Events...>>>{};
  } else {
    return sound{};
  }
}

/// True for an event of a phase by a name that is none of the task's.
template <class Task, class Event>
inline constexpr bool is_unknown_phase_v = is_phased_event_v<Event> && !contains_v<phased_events_t<Task>, Event>;

/// One after the other: a handler behind a refused one is not instantiated.
template <class Callback, class Tensor, class Task>
constexpr auto check_listed(list<>) {
  return sound{};
}
template <class Callback, class Tensor, class Task, class First, class... Rest>
constexpr auto check_listed(list<First, Rest...>) {
  constexpr misuse found = near_miss<Callback, First, probe_context<Tensor, First>>();
  if constexpr (is_unknown_phase_v<Task, First>) {
    return refuse<misuse::EC13, Callback, First>{};
  } else if constexpr (found != misuse::none) {
    return refuse<found, Callback, First>{};
  } else if constexpr (!handles<Callback, First, probe_context<Tensor, First>>) {
    return refuse<misuse::EC05, Callback, First>{};
  } else {
    return check_listed<Callback, Tensor, Task>(list<Rest...>{});
  }
}

template <class Callback, class Tensor, class Listed, class... Events>
constexpr auto check_unlisted(list<Events...>) {
  constexpr std::size_t at =
      first_true({(!contains_v<Listed, Events> && handles<Callback, Events, probe_context<Tensor, Events>>)...});
  if constexpr (at < sizeof...(Events)) {
    return refuse<misuse::EC06, Callback, type_at_t<at, list<Events...>>>{};
  } else {
    return sound{};
  }
}
/// A handler of a listed event is also one of the events that derive from it.
template <class Callback, class Tensor, class Listed, fixed_string... Name, class... Events>
constexpr auto check_unlisted_phases(list<event::Of<Name, Events>...>) {
  using unlisted = concat_t<
      std::conditional_t<handles<Callback, Events, probe_context<Tensor, Events>>, list<>, list<event::Of<Name, Events>>>...>;
  return check_unlisted<Callback, Tensor, Listed>(concat_t<list<event::InitEnd>, unlisted>{});
}

/// Handlers that nobody calls, beside one that is called: hidden ones, those that are not public, those of a phase that there is not.
template <class Callback, class Tensor, class Known, class... Phased>
consteval bool takes_unknown_phase(list<Phased...>) {
  return ignores<Callback, no_event, probe_context<Tensor, event::UpdateEnd>> && !(ignores<Callback, unknown_phase<Known, Phased>, probe_context<Tensor, Phased>> && ...);
}
template <class Callback, class Tensor, class... Events>
consteval bool handles_in_probe(list<Events...>) {
  return (handles<Callback, Events, probe_context<Tensor, Events>> || ...);
}
template <class Callback, class Tensor, class Task>
constexpr auto check_silent_handlers() {
  if constexpr (!has_handlers<Callback>) {
    return sound{};
  } else if constexpr (!handles_in_probe<Callback, Tensor>(event::all{})) {
    return sound{};
  } else if constexpr (hides_handlers<Callback, Context<probe_run<Tensor>, ~part::none>, event::all>) {
    return refuse<misuse::EC25, Callback>{};
  } else if constexpr (takes_unknown_phase<Callback, Tensor, phased_events_t<Task>>(
                           list<event::TrainLossComputed, event::UpdateStart, event::UpdateEnd>{})) {
    return refuse<misuse::EC24, Callback, Task>{};
  } else {
    return sound{};
  }
}

/// A callback that lists its events is held to the list, both ways; one that does not is searched for near misses.
template <class Callback, class Tensor, class Task>
constexpr auto check_handlers() {
  if constexpr (states_events<Callback>) {
    using listed = typename Callback::events;
    using lists = decltype(first_of<decltype(check_listed<Callback, Tensor, Task>(listed{})),
                                    decltype(check_unlisted<Callback, Tensor, listed>(event::all{}))>());
    if constexpr (!is_sound_v<lists>) {
      return lists{};
    } else {
      return check_unlisted_phases<Callback, Tensor, listed>(phased_events_t<Task>{});
    }
  } else {
    return check_near_misses<Callback, Tensor>(concat_t<event::all, phased_events_t<Task>>{});
  }
}

/// The aliases of a callback that are lists: each has its form or does not exist.
template <class List>
inline constexpr bool is_list_v = is_specialization_v<List, list>;
template <class Callback>
concept names_events_badly = states_events<Callback> && !is_list_v<typename Callback::events>;
template <class Callback>
concept names_no_events = states_events<Callback> && std::same_as<typename Callback::events, list<>>;
template <class Callback>
concept names_order_badly = (requires { typename Callback::runs_after; } && !states_after<Callback>) ||
                            (requires { typename Callback::runs_before; } && !states_before<Callback>);
template <class Callback>
concept names_last_badly = requires { &Callback::runs_last; };  // a value in place of the alias
template <class Callback>
concept names_records_badly = requires { typename Callback::records; } && !states_records<Callback>;
template <class Callback>
concept names_watches_badly = requires { typename Callback::watches; } && !states_watches<Callback>;

template <class... Tags>
consteval bool all_tags(list<Tags...>) {
  return (metric_tag<Tags> && ...);
}

/// What one callback of the pack does wrong by itself; `Unbound` is what the user wrote, `Bound` what is asked for handlers.
template <class Unbound, class Bound, class Tensor, class Task>
constexpr auto check_callback() {
  using plain = unwrap_t<Unbound>;
  using written = innermost_t<Unbound>;
  using asked = innermost_t<Bound>;
  if constexpr (is_eval_sets_v<Unbound>) {
    return sound{};
  } else if constexpr (names_records_badly<plain> || names_records_badly<written> || names_watches_badly<plain> || names_watches_badly<written>) {
    return refuse<misuse::EM05, plain>{};
  } else if constexpr (!all_tags(recorded_tags_t<Unbound>{}) || !all_tags(watched_tags_t<Unbound>{})) {
    return refuse<misuse::EM05, plain>{};
  } else if constexpr (names_events_badly<asked> || names_order_badly<written>) {
    return refuse<misuse::EC12, written>{};
  } else if constexpr (names_last_badly<written>) {
    return refuse<misuse::EC27, written>{};
  } else if constexpr (!std::is_void_v<original_name_t<written>>) {
    return refuse<misuse::EC23, written, original_name_t<written>>{};
  } else if constexpr (!std::is_void_v<original_name_t<asked>>) {
    return refuse<misuse::EC23, written, original_name_t<asked>>{};
  } else if constexpr (!names_on_v<asked> || names_no_events<asked>) {
    return refuse<misuse::EC02, written>{};
  } else if constexpr (takes_any_number<asked>) {
    return refuse<misuse::EC40, written>{};
  } else {
    return first_of<decltype(check_handlers<asked, Tensor, Task>()), decltype(check_silent_handlers<asked, Tensor, Task>()),
                    refuse_if<half_in_callback<asked>(), written>>();
  }
}

template <class Unbound, class Bound>
struct callback_pair {
  using unbound = Unbound;
  using bound = Bound;
};

/// One after the other: the handlers of those behind a refused one are not instantiated.
template <class Tensor, class Task>
constexpr auto check_each_callback(list<>) {
  return sound{};
}
template <class Tensor, class Task, class First, class... Rest>
constexpr auto check_each_callback(list<First, Rest...>) {
  using result = decltype(check_callback<typename First::unbound, typename First::bound, Tensor, Task>());
  if constexpr (!is_sound_v<result>) {
    return result{};
  } else {
    return check_each_callback<Tensor, Task>(list<Rest...>{});
  }
}

template <class... C>
constexpr auto check_complete(list<C...>) {
  constexpr std::size_t at = first_true({!complete_type<C>...});
  if constexpr (at < sizeof...(C)) {
    return refuse<misuse::EC14, type_at_t<at, list<C...>>>{};
  } else {
    return sound{};
  }
}

template <class Callback>
inline constexpr bool may_repeat = requires { typename innermost_t<Callback>::run_time_name; };
template <class First, class... C>
inline constexpr std::size_t times_in = (std::size_t{0} + ... + std::size_t{std::same_as<First, unwrap_t<C>>});

template <class... C>
constexpr auto check_duplicates(list<C...>) {
  constexpr std::size_t at = first_true({(!may_repeat<C> && times_in<unwrap_t<C>, C...> > 1)...});
  if constexpr (at < sizeof...(C)) {
    return refuse<misuse::EC03, unwrap_t<type_at_t<at, list<C...>>>>{};
  } else {
    return sound{};
  }
}

template <class... C>
consteval std::size_t first_before_itself(list<C...>) {
  return first_true({precedes<C, C>()...});
}
template <class Order>
constexpr auto check_order() {
  constexpr auto order = solve_order(Order{});
  constexpr std::size_t itself = first_before_itself(Order{});
  if constexpr (itself < Order::size) {
    return refuse<misuse::EC07, type_at_t<itself, Order>>{};
  } else if constexpr (order.cyclic) {
    return refuse<misuse::EC07, type_at_t<order.in_cycle, Order>>{};
  } else {
    return sound{};
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
