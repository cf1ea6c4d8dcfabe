#pragma once

#include <concepts>
#include <functional>
#include <type_traits>

#include "tacit/core/list.hpp"
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
                          requires(Callback& c, Event const& e, Context& x, any_context_by_value third) { c.on(e, x, third); };
template <class Callback, class Event>
concept near_miss_context = requires(Callback& c, Event const& e, any_context x) { c.on(e, x); } ||
                            requires(Callback& c, Event const& e, any_context_by_value x) { c.on(e, x); } ||
                            requires(Callback& c, Event& e, any_context x) { c.on(e, x); };

/// Asks whether T has any member named `on`, callable or not: the name becomes ambiguous in a class that has two bases with it.
struct has_on {
  int on;
};
template <class T>
struct on_probe : T, has_on {};
template <class T>
concept has_no_member_on = requires { &on_probe<T>::on; };
template <class T>
inline constexpr bool names_on_v = std::is_class_v<T> || std::is_union_v<T>;
template <class T>
  requires(std::is_class_v<T> && !std::is_final_v<T>)
inline constexpr bool names_on_v<T> = !has_no_member_on<T>;

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
    return near_miss_context<Callback, Event> ? misuse::EC01 : misuse::none;
  }
}

}  // namespace detail
}  // namespace tacit::inline v0
