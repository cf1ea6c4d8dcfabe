#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/concepts/callback.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/events/handles.hpp"
#include "tacit/events/progress.hpp"

namespace tacit::inline v0 {

struct TerminateOnNaN;
struct PrintProgress;
struct ProgressBar;
struct LogMetrics;

/// Splices the default callbacks into a pack: TerminateOnNaN, PrintProgress, ProgressBar, LogMetrics.
struct default_callbacks_t {
  using types = list<TerminateOnNaN, PrintProgress, ProgressBar, LogMetrics>;
};
inline constexpr default_callbacks_t default_callbacks{};

/// The callbacks that must run before this one at every event: `using runs_after = tacit::runs_after<TrackHits>`.
template <class... Callbacks>
struct runs_after {
  using types = list<Callbacks...>;
};
/// The callbacks that must run after this one at every event.
template <class... Callbacks>
struct runs_before {
  using types = list<Callbacks...>;
};
/// This callback runs after all that do not say the same: `using runs_last = tacit::runs_last`.
struct runs_last {};

namespace detail {

template <class Callback, class Composition>
concept binds = requires { typename Callback::template bound<Composition>; };

/// What stands in the trainer for a callback: `Callback::bound<Composition>` made from it where there is one, else itself.
template <class Callback, class Composition>
struct bound_callback {
  using type = Callback;
};
template <class Callback, class Composition>
  requires binds<unwrap_t<Callback>, Composition>
struct bound_callback<Callback, Composition> {
  using type = typename unwrap_t<Callback>::template bound<Composition>;
};
template <class Callback, class Composition>
using bound_callback_t = typename bound_callback<Callback, Composition>::type;

/// What a handler returns; spelled out in adapters, for a deduced type would have to look into handlers that are only asked for.
template <class Callback, class Event, class Context>
struct handler_result {};
template <class Callback, class Event, class Context>
  requires handles<Callback, Event, Context>
struct handler_result<Callback, Event, Context> {
  using type = decltype(std::declval<Callback&>().on(std::declval<Event const&>(), std::declval<Context&>()));
};
template <class Callback, class Event, class Context>
using handler_result_t = typename handler_result<Callback, Event, Context>::type;

/// What stands in the trainer for an adapter: the inner callback in its place, behind a filter with `bool passes(event, context)`.
template <class Inner, class Composition, class Filter>
class Filtered;
struct no_filter {
  static constexpr bool is_for_all_ranks = true;
  constexpr bool passes(auto const&, auto&) const noexcept { return true; }
  static void visit_config(auto&, auto&&) {}
};

/// For what the compiler has refused already: it is never called.
[[noreturn]] void never();

}  // namespace detail

/// A callback under a name of its own; made by `named`.
template <fixed_string Name, class Callback>
struct Named {
  using inner_type = Callback;
  static constexpr std::string_view name = Name.view();

  Callback inner;

  template <class Composition>
  class bound : public detail::Filtered<Callback, Composition, detail::no_filter> {
   public:
    explicit bound(Named given) : detail::Filtered<Callback, Composition, detail::no_filter>{std::move(given.inner), {}} {}
  };
};

/// Gives a second callback of one type a name of its own: `named<"slow">(EveryN{...})`.
template <fixed_string Name, class Callback>
constexpr Named<Name, Callback> named(Callback callback) {
  if constexpr (std::move_constructible<Callback>) {
    return {std::move(callback)};
  } else {
    detail::report(bad<misuse::EC04, detail::innermost_t<Callback>>{});
    detail::never();
  }
}

namespace detail {

template <class T>
concept complete_type = requires { sizeof(T); };

/// The first callback that its pack cannot take over; void where there is none.
template <class... Callbacks>
struct immovable {
  using type = void;
};
template <class First, class... Rest>
struct immovable<First, Rest...> : immovable<Rest...> {};
template <complete_type First, class... Rest>
  requires(!std::move_constructible<First>)
struct immovable<First, Rest...> {
  using type = innermost_t<First>;
};

/// The first callback that cannot be made of its argument.
template <class Callbacks, class Arguments>
struct first_unfit {
  using type = void;
};
template <class C, class... Cs, class A, class... As>
struct first_unfit<list<C, Cs...>, list<A, As...>> : first_unfit<list<Cs...>, list<As...>> {};
template <class C, class... Cs, class A, class... As>
  requires(!std::constructible_from<C, A>)
struct first_unfit<list<C, Cs...>, list<A, As...>> {
  using type = C;
};

/// Holds the elements of a pack, or in place of elements that cannot be held the one error.
template <class Immovable>
struct pack_storage {
  static_assert(report(bad<misuse::EC04, Immovable>{}));
  template <class... Callbacks>
  struct tuple {
    constexpr tuple(auto&&...) {}
  };
};
template <>
struct pack_storage<void> {
  template <class... Callbacks>
  using tuple = std::tuple<Callbacks...>;
};

}  // namespace detail

/// The callbacks of a trainer, called in this order unless they state an order of their own.
///
/// `CallbackPack{}` is none; `default_callbacks` and further packs are spliced in; `std::ref(x)` leaves x with its owner.
template <class... Callbacks>
class CallbackPack {
  using storage = typename detail::pack_storage<typename detail::immovable<Callbacks...>::type>::template tuple<Callbacks...>;

