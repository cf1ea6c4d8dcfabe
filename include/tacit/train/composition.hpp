#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <boost/hana/contains.hpp>
#include <boost/hana/set.hpp>
#include <boost/hana/type.hpp>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/concepts/precision_policy.hpp"
#include "tacit/core/list.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/task/parameter_set.hpp"
#include "tacit/task/task.hpp"

namespace tacit::inline v0 {

/// The names of eval sets besides the plain one: a slot of the trainer; their data come with each call of `train`.
///
/// In the canonical type it is the last element of the callback pack: it belongs to the composition and handles nothing.
template <fixed_string... Names>
struct eval_sets {
  using slot = slot::eval_sets;
};

namespace detail {

template <class Callback>
struct tags_of {
  using recorded = list<>;
  using watched = list<>;
};
template <class Callback>
concept states_records = requires { typename Callback::records::tags; };
template <class Callback>
concept states_watches = requires { typename Callback::watches::tags; };

template <class Callback>
constexpr auto recorded_by() {
  if constexpr (states_records<Callback>) {
    return type<typename Callback::records::tags>{};
  } else if constexpr (is_adapter<Callback>) {
    return recorded_by<unwrap_t<typename Callback::inner_type>>();
  } else {
    return type<list<>>{};
  }
}
template <class Callback>
constexpr auto watched_by() {
  if constexpr (states_watches<Callback>) {
    return type<typename Callback::watches::tags>{};
  } else if constexpr (is_adapter<Callback>) {
    return watched_by<unwrap_t<typename Callback::inner_type>>();
  } else {
    return type<list<>>{};
  }
}
/// The metrics that a callback states to record, also through adapters.
template <class Callback>
using recorded_tags_t = typename decltype(recorded_by<unwrap_t<Callback>>())::value;
template <class Callback>
using watched_tags_t = typename decltype(watched_by<unwrap_t<Callback>>())::value;

/// The loop's own metrics: the losses, per phase where the task has several.
template <class Task, std::size_t... I>
constexpr auto loop_tags(std::index_sequence<I...>) {
  if constexpr (sizeof...(I) > 1) {
    return type<list<on<phase_name<Task, I>(), tag::train_loss>..., on<phase_name<Task, I>(), tag::eval_loss>...>>{};
  } else {
    return type<list<tag::train_loss, tag::eval_loss>>{};
  }
}
template <class Task>
using loop_tags_t = typename decltype(loop_tags<Task>(std::make_index_sequence<task_phase_count<Task>>{}))::value;

template <fixed_string Set, class Tag>
constexpr auto on_set() {
  if constexpr (Tag::needs_evaluation) {
    return type<list<on<Set, Tag>>>{};
  } else {
    return type<list<>>{};
  }
}
template <class T>
inline constexpr bool is_eval_sets_v = false;
template <fixed_string... Names>
inline constexpr bool is_eval_sets_v<eval_sets<Names...>> = true;

/// The eval sets of a flat pack.
template <class... C>
constexpr auto find_eval_sets(list<C...>) {
  return type<eval_sets<>>{};
}
template <class First, class... Rest>
constexpr auto find_eval_sets(list<First, Rest...>) {
  if constexpr (is_eval_sets_v<First>) {
    return type<First>{};
  } else {
    return find_eval_sets(list<Rest...>{});
  }
}

/// The tags as they are called on each named eval set.
template <class EvalSets, class Tags>
struct set_tags;
template <fixed_string... Names, class... Tags>
struct set_tags<eval_sets<Names...>, list<Tags...>> {
  template <fixed_string Name>
  using one = concat_t<typename decltype(on_set<Name, Tags>())::value...>;
  using type = concat_t<one<Names>...>;
};

}  // namespace detail

/// The types of a trainer, complete before anything is bound.
template <class Task, class Device, class Precision, class Distribution, class Callbacks>
struct Composition;

template <class Task, class Device, class Precision, class Distribution, class... Callback>
struct Composition<Task, Device, Precision, Distribution, CallbackPack<Callback...>> {
  using task = Task;
  using device = Device;
  using precision = Precision;
  using distribution = Distribution;
  using callbacks = list<Callback...>;

  using tensor_type = typename Task::tensor_type;
  using parameters_type = basic_parameter_set<tensor_type>;
  using bound_device = decltype(std::declval<Device const&>().template bind<tensor_type>());
  using bound_precision = decltype(std::declval<Precision const&>().template bind<parameters_type>(std::declval<bound_device const&>()));
  using bound_distribution =
      decltype(std::declval<Distribution const&>().template bind<parameters_type>(std::declval<bound_device const&>()));
  using bound_callbacks = detail::callback_storage<std::index_sequence_for<Callback...>, list<Callback...>, Composition>;

  static constexpr auto call_order = detail::solve_order(list<detail::innermost_t<Callback>...>{});
  using named_eval_sets = typename decltype(detail::find_eval_sets(list<Callback...>{}))::value;
  using stated_tags = detail::concat_t<detail::loop_tags_t<Task>, detail::recorded_tags_t<Callback>...>;
  /// Everything that may be recorded in a run; what is not here cannot be watched or read by type.
  using recorded_tags = detail::concat_t<stated_tags, typename detail::set_tags<named_eval_sets, stated_tags>::type>;
  using watched_tags = detail::concat_t<detail::watched_tags_t<Callback>...>;
};

}  // namespace tacit::inline v0
