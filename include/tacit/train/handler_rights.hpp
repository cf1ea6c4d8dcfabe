#pragma once

#include <concepts>
#include <cstddef>
#include <utility>

#include "tacit/concepts/callback.hpp"
#include "tacit/core/list.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/flow.hpp"

/// What the handlers of a pack may do to a run, by their types: what none of them does costs nothing.
namespace tacit::inline v0::detail {

template <class Run, class Event, class C>
consteval bool returns_flow() {
  using context = Context<Run, event_parts<Event>>;
  if constexpr (requires(C& c, Event const& e, context& x) { { c.on(e, x) } -> std::same_as<Flow>; }) {
    return true;
  } else {
    return false;
  }
}
template <class Run, class Event, class... C>
consteval bool any_returns_flow(list<C...>) {
  return (returns_flow<Run, Event, C>() || ...);
}

/// Some handler may leave a batch out, so that no weight is known before the step.
template <class Run>
consteval bool handlers_may_skip_batches() {
  return any_returns_flow<Run, event::TrainStepStart>(typename Run::callback_types{});
}

template <class Run, std::size_t I, class Event>
consteval auto name_event() {
  if constexpr (Run::phase_count > 1) {
    return type<event::Of<Run::template phase_name<I>, Event>>{};
  } else {
    return type<Event>{};
  }
}
/// The event of phase I as the loop fires it.
template <class Run, std::size_t I, class Event>
using phase_event = typename decltype(name_event<Run, I, Event>())::value;

/// Some handler of the loss may skip the update, on its rank alone.
template <class Run>
consteval bool handlers_may_skip_updates() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return (is_handled<Run, phase_event<Run, I, event::TrainLossComputed>, event_parts<event::TrainLossComputed>, I> || ...);
  }(std::make_index_sequence<Run::phase_count>{});
}

/// Some handler may skip the update: at its loss, or once its gradients are whole.
template <class Run>
consteval bool handlers_may_skip() {
  return handlers_may_skip_updates<Run>() || []<std::size_t... I>(std::index_sequence<I...>) {
    return (is_handled<Run, phase_event<Run, I, event::UpdateStart>, event_parts<event::UpdateStart>, I> || ...);
  }(std::make_index_sequence<Run::phase_count>{});
}

/// The place of the callback that sizes micro-batches, or the pack's size.
template <class... C>
consteval std::size_t micro_batch_place(list<C...>) {
  std::size_t place = 0;
  [[maybe_unused]] bool const found = ((sizes_micro_batches<C> || (++place, false)) || ...);
  return place;
}

}  // namespace tacit::inline v0::detail