 public:
  using slot = slot::callbacks;

  CallbackPack() = default;
  template <class... Arguments>
    requires(sizeof...(Arguments) == sizeof...(Callbacks) && sizeof...(Arguments) > 0 &&
             !(sizeof...(Arguments) == 1 && (std::same_as<std::remove_cvref_t<Arguments>, CallbackPack> && ...)))
  constexpr CallbackPack(Arguments&&... arguments) : values_{make(std::forward<Arguments>(arguments)...)} {}

  /// The elements, to be moved into their places.
  storage& values() { return values_; }

 private:
  template <class... Arguments>
  static constexpr storage make(Arguments&&... arguments) {
    // An lvalue of a type that can only be moved is the one thing that cannot go in.
    if constexpr (std::constructible_from<storage, Arguments...>) {
      return storage{std::forward<Arguments>(arguments)...};
    } else {
      using first = typename detail::first_unfit<list<Callbacks...>, list<Arguments...>>::type;
      detail::report(bad<misuse::EC04, detail::innermost_t<first>>{});
      detail::never();
    }
  }

  storage values_;
};
template <class... Callbacks>
CallbackPack(Callbacks...) -> CallbackPack<Callbacks...>;

namespace detail {

/// Stands for an element that is made by its default constructor.
template <class T>
struct make_default {};

template <class T>
struct flat {
  using types = list<T>;
  static auto refs(T& value) { return std::tuple<T&&>{std::move(value)}; }
};
template <>
struct flat<default_callbacks_t> {
  using types = default_callbacks_t::types;
  static auto refs(default_callbacks_t const&) {
    return []<class... T>(list<T...>) { return std::tuple<make_default<T>...>{}; }(types{});
  }
};
template <class... C>
struct flat<CallbackPack<C...>> {
  using types = concat_t<typename flat<C>::types...>;
  static auto refs(CallbackPack<C...>& pack) {
    return std::apply([](C&... c) { return std::tuple_cat(flat<C>::refs(c)...); }, pack.values());
  }
};
template <class Pack>
using flat_types = typename flat<Pack>::types;

template <class List>
struct pack_of;
template <class... C>
struct pack_of<list<C...>> {
  using type = CallbackPack<C...>;
};

template <std::size_t I, class Callback, class Bound>
struct callback_slot {
  explicit callback_slot(Callback& callback) : value{source(callback)} {}
  explicit callback_slot(Callback&& callback) : value{source(callback)} {}
  explicit callback_slot(make_default<Callback>, Callback&& fresh = Callback{}) : value{source(fresh)} {}

  auto& get() {
    if constexpr (is_specialization_v<Bound, std::reference_wrapper>) {
      return value.get();
    } else {
      return value;
    }
  }

  [[no_unique_address]] Bound value;

 private:
  // What the value is made of, where it stands: a result would have to be moved into a member that shares its space.
  static decltype(auto) source(Callback& callback) {
    if constexpr (is_specialization_v<Callback, std::reference_wrapper> && !std::same_as<Callback, Bound>) {
      // The bound form of an adapter takes the inner callback over: the owner's would never run.
      if constexpr (is_adapter<unwrap_t<Callback>>) report(bad<misuse::EC31, unwrap_t<Callback>>{});
      return (callback.get());
    } else {
      return std::move(callback);
    }
  }
};

template <class Inner, class Composition, class Filter>
class Filtered {
  using held = bound_callback_t<Inner, Composition>;
  using asked = unwrap_t<held>;

 public:
  using inner_type = asked;
  /// Beside the inner callback there is configuration only.
  using adds_no_state = void;

  Filtered(Inner&& inner, Filter filter) : inner_{std::move(inner)}, filter_{std::move(filter)} {}

  template <class Event, class Context>
    requires handles<asked, Event, Context>
  handler_result_t<asked, Event, Context> on(Event const& event, Context& context) {
    using result = handler_result_t<asked, Event, Context>;
    if (filter_.passes(event, context)) return inner_.get().on(event, context);
    if constexpr (!std::is_void_v<result>) return result{Flow::proceed};
  }

