#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/precision_policy.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/policy/compatibility.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/checks/first_of.hpp"
#include "tacit/train/checks/task.hpp"

namespace tacit::inline v0 {

namespace detail {

template <class Task, std::size_t... I>
consteval bool takes_closure(std::index_sequence<I...>) {
  using parameters = basic_parameter_set<typename Task::tensor_type>;
  return (steps_with_closure<decltype(std::declval<optimizer_of_t<I, Task> const&>().bind(std::declval<parameters&>())), parameters> || ...);
}
/// The loss can be computed again and again in an update.
template <class Task, class BoundPrecision>
inline constexpr bool allows_closure = task_phase_count<Task> == 1 && !scales_losses<BoundPrecision> &&
                                       !keeps_masters<BoundPrecision, basic_parameter_set<typename Task::tensor_type>>;

/// Optional members of the bound policies form groups: each is there whole or not at all.
template <class Task, class BoundDevice, class BoundPrecision, class BoundDistribution>
constexpr auto check_groups() {
  using parameters = basic_parameter_set<typename Task::tensor_type>;
  constexpr misuse device = half_in_bound_device<BoundDevice>();
  constexpr misuse precision = half_in_bound_precision<BoundPrecision, parameters>();
  constexpr misuse distribution = half_in_bound_distribution<BoundDistribution, parameters, model_type_of_t<0, Task>>();
  return first_of<refuse_if<device, BoundDevice>, refuse_if<precision, BoundPrecision>,
                  refuse_if<distribution, BoundDistribution>>();
}

template <class Task, class Device, class Precision, class Distribution>
constexpr auto check_policies() {
  using tensor_type = typename Task::tensor_type;
  using parameters = basic_parameter_set<tensor_type>;
  if constexpr (!device_policy<Device, tensor_type>) {
    return refuse<missing_in_device<Device, tensor_type>(), Device>{};
  } else {
    using bound_device = decltype(std::declval<Device const&>().template bind<tensor_type>());
    if constexpr (!precision_policy<Precision, parameters, bound_device>) {
      return refuse<missing_in_precision<Precision, parameters, bound_device>(), Precision>{};
    } else if constexpr (!distribution_policy<Distribution, parameters, bound_device>) {
      if constexpr (requires { requires !Distribution::template serves<bound_device>; }) {
        return refuse<misuse::EP41, Device, Distribution>{};
      } else {
        return refuse<missing_in_distribution<Distribution, parameters, bound_device>(), Distribution>{};
      }
    } else if constexpr (states_excludes_badly<Device>) {
      return refuse<misuse::EP81, Device>{};
    } else if constexpr (states_excludes_badly<Precision>) {
      return refuse<misuse::EP81, Precision>{};
    } else if constexpr (states_excludes_badly<Distribution>) {
      return refuse<misuse::EP81, Distribution>{};
    } else if constexpr (!compatible<Device, Precision> || !compatible<Precision, Device>) {
      return refuse<misuse::EP41, Device, Precision>{};
    } else if constexpr (!compatible<Device, Distribution> || !compatible<Distribution, Device>) {
      return refuse<misuse::EP41, Device, Distribution>{};
    } else if constexpr (!compatible<Precision, Distribution> || !compatible<Distribution, Precision>) {
      return refuse<misuse::EP41, Precision, Distribution>{};
    } else if constexpr (takes_closure<Task>(std::make_index_sequence<task_phase_count<Task>>{}) &&
                         !allows_closure<Task, decltype(std::declval<Precision const&>().template bind<parameters>(std::declval<bound_device const&>()))>) {
      return refuse<misuse::EO04, Task, Precision>{};
    } else {
      return check_groups<Task, bound_device, decltype(std::declval<Precision const&>().template bind<parameters>(std::declval<bound_device const&>())),
                          decltype(std::declval<Distribution const&>().template bind<parameters>(std::declval<bound_device const&>()))>();
    }
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
