#pragma once

#include <c10/core/Device.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/policy/distribution/auto_distribution.hpp"
#include "tacit/policy/distribution/ddp.hpp"

namespace tacit::inline v0::detail {

inline DataParallel& ranks_at(void* ranks) { return *static_cast<DataParallel*>(ranks); }

/// What `AutoDistribution` does with `Ddp<Backend>`.
template <class Backend>
inline constexpr DataParallelTable data_parallel_over{
    .name = Backend::name,
    .join = [](launch::World const& world, c10::Device device) -> std::shared_ptr<void> { return Ddp<Backend>{.world = world}.join(device); },
    .reduce_sum = [](void* ranks, std::span<double> numbers) { ranks_at(ranks).group().reduce_sum(numbers); },
    .begin_sum = [](void* ranks, std::span<double const> numbers) { ranks_at(ranks).group().begin_sum(numbers); },
    .end_sum = [](void* ranks, std::span<double> numbers) { ranks_at(ranks).group().end_sum(numbers); },
    .reduce_sum_of_tensor = [](void* ranks, at::Tensor& tensor) { ranks_at(ranks).group().reduce_sum(tensor); },
    .reduce_max = [](void* ranks, at::Tensor& tensor) { ranks_at(ranks).group().reduce_max(tensor); },
    .agree = [](void* ranks, std::int64_t request) { return ranks_at(ranks).group().agree(request); },
    .gather_texts = [](void* ranks, std::string_view text) { return ranks_at(ranks).group().gather(text); },
    .gather_rows = [](void* ranks, at::Tensor const& tensor, bool counts) { return ranks_at(ranks).group().gather(tensor, counts); },
    .sum_of_tensors = [](void* ranks, at::Tensor const& tensor, bool counts) { return ranks_at(ranks).group().sum(tensor, counts); },
    .meet = [](void* ranks, std::string_view text) { return ranks_at(ranks).group().meet(text); },
    .await_main = [](void* ranks, bool failed, std::chrono::milliseconds limit) { return ranks_at(ranks).group().await_main(failed, limit); },
    .begin_run = [](void* ranks) { ranks_at(ranks).begin_run(); },
    .shares_buffers = [](void* ranks) { return ranks_at(ranks).shares_buffers(); },
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

}  // namespace tacit::inline v0::detail
