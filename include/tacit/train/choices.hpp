#pragma once

#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/policy/compatibility.hpp"
#include "tacit/train/compose.hpp"

/// Policies that are chosen at run time are asked what the compiler asks of those that are named: one table of rules
/// for both.
namespace tacit::inline v0::detail {

/// A bound policy that stands for another one: `visit_chosen(visit)` calls visit(type<Policy>{}) with that one.
struct any_choice {
  void operator()(auto) const {}
};
template <class Bound>
concept stands_for_another = requires(Bound const& bound, any_choice const& visit) {
  bound.visit_chosen(visit);
};

/// Calls visit(type<Policy>{}) with what a bound policy is or stands for.
template <class Policy, class Bound, class Visit>
void with_chosen(Bound const& bound, Visit const& visit) {
  if constexpr (stands_for_another<Bound>) {
    bound.visit_chosen(visit);
  } else {
    visit(type<Policy>{});
  }
}

template <class A, class B>
void refuse_pair() {
  if constexpr (!compatible<A, B> || !compatible<B, A>) {
    throw ConfigError{"TACIT-RC130",
                      message({"two policies exclude each other: ", type_name<A>(), " and ", type_name<B>()}),
                      "Trainer", "take another of the two"};
  }
}
template <class Task, class Device, class Precision>
void refuse_closure() {
  using parameters = basic_parameter_set<typename Task::tensor_type>;
  if constexpr (takes_closure<Task>(std::make_index_sequence<task_phase_count<Task>>{})) {
    using bound_device = decltype(std::declval<Device const&>().template bind<typename Task::tensor_type>());
    using bound_precision =
        decltype(std::declval<Precision const&>().template bind<parameters>(std::declval<bound_device const&>()));
    if constexpr (!allows_closure<Task, bound_precision>) {
      throw ConfigError{
          "TACIT-RC132",
          message({"an optimizer with a closure computes the loss several times in one update, and the precision is ",
                   type_name<Precision>()}),
          "Trainer",
          "take a precision without loss scaling and master weights, bf16 or fp32 say, or another optimizer"};
    }
  }
}

/// Throws: ConfigError for what would not compile if the policies were named.
template <class Core>
void check_choices(Core& core) {
  using made = typename Core::composition;
  if constexpr (stands_for_another<typename Core::device_type> || stands_for_another<typename Core::precision_type> ||
                stands_for_another<typename Core::distribution_type>) {
    with_chosen<typename made::device>(core.device(), [&core]<class Device>(type<Device>) {
      with_chosen<typename made::precision>(core.precision(), [&core]<class Precision>(type<Precision>) {
        refuse_pair<Device, Precision>();
        refuse_closure<typename made::task, Device, Precision>();
        with_chosen<typename made::distribution>(core.distribution(), []<class Distribution>(type<Distribution>) {
          refuse_pair<Device, Distribution>();
          refuse_pair<Precision, Distribution>();
        });
      });
    });
  }
}

}  // namespace tacit::inline v0::detail
