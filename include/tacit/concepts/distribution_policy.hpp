#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/member_names.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/slots.hpp"

namespace tacit::inline v0 {

/// What the loop asks of a bound distribution. Every collective is called by all ranks in the same order.
///
/// `is_single`: the world is this process, known at compile time; no collective is compiled in.
/// `reduce_sum(numbers)`: sums over ranks in place. `agree(request)`: the largest request of all ranks.
/// `gather(text)`: one text per rank. `gather(tensor)`: rows of all ranks in rank order, whatever their number; an undefined tensor has none.
/// `sum(tensor)`: the sum of all ranks' tensors as a new one; an undefined tensor counts as zeros.
/// `broadcast(tensor, root)`: in place. `no_sync()`: an RAII guard under which gradients stay local.
/// `prepare_parameters(parameters)`: where a run begins and after every change, the values of rank 0 everywhere.
/// `prepare_gradients(parameters)`: after the last backward of a window, on every rank, also on one that had nothing to
/// contribute: the mean over ranks. `reduce_max(tensor)`: elementwise over ranks, in place, no host read.
///
/// Beside these it may have `meet(text)`: a `gather(text)` at the start of a run, for which ranks may take long to arrive.
/// `await_main(failed, limit)`: rank 0 says whether its work failed, the others wait for that; false if it did. `begin_run()`: before each
/// run, on every rank: nothing of a run that an exception ended is left. `share_buffers(model)`: buffers become rank 0's.
/// For tasks whose steps ask the other ranks `gather(tensor, counts)` and `sum(tensor, counts)`: of a rank that does not count the others
/// get nothing, and it has its own behind theirs.
///
/// Besides, it may have groups of members, each whole or not at all: `reduces_during_backward`,
/// `sums_beside_backward`, `waits_for_every_rank`, `prepares_models`. A part of a group does not compile, nor does an
/// optional member of another form.
template <class Bound, class Parameters>
concept bound_distribution =
    requires(Bound& bound, typename Parameters::tensor_type& tensor, typename Parameters::tensor_type const& fixed, Parameters& parameters,
             std::span<double> numbers, std::int64_t request, std::string_view text, int root) {
      typename std::bool_constant<static_cast<bool>(Bound::is_single)>;
      { bound.rank() } -> std::same_as<int>;
      { bound.local_rank() } -> std::same_as<int>;
      { bound.world_size() } -> std::same_as<int>;
      bound.reduce_sum(numbers);
      bound.reduce_max(tensor);
      { bound.agree(request) } -> std::same_as<std::int64_t>;
      { bound.gather(text) } -> std::same_as<std::vector<std::string>>;
      { bound.gather(fixed) } -> std::same_as<typename Parameters::tensor_type>;
      { bound.sum(fixed) } -> std::same_as<typename Parameters::tensor_type>;
      bound.broadcast(tensor, root);
      bound.barrier();
      requires !std::is_void_v<decltype(bound.no_sync())>;
      bound.prepare_parameters(parameters);
      bound.prepare_gradients(parameters);
      { bound.name() } -> std::convertible_to<std::string>;
    };

/// One that reduces while backward goes on. `begin_forward(parameters, model)`: before each forward pass of training.
/// `during_backward(parameters, loss, backward)`: calls `backward()`, which computes the gradients.
template <class Bound, class Parameters, class Model>
concept reduces_during_backward = requires(Bound& bound, Parameters& parameters, Model& model, typename Parameters::tensor_type const& loss) {
  bound.begin_forward(parameters, model);
  bound.during_backward(parameters, loss, [] {});
};

/// One that has a `reduce_sum` that goes on while backward does: `begin_sum(numbers)`, later `end_sum(numbers)`.
template <class Bound>
concept sums_beside_backward = requires(Bound& bound, std::span<double> numbers) {
  bound.begin_sum(numbers);
  bound.end_sum(numbers);
};

/// One where modules of the model may wait for all ranks in their forward and backward passes: `needs_every_rank()` says whether
/// they do. Then a rank without a batch goes through them too, under the RAII guard `absent()`: nothing of it counts.
template <class Bound>
concept waits_for_every_rank = requires(Bound& bound) {
  { bound.needs_every_rank() } -> std::same_as<bool>;
  requires std::is_class_v<decltype(bound.absent())>;
};

/// One that is given the model once, before `prepare_parameters`, for what that leaves out: frozen parameters and buffers.
template <class Bound, class Model>
concept prepares_models = requires(Bound& bound, Model& model) { bound.prepare_model(model); };

/// The optional members that belong to no group.
template <class Bound>
concept gathers_late = requires(Bound& bound, std::string_view text) {
  { bound.meet(text) } -> std::same_as<std::vector<std::string>>;
};
template <class Bound>
concept begins_runs = requires(Bound& bound) {
  { bound.begin_run() } -> std::same_as<void>;
};
template <class Bound, class Model>
concept shares_buffers = requires(Bound& bound, Model& model) {
  { bound.share_buffers(model) } -> std::same_as<void>;
};
template <class Bound>
concept awaits_main = requires(Bound& bound, std::chrono::milliseconds limit) {
  { bound.await_main(true, limit) } -> std::same_as<bool>;
};

/// Who else trains the same model: `policy.bind<Parameters>(device)` gives a bound distribution.
template <class Policy, class Parameters, class Device>
concept distribution_policy =
    std::same_as<slot_of_t<Policy>, slot::distribution> && requires(Policy const& policy, Device const& device) {
      { policy.template bind<Parameters>(device) } -> bound_distribution<Parameters>;
    };

namespace detail {

template <class Bound, class Parameters>
consteval misuse missing_in_bound_distribution() {
  using tensor_type = typename Parameters::tensor_type;
  if constexpr (!requires { typename std::bool_constant<static_cast<bool>(Bound::is_single)>; }) {
    return misuse::EP22;
  } else if constexpr (!requires(Bound& bound) { { bound.rank() } -> std::same_as<int>; }) {
    return misuse::EP23;
  } else if constexpr (!requires(Bound& bound) { { bound.local_rank() } -> std::same_as<int>; }) {
    return misuse::EP24;
  } else if constexpr (!requires(Bound& bound) { { bound.world_size() } -> std::same_as<int>; }) {
    return misuse::EP25;
  } else if constexpr (!requires(Bound& bound, std::span<double> numbers) { bound.reduce_sum(numbers); }) {
    return misuse::EP26;
  } else if constexpr (!requires(Bound& bound, tensor_type& tensor) { bound.reduce_max(tensor); }) {
    return misuse::EP27;
  } else if constexpr (!requires(Bound& bound, std::int64_t request) { { bound.agree(request) } -> std::same_as<std::int64_t>; }) {
    return misuse::EP28;
  } else if constexpr (!requires(Bound& bound, std::string_view text) { { bound.gather(text) } -> std::same_as<std::vector<std::string>>; }) {
    return misuse::EP29;
  } else if constexpr (!requires(Bound& bound, tensor_type const& tensor) { { bound.gather(tensor) } -> std::same_as<tensor_type>; }) {
    return misuse::EP30;
  } else if constexpr (!requires(Bound& bound, tensor_type& tensor, int root) { bound.broadcast(tensor, root); }) {
    return misuse::EP31;
  } else if constexpr (!requires(Bound& bound) { bound.barrier(); }) {
    return misuse::EP32;
  } else if constexpr (!requires(Bound& bound) { requires !std::is_void_v<decltype(bound.no_sync())>; }) {
    return misuse::EP33;
  } else if constexpr (!requires(Bound& bound, Parameters& parameters) { bound.prepare_parameters(parameters); }) {
    return misuse::EP34;
  } else if constexpr (!requires(Bound& bound, Parameters& parameters) { bound.prepare_gradients(parameters); }) {
    return misuse::EP35;
  } else if constexpr (!requires(Bound& bound) { { bound.name() } -> std::convertible_to<std::string>; }) {
    return misuse::EP36;
  } else if constexpr (!requires(Bound& bound, tensor_type const& tensor) { { bound.sum(tensor) } -> std::same_as<tensor_type>; }) {
    return misuse::EP42;
  } else {
    return misuse::none;
  }
}

/// The first group of optional members that a bound distribution names and does not have whole.
template <class Bound, class Parameters, class Model>
consteval misuse half_in_bound_distribution() {
  if constexpr (!can_be_probed<Bound>) {
    return misuse::none;
  } else {
    using probe = named_twice<Bound>;
    if constexpr (!reduces_during_backward<Bound, Parameters, Model> && !requires { &probe::begin_forward; &probe::during_backward; }) {
      return misuse::EP70;
    } else if constexpr (!sums_beside_backward<Bound> && !requires { &probe::begin_sum; &probe::end_sum; }) {
      return misuse::EP71;
    } else if constexpr (!waits_for_every_rank<Bound> && !requires { &probe::needs_every_rank; &probe::absent; }) {
      return misuse::EP72;
    } else if constexpr (!prepares_models<Bound, Model> && !requires { &probe::prepare_model; }) {
      return misuse::EP73;
    } else if constexpr ((!requires { &probe::meet; } && !gathers_late<Bound>) ||
                         (!requires { &probe::begin_run; } && !begins_runs<Bound>) ||
                         (!requires { &probe::share_buffers; } && !shares_buffers<Bound, Model>) ||
                         (!requires { &probe::await_main; } && !awaits_main<Bound>)) {
      return misuse::EP80;
    } else {
      return misuse::none;
    }
  }
}

/// The first requirement that a distribution policy does not meet.
template <class Policy, class Parameters, class Device>
consteval misuse missing_in_distribution() {
  if constexpr (!std::same_as<slot_of_t<Policy>, slot::distribution>) {
    return misuse::ES01;
  } else if constexpr (!requires(Policy const& policy, Device const& device) {
                         requires std::is_class_v<decltype(policy.template bind<Parameters>(device))>;
                       }) {
    return misuse::EP21;
  } else {
    return missing_in_bound_distribution<decltype(std::declval<Policy const&>().template bind<Parameters>(std::declval<Device const&>())), Parameters>();
  }
}

}  // namespace detail

/// One numbered error for the first requirement of `distribution_policy` that a type lacks.
template <class Policy, class Parameters, class Device>
consteval bool require_distribution_policy() {
  return detail::report(bad<detail::missing_in_distribution<Policy, Parameters, Device>(), Policy>{});
}

/// The smallest distribution policy: tests compile the trainer against it.
struct distribution_archetype {
  using slot = slot::distribution;
  template <class Parameters>
  struct bound {
    using tensor_type = typename Parameters::tensor_type;
    struct guard {
      guard() {}
      ~guard() {}
    };
    static constexpr bool is_single = false;
    int rank() const { return 0; }
    int local_rank() const { return 0; }
    int world_size() const { return 1; }
    void reduce_sum(std::span<double>) {}
    void reduce_max(tensor_type&) {}
    std::int64_t agree(std::int64_t request) { return request; }
    std::vector<std::string> gather(std::string_view text) { return {std::string{text}}; }
    tensor_type gather(tensor_type const& tensor) { return tensor; }
    tensor_type sum(tensor_type const& tensor) { return tensor; }
    void broadcast(tensor_type&, int) {}
    void barrier() {}
    guard no_sync() { return {}; }
    void prepare_parameters(Parameters&) {}
    void prepare_gradients(Parameters&) {}
    char const* name() const { return "archetype"; }
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

}  // namespace tacit::inline v0
