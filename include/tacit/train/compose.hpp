#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tacit/concepts/callback.hpp"
#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/precision_policy.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/member_names.hpp"
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
template <misuse N, class Culprit>
using refuse_if = std::conditional_t<N == misuse::none, sound, refuse<N, Culprit>>;
template <class T>
inline constexpr bool is_sound_v = std::same_as<T, sound>;

template <class First, class... Rest>
constexpr auto first_unsound() {
  if constexpr (!is_sound_v<First> || sizeof...(Rest) == 0) {
    return First{};
  } else {
    return first_unsound<Rest...>();
  }
}

// --- slots ---

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
using bound_optimizer_t = std::remove_cvref_t<decltype(std::declval<optimizer_of_t<I, Task> const&>().bind(
    std::declval<basic_parameter_set<typename Task::tensor_type>&>()))>;

template <std::size_t I, class Task>
constexpr auto check_phase() {
  using parameters = basic_parameter_set<typename Task::tensor_type>;
  if constexpr (!module_like<model_type_of_t<I, Task>>) {
    return refuse<misuse::ET09, model_type_of_t<I, Task>>{};
  } else if constexpr (!optimizer_recipe<optimizer_of_t<I, Task>, parameters>) {
    return refuse<missing_in_optimizer<optimizer_of_t<I, Task>, parameters>(), optimizer_of_t<I, Task>>{};
  } else if constexpr (half_in_bound_optimizer<bound_optimizer_t<I, Task>, parameters>() != misuse::none) {
    return refuse<half_in_bound_optimizer<bound_optimizer_t<I, Task>, parameters>(), bound_optimizer_t<I, Task>>{};
  } else if constexpr (I + 1 < task_phase_count<Task>) {
    return check_phase<I + 1, Task>();
  } else {
    return sound{};
  }
}

/// What the trainer asks of a task that neither comes from lambdas nor derives from Supervised.
template <class Task>
concept has_task_parts = requires(Task& task, Task const& fixed) {
  typename Task::tensor_type;
  *task.model;
  fixed.optimizer;
};

template <class Task>
constexpr auto check_overrides() {
  if constexpr (requires { typename Task::overrides; }) {
    if constexpr (!names_all<Task>(type<typename Task::overrides>{})) {
      return refuse<misuse::ET06, Task, typename Task::overrides>{};
    } else {
      return check_phase<0, Task>();
    }
  } else if constexpr (supervised_task<Task> && !names_an_override<Task>) {
    return refuse<misuse::ET04, Task>{};
  } else if constexpr (!supervised_task<Task> && !names_train_step<Task>) {
    return refuse<misuse::ET12, Task, override::train_step>{};
  } else {
    return check_phase<0, Task>();
  }
}

template <class Part, class Tensor>
concept visits_tensors_badly = can_be_probed<Part> && !visits_tensors<Part, Tensor> && !requires { &named_twice<Part>::visit_tensors; };
/// Tensors of a task or a loss reach the device by a visitor of the right form, or they stay where they are in silence.
template <class Task>
constexpr auto check_extra_tensors() {
  using tensor_type = typename Task::tensor_type;
  if constexpr (visits_tensors_badly<Task, tensor_type>) {
    return refuse<misuse::ET24, Task>{};
  } else if constexpr (requires { requires visits_tensors_badly<decltype(Task::criterion), tensor_type>; }) {
    return refuse<misuse::ET24, decltype(Task::criterion)>{};
  } else {
    return sound{};
  }
}

