#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/handles.hpp"

namespace tacit::inline v0::detail {

template <std::size_t N>
struct handler_positions {
  std::size_t size = 0;
  std::array<std::size_t, N> place{};  // position in the call order
};

/// Which places of the call order handle the event: computed before the fold, so that a callback without a handler costs nothing.
template <class Event, class Context, class... C, std::size_t N>
consteval auto find_handlers(list<C...>, call_order<N> order) {
  handler_positions<N> result;
  if constexpr (N > 0) {
    constexpr std::array<bool, N> handled{handles<C, Event, Context>...};
    for (std::size_t place = 0; place < N; ++place) {
      if (handled[order.at[place]]) result.place[result.size++] = place;
    }
  }
  return result;
}

template <class Run, class Event, class Context>
inline constexpr auto handlers_of = find_handlers<Event, Context>(typename Run::callback_types{}, Run::order);

template <class Run, class Event, unsigned Parts = event_parts<Event>, std::size_t Phase = whole_step>
inline constexpr bool is_handled = handlers_of<Run, Event, Context<Run, Parts, Phase>>.size != 0;

/// Notes which callback is called, while it lives: handlers call others by what they emit and evaluate.
template <class Core>
class CallerScope {
 public:
  CallerScope(Core& core, std::size_t place) noexcept : core_{core}, before_{core.exchange_caller(place)} {}
  CallerScope(CallerScope const&) = delete;
  CallerScope& operator=(CallerScope const&) = delete;
  ~CallerScope() { core_.exchange_caller(before_); }

