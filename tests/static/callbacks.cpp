// What counts as a handler, what as a near miss, and in which order callbacks are called.

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <type_traits>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

namespace {

namespace event = tacit::event;
using tacit::misuse;
using tacit::detail::near_miss;

template <class Event>
using ContextOf = tacit::detail::probe_context<fake::Tensor, Event>;
template <class Callback, class Event = event::UpdateEnd>
constexpr misuse asked = near_miss<Callback, Event, ContextOf<Event>>();
template <class Callback, class Event = event::UpdateEnd>
constexpr bool handled = tacit::handles<Callback, Event, ContextOf<Event>>;

// --- handlers ---

struct Plain {
  void on(event::UpdateEnd const&, auto&) {}
};
struct ByValue {
  void on(event::UpdateEnd, auto&) {}
};
struct ConstContext {
  tacit::Flow on(event::UpdateEnd const&, auto const&) const { return tacit::Flow::proceed; }
};
struct Forwarding {
  void on(event::UpdateEnd const&, auto&&) {}
};
struct Static {
  static void on(event::UpdateEnd const&, auto&) {}
};
struct Generic {
  void on(auto const&, auto&) {}
};
struct Everything {
  void on(auto&&...) {}
};
struct Spelled {
  template <class Run, unsigned Parts, std::size_t Phase>
  void on(event::UpdateEnd const&, tacit::Context<Run, Parts, Phase>&) {}
};
struct Inherited : Plain {};
struct Final final {
  void on(event::UpdateEnd const&, auto&) {}
};
struct WithDefault {
  void on(event::UpdateEnd const&, auto&, int = 0) {}
};
struct Unused {
  void on(event::TrainEpochEnd const&, auto&) {}
};
template <class... Callbacks>
constexpr bool all_handled = ((handled<Callbacks> && asked<Callbacks> == misuse::none) && ...);
static_assert(all_handled<Plain, ByValue, ConstContext, Forwarding, Static, Generic, Everything, Spelled, Inherited, Final, WithDefault>);
static_assert(!handled<Unused> && asked<Unused> == misuse::none);
static_assert(handled<Generic, event::InitEnd> && handled<Everything, event::Aborted<tacit::stage::Update>>);

// A handler with a constraint is not asked for what its constraint leaves out.
struct ButOne {
  template <class Event>
    requires(!std::same_as<Event, event::UpdateEnd>)
  void on(Event const&, auto&) {}
};
struct OfBatches {
  void on(event::UpdateEnd const&, auto& context)
    requires requires { context.batch(); }
  {}
};
struct OfPredictions {
  void on(event::TrainStepEnd const&, auto& context)
    requires requires { context.output().prediction; }
  {}
};
static_assert(!handled<ButOne> && asked<ButOne> == misuse::none && handled<ButOne, event::InitEnd>);
static_assert(!handled<OfBatches> && asked<OfBatches> == misuse::none);
static_assert(!handled<OfPredictions, event::TrainStepEnd> && asked<OfPredictions, event::TrainStepEnd> == misuse::none);

// The named event of a phase is also the plain one, not the other way round.
using OfGenerator = event::Of<"generator", event::UpdateEnd>;
struct NamedPhase {
  void on(OfGenerator const&, auto&) {}
};
static_assert(handled<Plain, OfGenerator> && handled<NamedPhase, OfGenerator> && !handled<NamedPhase> && asked<NamedPhase> == misuse::none);
static_assert(!handled<NamedPhase, event::Of<"critic", event::UpdateEnd>>);

// --- near misses: each of its kind, and for its own event only ---

struct MutableEvent {
  void on(event::UpdateEnd&, auto&) {}
};
struct RvalueEvent {
  void on(event::UpdateEnd&&, auto&) {}
};
struct EventAlone {
  void on(event::UpdateEnd const&) {}
};
struct MutableEventAlone {
  void on(event::UpdateEnd&) {}
};
struct ContextByValue {
  void on(event::UpdateEnd const&, auto) {}
};
struct OtherContext {
  void on(event::UpdateEnd const&, Plain&) {}
};
struct OtherConstContext {
  void on(event::UpdateEnd const&, Plain const&) {}
};
struct NumberForContext {
  void on(event::UpdateEnd const&, double) {}
};
struct TwoFaults {
  void on(event::UpdateEnd&, Plain&) {}
};
struct Third {
  void on(event::UpdateEnd const&, auto&, int) {}
};
struct ThirdReference {
  void on(event::UpdateEnd const&, auto&, Plain&) {}
};
struct Swapped {
  void on(auto&, event::UpdateEnd const&) {}
};
struct EventPointer {
  void on(event::UpdateEnd const*, auto&) {}
};
struct MutableEventPointer {
  void on(event::UpdateEnd*, auto&) {}
};
struct ContextPointer {
  void on(event::UpdateEnd const&, auto*) {}
};
struct ReturnsNumber {
  int on(event::UpdateEnd const&, auto&) { return 0; }
};
struct ReturnsReference {
  tacit::Flow flow = tacit::Flow::proceed;
  tacit::Flow const& on(event::UpdateEnd const&, auto&) { return flow; }
};
template <misuse Number, class... Callbacks>
constexpr bool all_are = ((asked<Callbacks> == Number) && ...);
static_assert(all_are<misuse::EC09, MutableEvent, RvalueEvent>);
static_assert(all_are<misuse::EC10, EventAlone, MutableEventAlone>);
static_assert(all_are<misuse::EC01, ContextByValue, OtherContext, OtherConstContext, NumberForContext, TwoFaults>);
static_assert(all_are<misuse::EC11, Third, ThirdReference, Swapped, EventPointer, MutableEventPointer, ContextPointer>);
static_assert(all_are<misuse::EC08, ReturnsNumber, ReturnsReference>);
template <class... Callbacks>
constexpr bool quiet_elsewhere = ((asked<Callbacks, event::TrainEpochEnd> == misuse::none) && ...);
static_assert(quiet_elsewhere<MutableEvent, RvalueEvent, EventAlone, ContextByValue, OtherContext, NumberForContext, TwoFaults, Third, EventPointer, ContextPointer, ReturnsNumber>);

// Whether anything is called `on`, callable or not.
class Private {
  void on(event::UpdateEnd const&, auto&) {}
};
struct Misspelt {
  void On(event::UpdateEnd const&, auto&) {}
};
using tacit::detail::names_on_v;
static_assert(names_on_v<Plain> && names_on_v<Private> && names_on_v<Inherited> && names_on_v<Generic> && !names_on_v<Misspelt>);
static_assert(names_on_v<Final>);  // cannot be told, so it counts as named

// References and adapters are seen through.
template <class Inner>
struct Adapter {
  using inner_type = Inner;
};
using tacit::detail::innermost_t;
static_assert(std::same_as<innermost_t<Plain>, Plain> && std::same_as<innermost_t<std::reference_wrapper<Plain>>, Plain>);
static_assert(std::same_as<innermost_t<Adapter<Adapter<Plain>>>, Plain> && std::same_as<innermost_t<Adapter<std::reference_wrapper<Plain>>>, Plain>);
static_assert(std::same_as<innermost_t<std::reference_wrapper<Adapter<Plain>>>, Plain>);
static_assert(std::same_as<innermost_t<tacit::Named<"x", Adapter<Plain>>>, Plain>);

// --- order ---

template <class... Callbacks>
constexpr std::array<std::size_t, sizeof...(Callbacks)> order = tacit::detail::solve_order(tacit::list<Callbacks...>{}).at;
template <class... Callbacks>
constexpr bool cyclic = tacit::detail::solve_order(tacit::list<Callbacks...>{}).cyclic;
template <std::size_t... I>
constexpr std::array<std::size_t, sizeof...(I)> places{I...};

struct A {};
struct B {};
struct C {};
struct AfterA {
  using runs_after = tacit::runs_after<A>;
};
struct BeforeA {
  using runs_before = tacit::runs_before<A>;
};
struct Last {
  using runs_last = tacit::runs_last;
};
struct AlsoLast {
  using runs_last = tacit::runs_last;
};
struct LastAfterAlsoLast {
  using runs_last = tacit::runs_last;
  using runs_after = tacit::runs_after<AlsoLast>;
};
// Without constraints: as declared.
static_assert(order<A, B, C> == places<0, 1, 2> && order<C, B, A> == places<0, 1, 2> && order<>.empty());
// A constraint that holds already changes nothing, one that does not moves what must be moved and nothing else.
static_assert(order<A, AfterA, B> == places<0, 1, 2> && order<AfterA, B, A> == places<1, 2, 0> && order<B, AfterA, C, A> == places<0, 2, 3, 1>);
static_assert(order<BeforeA, A> == places<0, 1> && order<A, B, BeforeA> == places<1, 2, 0>);
// Both ends at once, and a constraint on what is not there.
static_assert(order<AfterA, A, BeforeA> == places<2, 1, 0> && order<AfterA, B> == places<0, 1>);
// The last one is last, several keep their order, and may have one of their own.
static_assert(order<Last, A, B> == places<1, 2, 0> && order<A, Last, AlsoLast, B> == places<0, 3, 1, 2>);
static_assert(order<LastAfterAlsoLast, AlsoLast, A> == places<2, 1, 0>);
// Cycles are found, with one of their members.
struct LastBeforeA {
  using runs_last = tacit::runs_last;
  using runs_before = tacit::runs_before<A>;
};
struct Y;
struct X {
  using runs_after = tacit::runs_after<Y>;
};
struct Y {
  using runs_after = tacit::runs_after<X>;
};
static_assert(cyclic<X, Y> && cyclic<A, X, B, Y> && !cyclic<X, A> && cyclic<LastBeforeA, A> && !cyclic<LastBeforeA, B>);
static_assert(tacit::detail::solve_order(tacit::list<A, X, B, Y>{}).in_cycle == 1 || tacit::detail::solve_order(tacit::list<A, X, B, Y>{}).in_cycle == 3);

// In a trainer the order is asked of what is wrapped.
struct First {
  void on(event::InitEnd const&, auto&) {}
};
struct Second {
  using runs_after = tacit::runs_after<First>;
  void on(event::InitEnd const&, auto&) {}
};
template <class... Callbacks>
constexpr auto order_in_trainer = tacit::trainer_of<fake::Linear, fake::MeanSquaredError, fake::Sgd, tacit::CallbackPack<Callbacks...>>::composition::call_order.at;
static_assert(order_in_trainer<First, Second> == places<0, 1> && order_in_trainer<Second, First> == places<1, 0>);
static_assert(order_in_trainer<tacit::Named<"late", Second>, std::reference_wrapper<First>> == places<1, 0>);

}  // namespace
