#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <type_traits>

#include "tacit/core/aggregate.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/member_names.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/flow.hpp"

namespace tacit::inline v0 {

/// True if the callback has a handler for the event that can be called with that context.
template <class Callback, class Event, class Context>
concept handles = requires(Callback& callback, Event const& event, Context& context) { callback.on(event, context); };

/// True if the handler returns what the loop understands: void or Flow.
template <class Callback, class Event, class Context>
concept handles_soundly = requires(Callback& callback, Event const& event, Context& context) {
  { callback.on(event, context) } -> std::same_as<void>;
} || requires(Callback& callback, Event const& event, Context& context) {
  { callback.on(event, context) } -> std::same_as<Flow>;
};

namespace detail {

/// Converts to whatever a handler asks for as its context.
struct any_context {
  template <class T>
  operator T&() const;
  template <class T>
  operator T&&() const;
};
struct any_context_by_value {
  template <class T>
  operator T() const;
};
/// Converts to an argument that is taken by value or by lvalue reference.
struct any_argument {
  template <class T>
  operator T&() const;
};
/// A task's steps get a StepContext, callbacks do not: a handler of one is probed with this.
struct no_core {
  using tensor_type = int;
  static constexpr bool steps_across_ranks = false;
};
/// A context of the same parts that no run makes for the event: of the whole step, where the event is of a phase.
template <class Context>
struct other_context {
  using type = void;
};
template <class Run, unsigned Parts, std::size_t Phase>
  requires(Phase != whole_step)
struct other_context<Context<Run, Parts, Phase>> {
  using type = Context<Run, Parts, whole_step>;
};
/// Something that is no event of anybody's: a handler that takes it takes everything.
struct no_event {};

template <class Callback, class Event, class Context>
concept near_miss_reference = requires(Callback& c, Event& e, Context& x) { c.on(e, x); } ||
                              requires(Callback& c, Event& e, Context& x) { c.on(static_cast<Event&&>(e), x); } ||
                              requires(Callback& c, Event const& e, Context& x) { c.on(e, static_cast<Context&&>(x)); };
template <class Callback, class Event>
concept near_miss_one = requires(Callback& c, Event const& e) { c.on(e); } || requires(Callback& c, Event& e) { c.on(e); };
template <class Callback, class Context>
concept takes_anything = requires(Callback& c, no_event const& e, Context x) { c.on(e, x); };
template <class Callback, class Event, class Context>
concept near_miss_swapped = requires(Callback& c, Event const& e, Context& x) { c.on(x, e); };
template <class Callback, class Event, class Context>
concept near_miss_pointer = requires(Callback& c, Event* e, Context& x) { c.on(e, x); } ||
                            requires(Callback& c, Event const& e, Context* x) { c.on(e, x); };
template <class Callback, class Event, class Context>
concept near_miss_third = requires(Callback& c, Event const& e, Context& x, any_context third) { c.on(e, x, third); } ||
                          requires(Callback& c, Event const& e, Context& x, any_context_by_value third) { c.on(e, x, third); } ||
                          requires(Callback& c, Event const& e, Context& x, any_argument more) { c.on(e, x, more, more); } ||
                          requires(Callback& c, Event const& e, Context& x, any_argument more) { c.on(e, x, more, more, more); };
template <class Callback, class Event>
concept near_miss_context = requires(Callback& c, Event const& e, any_context x) { c.on(e, x); } ||
                            requires(Callback& c, Event const& e, any_context_by_value x) { c.on(e, x); } ||
                            requires(Callback& c, Event& e, any_context x) { c.on(e, x); };

template <class T>
inline constexpr bool names_on_v = std::is_class_v<T> || std::is_union_v<T>;
template <can_be_probed T>
inline constexpr bool names_on_v<T> = !requires { &named_twice<T>::on; };

/// A handler that deduces another context than the one it would be given: a task's, or that of another phase.
template <class Callback, class Event, class Context>
concept near_miss_kind = requires(Callback& c, Event const& e, StepContext<no_core>& x) { c.on(e, x); } ||
                         requires(Callback& c, Event const& e, typename other_context<Context>::type& x) { c.on(e, x); };

struct no_handler {};
/// The handlers of T with one behind them that takes the rest: that of `no_handler` is chosen only if no other fits at all.
/// A handler that is not public does not compile here, and compilers say so by its name.
template <class T>
struct every_handler_is_public : T {
  using T::on;
  no_handler on(...);
};
template <class T, class Event, class Context>
concept ignores = requires(every_handler_is_public<T>& c, Event const& e, Context& x) {
  { c.on(e, x) } -> std::same_as<no_handler>;
};
/// `on` may be a data member, a std::function say.
template <class T>
concept has_handlers = can_be_probed<T> && names_on_v<T> && !requires { requires is_data_v<&T::on>; };

/// Converts to the event of any phase whose name is none of `Known`.
template <class Known, class Event>
struct unknown_phase {
  template <fixed_string Name>
    requires(!contains_v<Known, event::Of<Name, Event>>)
  operator event::Of<Name, Event> const&() const;
};

/// An aggregate's base class B has a handler that `on` of the aggregate hides.
template <class T, class B, class Context, class... Events>
consteval bool hides_one_of(list<Events...>) {
  return ((handles<B, Events, Context> && !handles<T, Events, Context>) || ...);
}
template <class T, class Context, class Events>
struct hidden_base {
  hidden_base(hidden_base const&) = delete;
  template <class B>
    requires(std::is_base_of_v<B, T> && !std::same_as<B, T> && hides_one_of<T, B, Context>(Events{}))
  operator B() const;
};
template <class T, class First, class... Before>
concept made_of = requires(First const& first, Before const&... before) { T{before..., first}; };
/// True if one of the first three bases of an aggregate has a handler that the aggregate hides: a base is initialised as a member is.
template <class T, class Context, class Events>
inline constexpr bool hides_handlers = false;
template <class T, class Context, class Events>
  requires(std::is_aggregate_v<T> && has_handlers<T>)
inline constexpr bool hides_handlers<T, Context, Events> = [] {
  using hidden = hidden_base<T, Context, Events>;
  return (made_of<T, hidden> && !made_of<T, not_a_base>) ||
         (made_of<T, hidden, any_context_by_value> && !made_of<T, not_a_base, any_context_by_value>) ||
         (made_of<T, hidden, any_context_by_value, any_context_by_value> && !made_of<T, not_a_base, any_context_by_value, any_context_by_value>);
}();

/// A handler that takes `...`: what g++ makes of `auto&` in a class inside a function, and then calls for every event.
template <class Callback>
concept takes_any_number = requires(Callback& c, no_event e) { c.on(e, e, e, e, e, e, e, e); };

/// The callback that is asked: the bound form where it has one, what a reference refers to, else itself.
template <class Callback>
struct unwrap {
  using type = Callback;
};
template <class Callback>
struct unwrap<std::reference_wrapper<Callback>> {
  using type = Callback;
};
template <class Callback>
using unwrap_t = typename unwrap<Callback>::type;

template <class Callback>
concept states_events = requires { typename Callback::events; };

template <class Callback>
concept is_adapter = requires { typename Callback::inner_type; };

/// The type at the bottom of references and adapters: its handlers are the ones that a person wrote.
template <class Callback>
struct innermost {
  using type = Callback;
};
template <class Callback>
struct innermost<std::reference_wrapper<Callback>> : innermost<Callback> {};
template <is_adapter Callback>
struct innermost<Callback> : innermost<typename Callback::inner_type> {};
template <class Callback>
using innermost_t = typename innermost<Callback>::type;

/// The way in which a handler of Event is nearly right; misuse::none where none is.
///
/// A handler that takes anything, but not this event, has a constraint that says so: that is no mistake.
template <class Callback, class Event, class Context>
consteval misuse near_miss() {
  if constexpr (handles<Callback, Event, Context>) {
    return handles_soundly<Callback, Event, Context> ? misuse::none : misuse::EC08;
  } else if constexpr (near_miss_reference<Callback, Event, Context>) {
    return misuse::EC09;
  } else if constexpr (near_miss_one<Callback, Event>) {
    return misuse::EC10;
  } else if constexpr (near_miss_third<Callback, Event, Context>) {
    return misuse::EC11;
  } else if constexpr (near_miss_context<Callback, Event> && (!takes_anything<Callback, any_context> || takes_anything<Callback, no_event>)) {
    return misuse::EC01;
  } else if constexpr (!takes_anything<Callback, Context&> &&
                       (near_miss_swapped<Callback, Event, Context> || near_miss_pointer<Callback, Event, Context>)) {
    return misuse::EC11;
  } else {
    return near_miss_context<Callback, Event> || near_miss_kind<Callback, Event, Context> ? misuse::EC01 : misuse::none;
  }
}

}  // namespace detail
}  // namespace tacit::inline v0
