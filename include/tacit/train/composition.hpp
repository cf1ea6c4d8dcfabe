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

// --- evaluations: of the plain eval set, of the named ones, and of both under the name of a callback that evaluates ---

struct plain_evaluation {
  static constexpr std::string_view name{};
  template <class Tag>
  using tag = Tag;
};
template <fixed_string Name>
struct named_evaluation {
  static constexpr std::string_view name = Name.view();
  template <class Tag>
  using tag = on<Name, Tag>;
};
template <fixed_string As, fixed_string Name>
struct nested_evaluation {
  static constexpr std::string_view name{on<As, Metric<Name>>::name};
  template <class Tag>
  using tag = on<As, on<Name, Tag>>;
};

template <class Callback>
concept states_evaluations = requires { []<fixed_string... Names>(type<evaluates_as<Names...>>) {}(type<typename Callback::evaluates_as>{}); };
template <class Callback>
constexpr auto evaluated_by() {
  if constexpr (states_evaluations<Callback>) {
    return type<typename Callback::evaluates_as>{};
  } else if constexpr (is_adapter<Callback>) {
    return evaluated_by<unwrap_t<typename Callback::inner_type>>();
  } else {
    return type<evaluates_as<>>{};
  }
}
/// The names under which a callback evaluates, also through adapters.
template <class Callback>
using evaluated_names_t = typename decltype(evaluated_by<unwrap_t<Callback>>())::value;

/// Whether a callback changes what is the same on all ranks, the model or its optimizer, or calls a collective. For an
/// adapter the inner callback decides.
template <class Callback>
constexpr bool acts_on_all_ranks() {
  if constexpr (requires { requires Callback::acts_on_all_ranks; } || states_evaluations<Callback>) {
    return true;
  } else if constexpr (is_adapter<Callback>) {
    return acts_on_all_ranks<unwrap_t<typename Callback::inner_type>>();
  } else {
    return false;
  }
}

/// The evaluations of eval sets that have names, and those of the one that has none.
template <class EvalSets, class... As>
struct evaluations_of;
template <fixed_string... Names, fixed_string... As>
struct evaluations_of<eval_sets<Names...>, evaluates_as<As...>> {
  template <fixed_string One>
  using nested = list<nested_evaluation<One, Names>...>;
  using named = concat_t<list<named_evaluation<Names>...>, nested<As>...>;
  using plain = list<plain_evaluation, named_evaluation<As>...>;
  using by_callbacks = concat_t<list<named_evaluation<As>...>, nested<As>...>;
};
template <fixed_string... A, fixed_string... B, class... Rest, class EvalSets>
struct evaluations_of<EvalSets, evaluates_as<A...>, evaluates_as<B...>, Rest...> : evaluations_of<EvalSets, evaluates_as<A..., B...>, Rest...> {};

template <class Tag, class... Evaluations>
constexpr auto on_evaluations(list<Evaluations...>) {
  if constexpr (requires { requires Tag::needs_evaluation; }) {
    return list<typename Evaluations::template tag<Tag>...>{};
  } else {
    return list<Tag>{};
  }
}
/// The columns that a tag is recorded in.
template <class Evaluations, class Tags>
struct columns_of;
template <class Evaluations, class... Tags>
struct columns_of<Evaluations, list<Tags...>> {
  using type = concat_t<decltype(on_evaluations<Tags>(Evaluations{}))...>;
};

template <std::string_view const& Set, class... Evaluations>
constexpr auto only_set(list<Evaluations...>) {
  return concat_t<std::conditional_t<Evaluations::name == Set, list<Evaluations>, list<>>...>{};
}
/// The evaluations that an adapter lets through to its callback.
template <class Callback, class Evaluations>
constexpr auto evaluations_for(Evaluations evaluations) {
  if constexpr (requires { Callback::eval_set_name; }) {
    return evaluations_for<unwrap_t<typename Callback::inner_type>>(only_set<Callback::eval_set_name>(evaluations));
  } else if constexpr (is_adapter<Callback>) {
    return evaluations_for<unwrap_t<typename Callback::inner_type>>(evaluations);
  } else {
    return evaluations;
  }
}
/// The columns that a callback records in.
template <class Callback, class Evaluations>
using columns_by = typename columns_of<decltype(evaluations_for<unwrap_t<Callback>>(Evaluations{})), recorded_tags_t<Callback>>::type;

/// True for a tag that names an evaluation itself, as `on<"clean", tag::eval_loss>` does.
template <class Tag, class... Evaluations>
consteval bool names_evaluation(list<Evaluations...>) {
  return ((!Evaluations::name.empty() && Tag::name.size() > Evaluations::name.size() && Tag::name.substr(0, Evaluations::name.size()) == Evaluations::name &&
           Tag::name[Evaluations::name.size()] == '/') || ...);
}

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
  using evaluation_types = detail::evaluations_of<named_eval_sets, evaluates_as<>, detail::evaluated_names_t<Callback>...>;
  using evaluations = detail::concat_t<typename evaluation_types::plain, typename evaluation_types::named>;
  using stated_tags = detail::concat_t<detail::loop_tags_t<Task>, detail::recorded_tags_t<Callback>...>;
  /// Everything that may be recorded in a run; what is not here cannot be watched or read by type.
  using recorded_tags = detail::concat_t<stated_tags, detail::without_t<stated_tags, typename detail::columns_of<evaluations, stated_tags>::type>>;
  /// Everything that a run can record, where `Evaluations` take place: these tags can be watched.
  template <class Evaluations>
  using columns = detail::concat_t<typename detail::columns_of<Evaluations, detail::loop_tags_t<Task>>::type, detail::columns_by<Callback, Evaluations>...>;
  using watched_tags = detail::concat_t<detail::watched_tags_t<Callback>...>;
};

}  // namespace tacit::inline v0