  BatchLimits batch_limits() const
    requires limits_batches<asked>
  {
    if constexpr (!Filter::is_for_all_ranks) report(bad<misuse::EC15, Inner>{});
    return inner_of(*this).batch_limits();
  }
  /// The size of micro-batches is the run's: whoever keeps it is asked at every batch.
  Samples micro_batch_rows() const
    requires requires(asked const& inner) { inner.micro_batch_rows(); }
  {
    if constexpr (!Filter::is_for_all_ranks) report(bad<misuse::EC20, Inner>{});
    return inner_of(*this).micro_batch_rows();
  }
  void halved(Samples rows, Sink const& sink, Progress const& progress)
    requires requires(asked& inner) { inner.halved(rows, sink, progress); }
  {
    inner_of(*this).halved(rows, sink, progress);
  }

  static void visit_state(auto& self, auto&& visit)
    requires requires(asked& inner) { asked::visit_state(inner, visit); }
  {
    asked::visit_state(inner_of(self), visit);
  }
  static void visit_config(auto& self, auto&& visit)
    requires(std::is_empty_v<asked> || requires(asked& inner) { asked::visit_config(inner, visit); } ||
             requires(asked& inner) { asked::visit_state(inner, visit); })
  {
    Filter::visit_config(self.filter_, visit);
    if constexpr (requires { asked::visit_config(inner_of(self), visit); }) asked::visit_config(inner_of(self), visit);
  }

 private:
  static auto& inner_of(auto& self) {
    if constexpr (is_specialization_v<held, std::reference_wrapper>) {
      return self.inner_.value.get();
    } else {
      return self.inner_.value;
    }
  }

  callback_slot<0, Inner, held> inner_;
  [[no_unique_address]] Filter filter_;
};

template <class Indices, class Callbacks, class Composition>
struct callback_storage;

/// The bound callbacks, each in its slot; empty ones take no space.
template <std::size_t... I, class... C, class Composition>
struct callback_storage<std::index_sequence<I...>, list<C...>, Composition>
    : callback_slot<I, C, typename bound_callback<C, Composition>::type>... {
  /// The types that are asked for handlers, in the order of the pack.
  using types = list<unwrap_t<typename bound_callback<C, Composition>::type>...>;

  template <class... R>
  explicit callback_storage(std::tuple<R...>&& refs)
      : callback_slot<I, C, typename bound_callback<C, Composition>::type>{std::get<I>(std::move(refs))}... {}

  template <std::size_t Index>
  auto& get() {
    return at<Index>(*this);
  }

 private:
  template <std::size_t Index, class Callback, class Bound>
  static auto& at(callback_slot<Index, Callback, Bound>& slot) {
    return slot.get();
  }
};

// --- the call order; callbacks call each other by the types at the bottom of references and adapters ---

template <class C>
concept states_after = requires { typename C::runs_after::types; };
template <class C>
concept states_before = requires { typename C::runs_before::types; };
template <class C>
concept states_last = requires { typename C::runs_last; };

/// True if A must be called before B.
template <class A, class B>
consteval bool precedes() {
  bool result = false;
  if constexpr (states_before<A>) result |= contains_v<typename A::runs_before::types, B>;
  if constexpr (states_after<B>) result |= contains_v<typename B::runs_after::types, A>;
  if constexpr (states_last<B> && !states_last<A>) result = true;
  return result;
}

template <std::size_t N>
struct call_order {
  std::array<std::size_t, N> at{};  // positions in the pack, in the order of calls
  bool cyclic = false;
  std::size_t in_cycle = N;         // a callback that waits for itself
};

/// The declared order, changed only where a constraint asks for it: the first callback whose predecessors are all placed goes next.
template <class... C>
consteval auto solve_order(list<C...>) {
  constexpr std::size_t n = sizeof...(C);
  call_order<n> result;
  if constexpr (n > 0) {
    std::array<std::array<bool, n>, n> before{};
    std::size_t row = 0;
    auto fill = [&before, &row]<class A>(type<A>) {
      std::size_t column = 0;
      ((before[row][column] = row != column && precedes<A, C>(), ++column), ...);
      ++row;
    };
    (fill(type<C>{}), ...);
    std::array<bool, n> placed{};
    for (std::size_t next = 0; next < n; ++next) {
      std::size_t chosen = n;
      for (std::size_t i = 0; i < n && chosen == n; ++i) {
        bool ready = !placed[i];
        for (std::size_t j = 0; j < n; ++j) ready = ready && (placed[j] || !before[j][i]);
        if (ready) chosen = i;
      }
      if (chosen == n) {
        result.cyclic = true;
        // Walking back along unplaced predecessors must close the cycle within n steps.
        std::size_t walk = 0;
        while (placed[walk]) ++walk;
        for (std::size_t step = 0; step < n; ++step) {
          for (std::size_t j = 0; j < n; ++j) {
            if (!placed[j] && before[j][walk]) {
              walk = j;
              break;
            }
          }
        }
        result.in_cycle = walk;
        return result;
      }
      placed[chosen] = true;
      result.at[next] = chosen;
    }
  }
  return result;
}

}  // namespace detail
}  // namespace tacit::inline v0
