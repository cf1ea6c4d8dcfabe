#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/events/events.hpp"
#include "tacit/train/composition.hpp"

/// Callbacks around a callback: they decide which of its events reach it. Whatever is asked of a callback - handlers, metrics,
/// order, state - is asked of the inner one.
namespace tacit::inline v0 {

namespace unit {
struct occurrence {
  static constexpr std::string_view name = "occurrences";
};
}  // namespace unit
using Occurrences = Count<unit::occurrence>;

namespace detail {

struct EveryNFilter {
  static constexpr bool is_for_all_ranks = true;
  std::int64_t n;

  template <class Event>
  bool passes(Event const& event, auto& context) const {
    if constexpr (!is_builtin_event<Event>) {
      return true;
    } else if constexpr (requires { event.step.value(); }) {
      return is_nth(event.step.value());
    } else if constexpr (requires { event.update.value(); }) {
      return is_nth(event.update.value());
    } else if constexpr (contains_v<list<event::Aborted<stage::DataFetch>, event::Aborted<stage::TrainStep>, event::Aborted<stage::EvalStep>>, Event>) {
      return is_nth(context.progress().step.value());
    } else if constexpr (std::same_as<Event, event::Aborted<stage::Update>>) {
      return is_nth(context.progress().updates.value());
    } else {
      return true;
    }
  }
  static void visit_config(auto& self, auto&& visit) { visit("n", self.n); }

 private:
  bool is_nth(std::int64_t index) const noexcept { return (index + 1) % n == 0; }
};

struct MainProcessFilter {
  static constexpr bool is_for_all_ranks = false;
  bool passes(auto const&, auto& context) const { return context.is_main_process(); }
  static void visit_config(auto&, auto&&) {}
};

/// Evaluations of one set; what belongs to no evaluation passes.
///
/// Which set is in work is asked of the context. It cannot be learnt from start and end events: an adapter around this
/// one may keep them back, and an exception may.
template <fixed_string Name>
struct EvalSetFilter {
  static constexpr bool is_for_all_ranks = false;

  bool passes(auto const&, auto& context) const {
    if constexpr (requires { context.eval_set(); }) {
      return context.eval_set() == Name.view();
    } else {
      return true;
    }
  }
  static void visit_config(auto&, auto&&) {}

  template <class... Evaluations>
  static consteval bool exists(list<Evaluations...>) {
    return ((Evaluations::name == Name.view()) || ...);
  }
};

template <class Predicate>
struct PredicateFilter {
  static constexpr bool is_for_all_ranks = false;
  Predicate predicate;
  bool passes(auto const& event, auto& context) { return std::invoke(predicate, event, context); }
  static void visit_config(auto&, auto&&) {}
};

}  // namespace detail

/// Lets every n-th event of a step or an update through, by its own index: those with (index + 1) % n == 0. Others all pass.
///
/// Steps are counted within their epoch, updates over the run. Throws: ConfigError when the trainer is made, for n = 0.
/// Example: `EveryN{.n = 100, .inner = PrintNorm{}}`
template <class Inner>
struct EveryN {
  using inner_type = Inner;

  Occurrences n = 10;
  Inner inner;

  template <class Composition>
  class bound : public detail::Filtered<Inner, Composition, detail::EveryNFilter> {
   public:
    explicit bound(EveryN adapter)
        : detail::Filtered<Inner, Composition, detail::EveryNFilter>{std::move(adapter.inner), {checked(adapter.n)}} {}

   private:
    static std::int64_t checked(Occurrences n) {
      if (n.value() < 1) throw ConfigError{"TACIT-RC83", "no event is a 0th one", "EveryN::n", "give 1 or more"};
      return n.value();
    }
  };
};

/// Lets events through on the main process only.
/// Requires: the inner callback does nothing that all ranks must do together: record, gather, sum, evaluate, change
/// parameters, skip an update. One that states `records`, `evaluates_as` or `acts_on_all_ranks` does not compile with
/// several processes. A stop request of rank 0 ends the run of all ranks.
template <class Inner>
struct OnMainProcess {
  using inner_type = Inner;

  Inner inner;

  template <class Composition>
  class bound : public detail::Filtered<Inner, Composition, detail::MainProcessFilter> {
   public:
    explicit bound(OnMainProcess adapter) : detail::Filtered<Inner, Composition, detail::MainProcessFilter>{std::move(adapter.inner), {}} {
      if constexpr (requires { requires !Composition::bound_distribution::is_single; }) {
        if constexpr (detail::recorded_tags_t<Inner>::size > 0) {
          detail::report(bad<misuse::EC18, Inner>{});
        } else if constexpr (detail::acts_on_all_ranks<detail::unwrap_t<Inner>>()) {
          detail::report(bad<misuse::EC30, Inner>{});
        }
      }
    }
  };
};

/// Lets evaluations of one set through, that of an average or a named one; events outside of evaluations all pass.
///
/// Example: `CallbackPack{Ema{}, on_eval_set<"ema">(metric::Accuracy{})}`: the accuracy of the average alone, "ema/accuracy".
template <fixed_string Name, class Inner>
struct OnEvalSet {
  using inner_type = Inner;
  static constexpr std::string_view eval_set_name = Name.view();

  Inner inner;

  template <class Composition>
  class bound : public detail::Filtered<Inner, Composition, detail::EvalSetFilter<Name>> {
   public:
    explicit bound(OnEvalSet adapter) : detail::Filtered<Inner, Composition, detail::EvalSetFilter<Name>>{std::move(adapter.inner), {}} {
      if constexpr (!detail::EvalSetFilter<Name>::exists(typename Composition::evaluations{})) detail::report(bad<misuse::EC17, OnEvalSet>{});
    }
  };
};
template <fixed_string Name, class Inner>
OnEvalSet<Name, Inner> on_eval_set(Inner inner) {
  return {std::move(inner)};
}

/// Lets an event through if `predicate(event, context)` is true.
/// Example: `When{.predicate = [](auto const&, auto& context) { return context.progress().epoch.value() > 2; }, .inner = Trace{}}`
template <class Predicate, class Inner>
struct When {
  using inner_type = Inner;

  Predicate predicate;
  Inner inner;

  template <class Composition>
  class bound : public detail::Filtered<Inner, Composition, detail::PredicateFilter<Predicate>> {
   public:
    explicit bound(When adapter)
        : detail::Filtered<Inner, Composition, detail::PredicateFilter<Predicate>>{std::move(adapter.inner), {std::move(adapter.predicate)}} {}
  };
};

}  // namespace tacit::inline v0