template <class Task>
constexpr auto check_task() {
  if constexpr (requires { typename Task::refused; }) {
    return type<typename Task::refused>{};
  } else if constexpr (!std::is_void_v<original_name_t<Task>>) {
    return refuse<misuse::ET23, Task, original_name_t<Task>>{};
  } else if constexpr (is_phase_task_v<Task>) {
    if constexpr (task_phase_count<Task> > 1) {
      if constexpr (!phase_names_differ<Task>()) {
        return refuse<misuse::ET10, Task>{};
      } else {
        return check_phase<0, Task>();
      }
    } else {
      return check_phase<0, Task>();
    }
  } else if constexpr (std::is_final_v<Task>) {
    return refuse<misuse::ET13, Task>{};
  } else if constexpr (is_plain_supervised_v<Task>) {
    return check_phase<0, Task>();
  } else if constexpr (!has_task_parts<Task>) {
    return refuse<misuse::ET12, Task>{};
  } else {
    return check_overrides<Task>();
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

template <std::size_t I, class... Types>
auto type_at(list<Types...>) -> std::tuple_element_t<I, std::tuple<type<Types>...>>;
template <std::size_t I, class List>
using type_at_t = typename decltype(type_at<I>(List{}))::value;

/// The first place in the array that differs from `usual`; its size where there is none.
template <class T, std::size_t N>
consteval std::size_t first_other(std::array<T, N> const& values, T usual) {
  std::size_t at = 0;
  while (at < N && values[at] == usual) ++at;
  return at;
}

template <class Callback, class Tensor, class... Events>
inline constexpr std::array<misuse, sizeof...(Events)> near_misses{near_miss<Callback, Events, probe_context<Tensor, Events>>()...};

/// The first near miss; one of the general kind only where there is no other, for a handler whose first parameter takes
/// anything nearly matches every event.
template <std::size_t N>
consteval std::size_t most_telling(std::array<misuse, N> found) {
  std::size_t const general = first_other(found, misuse::none);
  for (misuse& number : found) {
    if (number == misuse::EC01) number = misuse::none;
  }
  std::size_t const special = first_other(found, misuse::none);
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
  constexpr std::size_t at = first_other(std::array{(contains_v<Listed, Events> || !handles<Callback, Events, probe_context<Tensor, Events>>)...}, true);
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
    using first = decltype(check_listed<Callback, Tensor, Task>(listed{}));
    using second = decltype(check_unlisted<Callback, Tensor, listed>(event::all{}));
    if constexpr (!is_sound_v<first>) {
      return first{};
    } else if constexpr (!is_sound_v<second>) {
      return second{};
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
    return first_unsound<decltype(check_handlers<asked, Tensor, Task>()), decltype(check_silent_handlers<asked, Tensor, Task>()),
                         refuse_if<half_in_callback<asked>(), written>>();
  }
}

template <class Unbound, class Bound>
struct callback_pair {
  using unbound = Unbound;
  using bound = Bound;
};

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

constexpr auto check_complete(list<>) { return sound{}; }
template <class First, class... Rest>
constexpr auto check_complete(list<First, Rest...>) {
  if constexpr (!complete_type<First>) {
    return refuse<misuse::EC14, First>{};
  } else {
    return check_complete(list<Rest...>{});
  }
}

template <class Callback>
inline constexpr bool may_repeat = requires { typename innermost_t<Callback>::run_time_name; };

constexpr auto check_duplicates(list<>) { return sound{}; }
template <class First, class... Rest>
constexpr auto check_duplicates(list<First, Rest...>) {
  if constexpr (!may_repeat<First> && (std::same_as<unwrap_t<First>, unwrap_t<Rest>> || ...)) {
    return refuse<misuse::EC03, unwrap_t<First>>{};
  } else {
    return check_duplicates(list<Rest...>{});
  }
}

template <class... C>
consteval std::size_t first_before_itself(list<C...>) {
  return first_other(std::array<bool, sizeof...(C)>{precedes<C, C>()...}, false);
}
template <class Pack, class Order>
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

// --- metrics ---

template <class Recorded, class Callback>
constexpr auto check_watched_by(list<>) {
  return sound{};
}
template <class Recorded, class Callback, class First, class... Rest>
constexpr auto check_watched_by(list<First, Rest...>) {
  if constexpr (!contains_v<Recorded, First>) {
    return refuse<misuse::EM01, First, Callback>{};
  } else {
    return check_watched_by<Recorded, Callback>(list<Rest...>{});
  }
}
template <class Recorded>
constexpr auto check_watched(list<>) {
  return sound{};
}
template <class Recorded, class First, class... Rest>
constexpr auto check_watched(list<First, Rest...>) {
  using result = decltype(check_watched_by<Recorded, innermost_t<First>>(watched_tags_t<First>{}));
  if constexpr (!is_sound_v<result>) {
    return result{};
  } else {
    return check_watched<Recorded>(list<Rest...>{});
  }
}

template <class First, class Other>
concept same_name = !std::same_as<First, Other> && First::name == Other::name;
constexpr auto check_tag_names(list<>) { return sound{}; }
template <class First, class... Rest>
constexpr auto check_tag_names(list<First, Rest...>) {
  constexpr std::size_t at = first_other(std::array<bool, sizeof...(Rest)>{same_name<First, Rest>...}, false);
  if constexpr (at < sizeof...(Rest)) {
    return refuse<misuse::EM03, First, type_at_t<at, list<Rest...>>>{};
  } else {
    return check_tag_names(list<Rest...>{});
  }
}

/// One column has one writer: the first tag of those that follow which is recorded in a column of `Columns` too.
template <class Columns, class Writer, class... Tags>
constexpr auto check_written(list<Tags...>) {
  constexpr std::size_t at = first_other(std::array<bool, sizeof...(Tags)>{contains_v<Columns, Tags>...}, false);
  if constexpr (at < sizeof...(Tags)) {
    return refuse<misuse::EM12, type_at_t<at, list<Tags...>>, Writer>{};
  } else {
    return sound{};
  }
}
template <class Evaluations, class Columns>
constexpr auto check_writers(list<>) {
  return sound{};
}
template <class Evaluations, class Columns, class First, class... Rest>
constexpr auto check_writers(list<First, Rest...>) {
  using own = columns_by<First, Evaluations>;
  using result = decltype(check_written<Columns, innermost_t<First>>(own{}));
  if constexpr (!is_sound_v<result>) {
    return result{};
  } else {
    return check_writers<Evaluations, concat_t<Columns, own>>(list<Rest...>{});
  }
}

/// Evaluations have names of their own: what two record would stand in one column.
template <class Sets>
constexpr auto check_evaluations(list<>) {
  return sound{};
}
template <class Sets, class First, class... Rest>
constexpr auto check_evaluations(list<First, Rest...>) {
  if constexpr (((First::name == Rest::name) || ...)) {
    return refuse<misuse::EM03, First, Sets>{};
  } else {
    return check_evaluations<Sets>(list<Rest...>{});
  }
}
template <class... Evaluations>
consteval std::size_t count_plain(list<Evaluations...>) {
  return (std::size_t{0} + ... + std::size_t{Evaluations::name.empty()});
}
template <class... Tags>
consteval bool any_empty_name(list<Tags...>) {
  return (Tags::name.empty() || ...);
}
template <class... C>
concept names_evaluations_badly = ((requires { typename innermost_t<C>::evaluates_as; } && !states_evaluations<innermost_t<C>>) || ...);

template <class Composition, class... C>
constexpr auto check_metrics(list<C...> pack) {
  using evaluations = typename Composition::evaluations;
  if constexpr (names_evaluations_badly<C...>) {
    return refuse<misuse::EM14, list<C...>>{};
  } else if constexpr (count_plain(evaluations{}) > 1 || any_empty_name(typename Composition::stated_tags{})) {
    return refuse<misuse::EM13, typename Composition::named_eval_sets, typename Composition::stated_tags>{};
  } else {
    using sets = decltype(check_evaluations<typename Composition::named_eval_sets>(evaluations{}));
    using names = decltype(check_tag_names(typename Composition::recorded_tags{}));
    using writers = decltype(check_writers<evaluations, loop_tags_t<typename Composition::task>>(pack));
    return first_unsound<sets, names, writers, decltype(check_watched<typename Composition::template columns<evaluations>>(pack))>();
  }
}

// --- state ---

template <class Callback>
concept saves_state = requires { requires innermost_t<Callback>::saves_state; };

/// What an adapter wraps is asked first, then the adapter for members of its own.
template <class Callback>
constexpr auto check_callback_visitors() {
  if constexpr (is_adapter<Callback>) {
    using inner = decltype(check_callback_visitors<unwrap_t<typename Callback::inner_type>>());
    if constexpr (!is_sound_v<inner> || requires { typename Callback::adds_no_state; }) {
      return inner{};
    } else {
      return check_visitors<Callback>();
    }
  } else {
    return check_visitors<Callback>();
  }
}

template <class Step>
constexpr auto check_step_state() {
  if constexpr (std::is_class_v<Step> && !visitable_state<Step> && !visitable_config<Step> && !std::is_empty_v<Step>) {
    return refuse<misuse::EV03, Step>{};
  } else {
    return sound{};
  }
}
template <std::size_t I, class Task>
constexpr auto check_phase_state() {
  using phase = typename task_phases<Task>::template at<I>;
  using step = decltype(check_step_state<decltype(phase::step)>());
  using eval_step = decltype(check_step_state<decltype(phase::eval_step)>());
  if constexpr (!is_sound_v<step>) {
    return step{};
  } else if constexpr (!is_sound_v<eval_step>) {
    return eval_step{};
  } else if constexpr (I + 1 < task_phase_count<Task>) {
    return check_phase_state<I + 1, Task>();
  } else {
    return sound{};
  }
}

template <class M, class L, class O>
Supervised<M, L, O> supervised_base(Supervised<M, L, O>&);
struct any_member {
  template <class T>
  operator T() const;
};
/// True if a task has members besides those of Supervised.
template <class Task, class Base>
inline constexpr bool adds_members = sizeof(Task) > sizeof(Base) || (std::is_aggregate_v<Task> && requires { Task{std::declval<Base>(), any_member{}}; });

template <class Task>
constexpr auto check_task_state() {
  if constexpr (is_phase_task_v<Task>) {
    return check_phase_state<0, Task>();
  } else if constexpr (supervised_task<Task>) {
    using base = decltype(supervised_base(std::declval<Task&>()));
    if constexpr (is_closure_v<decltype(base::criterion)>) {
      return check_step_state<decltype(base::criterion)>();
    } else if constexpr (std::same_as<Task, base>) {
      return sound{};
    } else if constexpr (names_visit_state<Task> || names_visit_config<Task> || adds_members<Task, base>) {
      return check_visitors<Task>();
    } else {
      return sound{};
    }
  } else {
    return check_visitors<Task>();
  }
}

/// Where a callback of the pack saves, nothing that changes may be forgotten.
template <class Composition, class... C>
constexpr auto check_state(list<C...>) {
  if constexpr ((saves_state<C> || ...)) {
    return first_unsound<decltype(check_callback_visitors<unwrap_t<bound_callback_t<C, Composition>>>())...,
                         decltype(check_task_state<typename Composition::task>()), decltype(check_visitors<typename Composition::device>()),
                         decltype(check_visitors<typename Composition::precision>()),
                         decltype(check_visitors<typename Composition::distribution>())>();
  } else {
    return sound{};
  }
}

template <class Composition, class... C>
constexpr auto check_callbacks(list<C...> pack) {
  using complete = decltype(check_complete(pack));
  if constexpr (!is_sound_v<complete>) {
    return complete{};
  } else if constexpr (!std::is_void_v<typename immovable<C...>::type>) {
    return refuse<misuse::EC04, typename immovable<C...>::type>{};
  } else {
    using unique = decltype(check_duplicates(pack));
    if constexpr (!is_sound_v<unique>) {
      return unique{};
    } else {
      using each = decltype(check_each_callback<typename Composition::tensor_type, typename Composition::task>(
          list<callback_pair<C, unwrap_t<bound_callback_t<C, Composition>>>...>{}));
      if constexpr (!is_sound_v<each>) {
        return each{};
      } else {
        return first_unsound<decltype(check_order<list<C...>, list<innermost_t<C>...>>()),
                             decltype(check_metrics<Composition>(pack)), decltype(check_state<Composition>(pack))>();
      }
    }
  }
}

// --- the whole ---

template <class Task, std::size_t... I>
consteval bool takes_closure(std::index_sequence<I...>) {
  using parameters = basic_parameter_set<typename Task::tensor_type>;
  return (steps_with_closure<decltype(std::declval<optimizer_of_t<I, Task> const&>().bind(std::declval<parameters&>())), parameters> || ...);
}
/// The loss can be computed again and again in an update.
template <class Task, class BoundPrecision>
inline constexpr bool allows_closure = task_phase_count<Task> == 1 && !scales_losses<BoundPrecision> &&
                                       !keeps_masters<BoundPrecision, basic_parameter_set<typename Task::tensor_type>>;

/// Optional members of the bound policies form groups: each is there whole or not at all.
template <class Task, class BoundDevice, class BoundPrecision, class BoundDistribution>
constexpr auto check_groups() {
  using parameters = basic_parameter_set<typename Task::tensor_type>;
  constexpr misuse device = half_in_bound_device<BoundDevice>();
  constexpr misuse precision = half_in_bound_precision<BoundPrecision, parameters>();
  constexpr misuse distribution = half_in_bound_distribution<BoundDistribution, parameters, model_type_of_t<0, Task>>();
  return first_unsound<refuse_if<device, BoundDevice>, refuse_if<precision, BoundPrecision>, refuse_if<distribution, BoundDistribution>>();
}

template <class Task, class Device, class Precision, class Distribution>
constexpr auto check_policies() {
  using tensor_type = typename Task::tensor_type;
  using parameters = basic_parameter_set<tensor_type>;
  if constexpr (!device_policy<Device, tensor_type>) {
    return refuse<missing_in_device<Device, tensor_type>(), Device>{};
  } else {
    using bound_device = decltype(std::declval<Device const&>().template bind<tensor_type>());
    if constexpr (!precision_policy<Precision, parameters, bound_device>) {
      return refuse<missing_in_precision<Precision, parameters, bound_device>(), Precision>{};
    } else if constexpr (!distribution_policy<Distribution, parameters, bound_device>) {
      if constexpr (requires { requires !Distribution::template serves<bound_device>; }) {
        return refuse<misuse::EP41, Device, Distribution>{};
      } else {
        return refuse<missing_in_distribution<Distribution, parameters, bound_device>(), Distribution>{};
      }
    } else if constexpr (states_excludes_badly<Device>) {
      return refuse<misuse::EP81, Device>{};
    } else if constexpr (states_excludes_badly<Precision>) {
      return refuse<misuse::EP81, Precision>{};
    } else if constexpr (states_excludes_badly<Distribution>) {
      return refuse<misuse::EP81, Distribution>{};
    } else if constexpr (!compatible<Device, Precision> || !compatible<Precision, Device>) {
      return refuse<misuse::EP41, Device, Precision>{};
    } else if constexpr (!compatible<Device, Distribution> || !compatible<Distribution, Device>) {
      return refuse<misuse::EP41, Device, Distribution>{};
    } else if constexpr (!compatible<Precision, Distribution> || !compatible<Distribution, Precision>) {
      return refuse<misuse::EP41, Precision, Distribution>{};
    } else if constexpr (takes_closure<Task>(std::make_index_sequence<task_phase_count<Task>>{}) &&
                         !allows_closure<Task, decltype(std::declval<Precision const&>().template bind<parameters>(std::declval<bound_device const&>()))>) {
      return refuse<misuse::EO04, Task, Precision>{};
    } else {
      return check_groups<Task, bound_device, decltype(std::declval<Precision const&>().template bind<parameters>(std::declval<bound_device const&>())),
                          decltype(std::declval<Distribution const&>().template bind<parameters>(std::declval<bound_device const&>()))>();
    }
  }
}

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
  } else if constexpr (!is_sound_v<decltype(check_extra_tensors<Task>())>) {
    return type<refused<typename decltype(check_extra_tensors<Task>())::value>>{};
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
