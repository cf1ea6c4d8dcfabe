#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "tacit/events/events.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/events/handles.hpp"

namespace tacit::inline v0 {

namespace detail {

// Whether a lambda takes an event has to be found out without calling it: its result type is deduced, and to deduce it the
// compiler would go through the body with a context that is there for the question only. So a rival competes for the call. It is
// better in the object (it is not const) and worse in every argument: if the lambda could be called, the call is ambiguous,
// and nobody looks into it.
struct rival {
  void operator()(...);
};
template <class F>
struct contest : F, rival {
  using F::operator();
  using rival::operator();
};

template <class F, class Event, class Context, class... State>
concept lambda_takes = !requires(contest<F>& both, Event const& event, Context& context, State&... state) { both(event, context, state...); };

/// Where a result means something: everywhere, but a lambda for every event does not make each batch one that may be skipped.
template <class F, class Event, class Context, class... State>
using lambda_result =
    std::conditional_t<(std::same_as<Event, event::TrainStepStart> || std::same_as<Event, event::EvalStepStart>) &&
                           lambda_takes<F, no_event, Context, State...>,
                       void, Flow>;

template <class Result, class F, class Event, class Context, class... State>
Result call_lambda(F const& f, Event const& event, Context& context, State&... state) {
  using own = decltype(f(event, context, state...));
  constexpr bool is_sound = std::is_void_v<own> || std::same_as<own, Flow>;
  static_assert(is_sound, "[TACIT-EC08] a handler returns neither void nor Flow, wanted: a lambda that returns nothing or Flow, see docs/errors.md");
  if constexpr (std::is_void_v<own>) {
    f(event, context, state...);
    if constexpr (!std::is_void_v<Result>) return Flow::proceed;
  } else {
    constexpr bool may_skip = !std::is_void_v<Result>;
    static_assert(may_skip,
                  "[TACIT-EC08] a lambda for every event returns Flow also where batches are skipped, wanted: one that names its event, see docs/errors.md");
    return f(event, context, state...);
  }
}

template <class F>
concept lambda_like = std::is_class_v<F> && !std::is_final_v<F>;

}  // namespace detail

/// A lambda as a callback; made by `stateless`.
template <detail::lambda_like F>
class StatelessLambda {
 public:
  explicit StatelessLambda(F f) : f_{std::move(f)} {}

  template <class Event, class Context>
    requires detail::lambda_takes<F, Event, Context>
  detail::lambda_result<F, Event, Context> on(Event const& event, Context& context) {
    return detail::call_lambda<detail::lambda_result<F, Event, Context>>(f_, event, context);
  }

  /// As a task's step or a loss.
  template <class... Arguments>
    requires std::invocable<F&, Arguments...>
  decltype(auto) operator()(Arguments&&... arguments) {
    return f_(std::forward<Arguments>(arguments)...);
  }

  /// The promise: nothing here changes in a run.
  static void visit_config(auto&, auto&&) {}

 private:
  [[no_unique_address]] F f_;
};

/// A lambda and its state as a callback; made by `stateful`.
template <detail::lambda_like F, class State>
class StatefulLambda {
 public:
  StatefulLambda(F f, State state) : f_{std::move(f)}, state_{std::move(state)} {}

  template <class Event, class Context>
    requires detail::lambda_takes<F, Event, Context, State>
  detail::lambda_result<F, Event, Context, State> on(Event const& event, Context& context) {
    return detail::call_lambda<detail::lambda_result<F, Event, Context, State>>(f_, event, context, state_);
  }

  /// As a task's step or a loss: the state comes last.
  template <class... Arguments>
    requires std::invocable<F&, Arguments..., State&>
  decltype(auto) operator()(Arguments&&... arguments) {
    return f_(std::forward<Arguments>(arguments)..., state_);
  }

  State const& state() const& noexcept { return state_; }
  State state() const&& { return state_; }

  static void visit_state(auto& self, auto&& visit) { visit("state", self.state_); }

 private:
  [[no_unique_address]] F f_;
  State state_;
};

/// A lambda `[](event::UpdateEnd const& event, auto& context) {...}` as a callback: for that event, and with `auto const&` for all.
///
/// It may return Flow. What it captures is not saved: to call it stateless is the promise that nothing of it changes.
template <class F>
StatelessLambda<F> stateless(F f) {
  return StatelessLambda<F>{std::move(f)};
}

/// A lambda `[](event::UpdateEnd const& event, auto& context, auto& state) {...}` and its state, which is saved, as a callback.
/// Example: `stateful([](event::UpdateEnd const&, auto&, std::int64_t& count) { ++count; }, std::int64_t{0})`
template <class F, class State>
StatefulLambda<F, State> stateful(F f, State state) {
  return {std::move(f), std::move(state)};
}

}  // namespace tacit::inline v0
