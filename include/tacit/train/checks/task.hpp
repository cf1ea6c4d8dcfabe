#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/member_names.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/task/parameter_set.hpp"
#include "tacit/task/supervised.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/checks/first_of.hpp"

namespace tacit::inline v0 {

namespace detail {

template <std::size_t I, class Task>
using optimizer_of_t = std::remove_cvref_t<decltype(task_optimizer<I>(std::declval<Task const&>()))>;
template <std::size_t I, class Task>
using model_type_of_t = std::remove_cvref_t<decltype(task_model<I>(std::declval<Task&>()))>;

template <class Task>
consteval bool phase_names_differ() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    std::string_view const names[] = {task_phases<Task>::template at<I>::name.view()...};
    for (std::size_t a = 0; a < sizeof...(I); ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        if (names[a] == names[b]) return false;
      }
    }
    return true;
  }(std::make_index_sequence<task_phase_count<Task>>{});
}

template <std::size_t I, class Task>
using bound_optimizer_t = std::remove_cvref_t<decltype(std::declval<optimizer_of_t<I, Task> const&>().bind(
    std::declval<basic_parameter_set<typename Task::tensor_type>&>()))>;

template <std::size_t I, class Task>
constexpr auto check_phase() {
  using parameters = basic_parameter_set<typename Task::tensor_type>;
  if constexpr (!module_like<model_type_of_t<I, Task>>) {
    return refuse<misuse::ET09, model_type_of_t<I, Task>>{};
  } else if constexpr (!optimizer_recipe<optimizer_of_t<I, Task>, parameters>) {
    return refuse<missing_in_optimizer<optimizer_of_t<I, Task>, parameters>(), optimizer_of_t<I, Task>>{};
  } else if constexpr (half_in_bound_optimizer<bound_optimizer_t<I, Task>, parameters>() != misuse::none) {
    return refuse<half_in_bound_optimizer<bound_optimizer_t<I, Task>, parameters>(), bound_optimizer_t<I, Task>>{};
  } else if constexpr (I + 1 < task_phase_count<Task>) {
    return check_phase<I + 1, Task>();
  } else {
    return sound{};
  }
}

/// What the trainer asks of a task that neither comes from lambdas nor derives from Supervised.
template <class Task>
concept has_task_parts = requires(Task& task, Task const& fixed) {
  typename Task::tensor_type;
  *task.model;
  fixed.optimizer;
};

template <class Task>
constexpr auto check_overrides() {
  if constexpr (requires { typename Task::overrides; }) {
    if constexpr (!names_all<Task>(type<typename Task::overrides>{})) {
      return refuse<misuse::ET06, Task, typename Task::overrides>{};
    } else {
      return check_phase<0, Task>();
    }
  } else if constexpr (supervised_task<Task> && !names_an_override<Task>) {
    return refuse<misuse::ET04, Task>{};
  } else if constexpr (!supervised_task<Task> && !names_train_step<Task>) {
    return refuse<misuse::ET12, Task, override::train_step>{};
  } else {
    return check_phase<0, Task>();
  }
}

template <class Part, class Tensor>
concept visits_tensors_badly = can_be_probed<Part> && !visits_tensors<Part, Tensor> && !requires { &named_twice<Part>::visit_tensors; };
/// Tensors of a task or a loss reach the device by a visitor of the right form, or they stay where they are in silence.
template <class Task>
constexpr auto check_extra_tensors() {
  using tensor_type = typename Task::tensor_type;
  if constexpr (visits_tensors_badly<Task, tensor_type>) {
    return refuse<misuse::ET24, Task>{};
  } else if constexpr (requires { requires visits_tensors_badly<decltype(Task::criterion), tensor_type>; }) {
    return refuse<misuse::ET24, decltype(Task::criterion)>{};
  } else {
    return sound{};
  }
}

template <class Task>
constexpr auto check_parts() {
  if constexpr (requires { typename Task::refused; }) {
    return type<typename Task::refused>{};
  } else if constexpr (!std::is_void_v<original_name_t<Task>>) {
    return refuse<misuse::ET23, Task, original_name_t<Task>>{};
  } else if constexpr (is_phase_task_v<Task>) {
    if constexpr (!phase_names_differ<Task>()) {
      return refuse<misuse::ET10, Task>{};
    } else {
      return check_phase<0, Task>();
    }
  } else if constexpr (std::is_final_v<Task>) {
    return refuse<misuse::ET13, Task>{};
  } else if constexpr (is_plain_supervised_v<Task>) {
    return check_phase<0, Task>();
  } else if constexpr (!has_task_parts<Task>) {
    return refuse<misuse::ET12, Task>{};
  } else {
    return check_overrides<Task>();
  }
}
template <class Task>
constexpr auto check_task() {
  using parts = decltype(check_parts<Task>());
  if constexpr (!is_sound_v<parts>) {
    return parts{};
  } else {
    return check_extra_tensors<Task>();
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
