// include: in one translation unit
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tacit/policy/distribution/auto_distribution.hpp"
#include "tacit/policy/distribution/ddp.hpp"
#include "tacit/policy/distribution/gloo.hpp"

/// Gives `AutoDistribution` the processes of a launcher: included by one source file of a program, or brought by the target tacit::auto_ddp.
namespace tacit::inline v0::detail {

inline DataParallel& ranks_at(void* ranks) { return *static_cast<DataParallel*>(ranks); }

inline constexpr DataParallelTable ddp_over_gloo{
    .join = [](launch::World const& world) -> std::shared_ptr<void> { return Ddp<Gloo>{.world = world}.join(); },
    .reduce_sum = [](void* ranks, std::span<double> numbers) { ranks_at(ranks).group().reduce_sum(numbers); },
    .reduce_sum_of_tensor = [](void* ranks, at::Tensor& tensor) { ranks_at(ranks).group().reduce_sum(tensor); },
    .reduce_max = [](void* ranks, at::Tensor& tensor) { ranks_at(ranks).group().reduce_max(tensor); },
    .agree = [](void* ranks, std::int64_t wish) { return ranks_at(ranks).group().agree(wish); },
    .gather_texts = [](void* ranks, std::string_view text) { return ranks_at(ranks).group().gather(text); },
    .gather_rows = [](void* ranks, at::Tensor const& tensor) { return ranks_at(ranks).group().gather(tensor); },
    .broadcast = [](void* ranks, at::Tensor& tensor, int root) { ranks_at(ranks).group().broadcast(tensor, root); },
    .barrier = [](void* ranks) { ranks_at(ranks).group().barrier(); },
    .local_depth = [](void* ranks) -> int& { return ranks_at(ranks).local_depth(); },
    .share = [](void* ranks, NamedTensors const& tensors) { ranks_at(ranks).share(tensors); },
    .prepare_parameters = [](void* ranks, basic_parameter_set<at::Tensor>& parameters) { ranks_at(ranks).prepare_parameters(parameters); },
    .begin_forward = [](void* ranks, basic_parameter_set<at::Tensor>& parameters) { return ranks_at(ranks).begin_forward(parameters); },
    .broadcast_all = [](void* ranks, NamedTensors const& tensors) { ranks_at(ranks).broadcast_all(tensors); },
    .begin_backward = [](void* ranks, basic_parameter_set<at::Tensor>& parameters, at::Tensor const& loss) { ranks_at(ranks).begin_backward(parameters, loss); },
    .fail_backward = [](void* ranks) { ranks_at(ranks).group().guarded(backward_work, [] { std::rethrow_exception(std::current_exception()); }); },
    .prepare_gradients = [](void* ranks, basic_parameter_set<at::Tensor>& parameters) { ranks_at(ranks).prepare_gradients(parameters); },
};

namespace {
[[maybe_unused]] bool const joins_ranks = (data_parallel_table = &ddp_over_gloo, true);
}  // namespace

}  // namespace tacit::inline v0::detail
