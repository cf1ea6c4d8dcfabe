#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/task/supervised.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/checks/first_of.hpp"
#include "tacit/train/composition.hpp"

namespace tacit::inline v0 {

namespace detail {

template <class Callback>
concept saves_state = requires { requires innermost_t<Callback>::saves_state; };

/// What an adapter wraps is asked first, then the adapter for members of its own.
template <class Callback>
constexpr auto check_callback_visitors() {
  if constexpr (is_adapter<Callback>) {
    using inner = decltype(check_callback_visitors<unwrap_t<typename Callback::inner_type>>());
    if constexpr (!is_sound_v<inner> || requires { typename Callback::adds_no_state; }) {
      return inner{};
    } else {
      return check_visitors<Callback>();
    }
  } else {
    return check_visitors<Callback>();
  }
}

template <class Step>
constexpr auto check_step_state() {
  if constexpr (std::is_class_v<Step> && !visitable_state<Step> && !visitable_config<Step> && !std::is_empty_v<Step>) {
    return refuse<misuse::EV03, Step>{};
  } else {
    return sound{};
  }
}
template <std::size_t I, class Task>
constexpr auto check_phase_state() {
  using phase = typename task_phases<Task>::template at<I>;
  return first_of<decltype(check_step_state<decltype(phase::step)>()),
                  decltype(check_step_state<decltype(phase::eval_step)>())>();
}

template <class M, class L, class O>
Supervised<M, L, O> supervised_base(Supervised<M, L, O>&);
struct any_member {
  template <class T>
  operator T() const;
};
/// True if a task has members besides those of Supervised.
template <class Task, class Base>
inline constexpr bool adds_members = sizeof(Task) > sizeof(Base) || (std::is_aggregate_v<Task> && requires { Task{std::declval<Base>(), any_member{}}; });

template <class Task>
constexpr auto check_task_state() {
  if constexpr (is_phase_task_v<Task>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return first_of<decltype(check_phase_state<I, Task>())...>();
    }(std::make_index_sequence<task_phase_count<Task>>{});
  } else if constexpr (supervised_task<Task>) {
    using base = decltype(supervised_base(std::declval<Task&>()));
    if constexpr (is_closure_v<decltype(base::criterion)>) {
      return check_step_state<decltype(base::criterion)>();
    } else if constexpr (std::same_as<Task, base>) {
      return sound{};
    } else if constexpr (names_visit_state<Task> || names_visit_config<Task> || adds_members<Task, base>) {
      return check_visitors<Task>();
    } else {
      return sound{};
    }
  } else {
    return check_visitors<Task>();
  }
}

/// Where a callback of the pack saves, nothing that changes may be forgotten.
template <class Composition, class... C>
constexpr auto check_state(list<C...>) {
  if constexpr ((saves_state<C> || ...)) {
    return first_of<decltype(check_callback_visitors<unwrap_t<bound_callback_t<C, Composition>>>())...,
                    decltype(check_task_state<typename Composition::task>()),
                    decltype(check_visitors<typename Composition::device>()),
                    decltype(check_visitors<typename Composition::precision>()),
                    decltype(check_visitors<typename Composition::distribution>())>();
  } else {
    return sound{};
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
