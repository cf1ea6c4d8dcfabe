#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/concepts/precision_policy.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/task/parameter_set.hpp"

/// What the loop relies on and no concept can say: run it on every policy of your own. No test framework is needed;
/// each check gives the sentences of the laws that are broken.
///
/// `Make` is a callable that makes a tensor on the host: make(std::vector<double>, bool requires_grad).
namespace laws {

using Broken = std::vector<std::string>;

namespace detail {

inline void expect(Broken& broken, bool holds, char const* law) {
  if (!holds) broken.emplace_back(law);
}
template <class Tensor>
double total(Tensor const& tensor) {
  return tacit::tensor_traits<Tensor>::read(tacit::tensor_traits<Tensor>::sum(tensor));
}

}  // namespace detail

/// Laws of a device policy.
template <class Tensor, class Policy, class Make>
Broken check_device(Policy const& policy, Make const& make) {
  static_assert(tacit::device_policy<Policy, Tensor>);
  using traits = tacit::tensor_traits<Tensor>;
  Broken broken;
  auto bound = policy.template bind<Tensor>();
  using bound_type = decltype(bound);
  Tensor const host = make({1.0, -2.0, 4.5}, false);
  Tensor const there = bound.to(host);

  detail::expect(broken, !std::string{bound.name()}.empty(), "name() says something");
  detail::expect(broken, std::string{bound.name()} == std::string{policy.template bind<Tensor>().name()},
                 "binding twice gives the same device");
  detail::expect(broken, traits::numel(there) == 3 && detail::total(there) == 3.5, "to() keeps the values");
  detail::expect(broken, traits::size0(there) == traits::size0(host), "to() keeps the shape");
  detail::expect(broken, detail::total(bound.to(there)) == 3.5, "to() takes what is there already");
  detail::expect(broken, detail::total(host) == 3.5, "to() leaves its argument as it was");
  detail::expect(broken, !bound.host_reads_free() || traits::host_readable(there),
                 "where host reads are free, a tensor on the device is host-readable");
  if constexpr (bound_type::is_host) {
    detail::expect(broken, traits::same(host, there), "a host device gives the very tensor");
    detail::expect(broken, bound.host_reads_free(), "a host device reads for free");
  }
  bound.synchronize();
  bound.synchronize();
  detail::expect(broken, detail::total(there) == 3.5, "synchronize() changes nothing");
  return broken;
}

/// Laws of a precision policy on a device.
template <class Tensor, class Policy, class Device, class Make>
Broken check_precision(Policy const& policy, Device const& device_policy, Make const& make) {
  using traits = tacit::tensor_traits<Tensor>;
  using Parameters = tacit::basic_parameter_set<Tensor>;
  Broken broken;
  auto const device = device_policy.template bind<Tensor>();
  static_assert(tacit::precision_policy<Policy, Parameters, decltype(device)>);
  auto bound = policy.template bind<Parameters>(device);
  using bound_type = decltype(bound);

  detail::expect(broken, !std::string{bound.name()}.empty(), "name() says something");
  Tensor const input = device.to(make({1.0, -2.0, 4.5}, false));
  Tensor const cast = bound.cast(input);
  detail::expect(broken, traits::numel(cast) == 3 && detail::total(cast) == 3.5, "cast() keeps the values");
  detail::expect(broken, traits::same(bound.cast(cast), cast), "casting twice is casting once");
  if constexpr (!bound_type::casts)
    detail::expect(broken, traits::same(cast, input), "without `casts`, cast() gives the very tensor");

  // The parameter as the trainer readies it.
  Tensor parameter = make({3.0}, true);
  traits::set_data(parameter, bound.cast(device.to(parameter)));
  Parameters parameters;
  parameters.add("parameter", parameter);
  auto const gradient_of = [&](double factor) {
    traits::clear_grad(parameter);
    {
      [[maybe_unused]] auto const outer = bound.autocast();
      [[maybe_unused]] auto const inner = bound.autocast();  // evaluation inside a step
    }
    Tensor loss;
    {
      [[maybe_unused]] auto const guard = bound.autocast();
      loss = parameter * parameter;
    }
    bound.backward(loss, factor);
    Tensor const* const mask = bound.unscale(parameters);
    detail::expect(broken, mask == nullptr || detail::total(*mask) == 0.0,
                   "an update with finite gradients is not masked");
    double const gradient = detail::total(traits::grad(parameter));
    bound.after_update();
    return gradient;
  };
  detail::expect(broken, gradient_of(1.0) == 6.0, "after backward and unscale the gradient is the loss's own");
  detail::expect(broken, gradient_of(0.25) == 1.5, "backward multiplies by its factor");
  detail::expect(broken, gradient_of(1.0) == 6.0, "an update leaves the next one its size");
  detail::expect(broken, traits::requires_grad(parameter) && detail::total(parameter) == 3.0,
                 "nothing here changes a parameter");
  return broken;
}

/// Laws of a distribution policy; every rank of the group calls it.
template <class Tensor, class Policy, class Device, class Make>
Broken check_distribution(Policy const& policy, Device const& device_policy, Make const& make) {
  using traits = tacit::tensor_traits<Tensor>;
  using Parameters = tacit::basic_parameter_set<Tensor>;
  Broken broken;
  auto const device = device_policy.template bind<Tensor>();
  static_assert(tacit::distribution_policy<Policy, Parameters, decltype(device)>);
  auto bound = policy.template bind<Parameters>(device);
  using bound_type = decltype(bound);
  int const rank = bound.rank();
  int const size = bound.world_size();
  double const all = size;

  detail::expect(broken, !std::string{bound.name()}.empty(), "name() says something");
  detail::expect(broken, size >= 1 && rank >= 0 && rank < size, "the rank is one of the world");
  detail::expect(broken, bound.local_rank() >= 0 && bound.local_rank() <= rank, "the local rank is a rank");
  if constexpr (bound_type::is_single) detail::expect(broken, size == 1, "a single world has one rank");

  double numbers[2] = {1.0, static_cast<double>(rank)};
  bound.reduce_sum(numbers);
  detail::expect(broken, numbers[0] == all && numbers[1] == all * (all - 1.0) / 2.0,
                 "reduce_sum() sums over the ranks");
  if constexpr (tacit::sums_beside_backward<std::remove_cvref_t<decltype(bound)>>) {
    double beside[2] = {1.0, static_cast<double>(rank)};
    bound.begin_sum(beside);
    beside[0] = 5.0;
    double after[1] = {1.0};
    bound.reduce_sum(after);
    bound.end_sum(beside);
    detail::expect(broken, beside[0] == all && beside[1] == numbers[1] && after[0] == all,
                   "begin_sum() and end_sum() sum what was given first, beside other collectives");
  }
  detail::expect(broken, bound.agree(std::int64_t{rank}) == size - 1, "agree() gives the largest request");
  detail::expect(broken, bound.agree(0) == 0, "agree() on nothing is nothing");

  std::vector<std::string> const texts = bound.gather(std::string_view{rank == 0 ? "zero" : ""});
  detail::expect(broken, static_cast<int>(texts.size()) == size && texts.front() == "zero",
                 "gather(text) gives a text per rank, in their order");
  Tensor const rows = bound.gather(device.to(make({1.0, static_cast<double>(rank)}, false)));
  detail::expect(broken, traits::size0(rows) == 2 * size && detail::total(rows) == all + all * (all - 1.0) / 2.0,
                 "gather(tensor) gives the rows of all ranks");

  Tensor const summed = bound.sum(device.to(make({1.0, static_cast<double>(rank)}, false)));
  detail::expect(broken, traits::size0(summed) == 2 && detail::total(summed) == all + all * (all - 1.0) / 2.0,
                 "sum(tensor) gives the sum of all ranks");
  detail::expect(broken, detail::total(bound.sum(rank == 0 ? device.to(make({2.0}, false)) : Tensor{})) == 2.0 || size == 1,
                 "an undefined tensor counts as zeros in a sum");
  Tensor const of_one = bound.gather(rank == 0 ? device.to(make({3.0}, false)) : Tensor{});
  detail::expect(broken, traits::size0(of_one) == 1 && detail::total(of_one) == 3.0, "an undefined tensor has no rows");

  Tensor largest = device.to(make({static_cast<double>(rank)}, false));
  bound.reduce_max(largest);
  detail::expect(broken, detail::total(largest) == all - 1.0, "reduce_max() takes the largest of the ranks");
  Tensor sent = device.to(make({rank == size - 1 ? 7.0 : -1.0}, false));
  bound.broadcast(sent, size - 1);
  detail::expect(broken, detail::total(sent) == 7.0, "broadcast() gives every rank the root's values");
  bound.barrier();

  Tensor parameter = make({3.0}, true);
  traits::set_data(parameter, device.to(make({3.0 + rank}, false)));
  Parameters parameters;
  parameters.add("parameter", parameter);
  bound.prepare_parameters(parameters);
  double value[1] = {detail::total(parameter)};
  bound.reduce_sum(value);
  detail::expect(broken, value[0] == all * detail::total(parameter), "prepare_parameters() makes the ranks equal");

  double const start = detail::total(parameter);
  {
    [[maybe_unused]] auto const local = bound.no_sync();
    traits::backward(parameter * parameter, rank == 0 ? 1.0 : 0.0);
  }
  traits::backward(parameter * parameter, rank == 0 ? 1.0 : 0.0);
  bound.prepare_gradients(parameters);
  detail::expect(broken, std::abs(detail::total(traits::grad(parameter)) - 4.0 * start / all) < 1e-6,
                 "prepare_gradients() gives the mean over ranks of all that was accumulated");
  return broken;
}

}  // namespace laws