 private:
  Core& core_;
  std::size_t before_;
};

/// Calls one handler; what it throws goes on its way with the callback's and the event's name noted.
template <std::size_t Place, class Run, class Event, class Context>
inline Flow call_handler(Run& run, Event const& event, Context& context) {
  auto& callback = run.core().callbacks().template get<Run::order.at[Place]>();
  try {
    CallerScope const caller{run.core(), Place};
    if constexpr (std::same_as<decltype(callback.on(event, context)), Flow>) {
      return callback.on(event, context);
    } else {
      callback.on(event, context);
      return Flow::proceed;
    }
  } catch (...) {
    run.core().note_throw(Place, &type_name<std::remove_cvref_t<decltype(callback)>>, &type_name<Event>);
    throw;
  }
}

constexpr Flow stronger(Flow a, Flow b) noexcept { return a < b ? b : a; }

template <class Run, class Event, class Context, std::size_t... I>
inline Flow call_handlers(Run& run, Event const& event, Context& context, std::index_sequence<I...>) {
  Flow flow = Flow::proceed;
  ((flow = stronger(flow, call_handler<handlers_of<Run, Event, Context>.place[I]>(run, event, context))), ...);
  return flow;
}

/// The stage that an event starts.
template <class Event>
struct started_stage {};
template <>
struct started_stage<event::TrainingRunStart> : type<stage::TrainingRun> {};
template <>
struct started_stage<event::TrainingRunEpochStart> : type<stage::TrainingRunEpoch> {};
template <>
struct started_stage<event::TrainEpochStart> : type<stage::TrainEpoch> {};
template <>
struct started_stage<event::DataFetchStart> : type<stage::DataFetch> {};
template <>
struct started_stage<event::TrainStepStart> : type<stage::TrainStep> {};
template <>
struct started_stage<event::UpdateStart> : type<stage::Update> {};
template <fixed_string Name>
struct started_stage<event::Of<Name, event::UpdateStart>> : type<stage::Update> {};
template <>
struct started_stage<event::EvaluationRunStart> : type<stage::EvaluationRun> {};
template <>
struct started_stage<event::EvalEpochStart> : type<stage::EvalEpoch> {};
template <>
struct started_stage<event::EvalStepStart> : type<stage::EvalStep> {};
/// True if somebody is told should the stage that the event starts be aborted.
template <class Run, class Event>
inline constexpr bool starts_guarded = false;
template <class Run, class Event>
  requires requires { typename started_stage<Event>::value; }
inline constexpr bool starts_guarded<Run, Event> = is_handled<Run, event::Aborted<typename started_stage<Event>::value>, part::none>;

/// Calls every handler of the event in call order; the strongest request of all.
template <unsigned Parts, std::size_t Phase, class Event, class Run>
inline Flow fire_with(Run& run, Event const& event) {
  using context_type = Context<Run, Parts, Phase>;
  constexpr std::size_t count = handlers_of<Run, Event, context_type>.size;
  if constexpr (count == 0) {
    return Flow::proceed;
  } else {
    context_type context{run};
    Flow const flow = call_handlers(run, event, context, std::make_index_sequence<count>{});
    if constexpr (starts_guarded<Run, Event>) run.core().set_seen(Run::order.at.size());
    return flow;
  }
}
template <class Event, class Run>
inline Flow fire(Run& run, Event const& event) {
  return fire_with<event_parts<Event>, whole_step>(run, event);
}

/// A user's event is met where it is emitted, and a handler that nearly takes it with it. (Listed events were checked before.)
template <class Callback, class Event, class Context>
constexpr void refuse_near_miss() {
  using asked = innermost_t<Callback>;
  if constexpr (!is_builtin_event<Event> && names_on_v<asked> && !states_events<asked>) {
    constexpr misuse found = near_miss<asked, Event, Context>();
    if constexpr (found != misuse::none) report(bad<found, asked, Event>{});
  }
}
template <class Event, class Context, class... C>
constexpr void refuse_near_misses(list<C...>) {
  (refuse_near_miss<C, Event, Context>(), ...);
}

/// Fires an event by `context.emit`.
template <unsigned Parts, std::size_t Phase, class Event, class Run>
inline void emit_with(Run& run, Event const& event) {
  refuse_near_misses<Event, Context<Run, Parts, Phase>>(typename Run::callback_types{});
  run.core().take(fire_with<Parts, Phase>(run, event), &type_name<Event>);
}

/// Tells the callbacks that saw the phase's start (those before `limit` in call order) that it is aborted.
/// What they throw meanwhile is noted, not thrown.
template <std::size_t Place, class Run, class Event, class Context>
inline void call_aborted(Run& run, Event const& event, Context& context, std::size_t limit) {
  if (Place >= limit) return;
  try {
    call_handler<Place>(run, event, context);
  } catch (...) {
    run.core().note_second_error();
  }
}
template <class Run, class Event, class Context, std::size_t... I>
inline void call_all_aborted(Run& run, Event const& event, Context& context, std::size_t limit, std::index_sequence<I...>) {
  (call_aborted<handlers_of<Run, Event, Context>.place[I]>(run, event, context, limit), ...);
}
template <class Phase, class Run>
inline void fire_aborted(Run& run, std::size_t limit) {
  using event_type = event::Aborted<Phase>;
  using context_type = Context<Run, part::none>;
  constexpr std::size_t count = handlers_of<Run, event_type, context_type>.size;
  if constexpr (count != 0) {
    context_type context{run};
    event_type const event{run.core().current_error()};
    call_all_aborted(run, event, context, limit, std::make_index_sequence<count>{});
  }
}

/// Runs `start`, which fires the phase's start event. If it throws, fires Aborted<Phase> to all that saw the event: nobody if it
/// was not fired yet, those before the handler that threw, or all where the library refuses what a handler asked for.
template <class Phase, class Run, class Start>
inline void start_phase(Run& run, Start&& start) {
  if constexpr (!is_handled<Run, event::Aborted<Phase>, part::none>) {
    start();
  } else {
    run.core().set_seen(0);
    try {
      start();
    } catch (...) {
      fire_aborted<Phase>(run, run.core().thrower());
      throw;
    }
  }
}
/// Runs `start` (which fires the phase's start event) and `body`; if either throws, fires Aborted<Phase> and throws on.
template <class Phase, class Run, class Start, class Body>
inline void guard_phase(Run& run, Start&& start, Body&& body) {
  start_phase<Phase>(run, start);
  if constexpr (!is_handled<Run, event::Aborted<Phase>, part::none>) {
    body();
  } else {
    try {
      body();
    } catch (...) {
      fire_aborted<Phase>(run, Run::order.at.size());
      throw;
    }
  }
}

}  // namespace tacit::inline v0::detail
