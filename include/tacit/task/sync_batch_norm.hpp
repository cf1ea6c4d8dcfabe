#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/task/group_member.hpp"

namespace tacit::inline v0 {

namespace detail {

/// y = (x - mean) / sqrt(var + eps) with mean and variance over the batches of all ranks; x is (N, C, ...).
struct SyncBatchNormFunction : torch::autograd::Function<SyncBatchNormFunction> {
  /// Sums over all dimensions but the channels', in float64.
  static at::Tensor channel_sum(at::Tensor const& x) {
    std::vector<std::int64_t> rest{0};
    for (std::int64_t dimension = 2; dimension < x.dim(); ++dimension) rest.push_back(dimension);
    return x.sum(rest, /*keepdim=*/false, at::kDouble);
  }
  static at::Tensor along_channels(at::Tensor const& values, at::Tensor const& like) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
    shape[1] = values.size(0);
    return values.to(like.scalar_type()).view(shape);
  }

  /// x in the type that statistics and values are computed in: float32, or float64 of float64.
  static at::Tensor wide(at::Tensor const& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

  /// x around a number near its mean, and the rest of the mean: so a mean far from 0 costs no digits of the deviations.
  struct Centred {
    at::Tensor deviations;
    at::Tensor rest;  // mean - the number, float64
  };
  static Centred centred(at::Tensor const& x, at::Tensor const& mean) {
    at::Tensor const values = wide(x);
    at::Tensor const near = mean.to(values.scalar_type());
    return {values - along_channels(near, values), mean - near.to(at::kDouble)};
  }

  /// Outputs: y in float32 or float64, and mean, variance and number of values of a channel over all ranks.
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, at::Tensor const& x, double eps, GroupMember::Sum sum) {
    std::int64_t const channels = x.size(1);
    double const own_count = static_cast<double>(x.numel() / channels);
    at::Tensor const own_sum = channel_sum(x);
    at::Tensor const own_mean = own_sum / std::max(own_count, 1.0);
    auto const own = centred(x, own_mean);
    // The squares around the mean itself: sum((x - n)^2) - count (mean - n)^2.
    at::Tensor const own_squares = (channel_sum(own.deviations.square()) - own.rest.square() * own_count).clamp_min(0.0);
    at::Tensor mean = own_mean, squares = own_squares, count = at::full({1}, own_count, own_sum.options());
    if (sum) {
      // Joined as by Chan et al. (1979): what the ranks' means differ by comes to the squares within the ranks.
      at::Tensor numbers = at::cat({own_sum, own_squares, own_mean.square() * own_count, count});
      sum(numbers);
      count = numbers.narrow(0, 3 * channels, 1);  // 0: every rank left its batch out, nothing may change
      mean = numbers.narrow(0, 0, channels) / count.clamp_min(1.0);
      squares = numbers.narrow(0, channels, channels) + (numbers.narrow(0, 2 * channels, channels) - mean.square() * count).clamp_min(0.0);
    }
    at::Tensor const divisor = count.clamp_min(1.0);
    at::Tensor const variance = squares / divisor;
    at::Tensor const scale = (variance + eps).rsqrt();
    context->save_for_backward({x, mean, scale, divisor});
    if (sum) context->saved_data["sum"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(std::move(sum)));
    context->mark_non_differentiable({mean, variance, count});
    return {normalised(x, mean, scale), mean, variance, count};
  }

  static at::Tensor normalised(at::Tensor const& x, at::Tensor const& mean, at::Tensor const& scale) {
    auto const [deviations, rest] = centred(x, mean);
    return (deviations - along_channels(rest, deviations)) * along_channels(scale, deviations);
  }

  /// dx = (dy - mean(dy) - y mean(dy y)) / sqrt(var + eps), means over all ranks; rounded once, to x's type.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    at::Tensor const& x = saved[0];
    at::Tensor const y = normalised(x, saved[1], saved[2]);
    at::Tensor const dy = wide(gradients[0]);
    at::Tensor sums = at::cat({channel_sum(dy), channel_sum(dy * y)});
    if (auto const found = context->saved_data.find("sum"); found != context->saved_data.end()) {
      // Of rows that do not count the statistics are no function.
      if (!c10::static_intrusive_pointer_cast<Holder>(found->second.toCapsule())->sum(sums)) return {at::zeros_like(x), at::Tensor{}, at::Tensor{}};
    }
    at::Tensor const means = sums / saved[3];
    std::int64_t const channels = y.size(1);
    at::Tensor const mean = along_channels(means.narrow(0, 0, channels), y);
    at::Tensor const product = along_channels(means.narrow(0, channels, channels), y);
    return {((dy - mean - y * product) * along_channels(saved[2], y)).to(x.scalar_type()), at::Tensor{}, at::Tensor{}};
  }

 private:
  struct Holder : torch::CustomClassHolder {
    explicit Holder(GroupMember::Sum given) : sum{std::move(given)} {}
    GroupMember::Sum sum;
  };
};

}  // namespace detail

struct SyncBatchNormOptions {
  std::int64_t channels = 0;
  double eps = 1e-5;
  double momentum = 0.1;  ///< share of the new statistics in the running ones
  bool affine = true;     ///< with a weight and a bias for each channel
};

/// Batch norm whose statistics are those of all processes' batches, for inputs (N, C), (N, C, L), (N, C, H, W), ...
///
/// Alone it is LibTorch's batch norm. Statistics and values are computed in float32 or wider, whatever the input. A trainer with `Ddp` or `Auto` joins it to the same module on the other ranks.
/// A rank that has no batch for a step goes through it with an earlier one that does not count.
/// Throws: UsageError for an input of another number of channels; DataError in training for one value of a channel.
class SyncBatchNormImpl : public torch::nn::Module, public GroupMember {
 public:
  explicit SyncBatchNormImpl(SyncBatchNormOptions options) : options_{options} {
    if (options.affine) {
      weight = register_parameter("weight", at::ones({options.channels}));
      bias = register_parameter("bias", at::zeros({options.channels}));
    }
    running_mean = register_buffer("running_mean", at::zeros({options.channels}));
    running_var = register_buffer("running_var", at::ones({options.channels}));
    num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  }
  explicit SyncBatchNormImpl(std::int64_t channels) : SyncBatchNormImpl{SyncBatchNormOptions{.channels = channels}} {}

  at::Tensor forward(at::Tensor const& x) {
    if (x.dim() < 2 || x.size(1) != options_.channels) {
      throw UsageError{"TACIT-RU24", detail::message({"an input of ", x.dim() < 2 ? 0 : x.size(1), " channels for a norm of ", options_.channels}), "SyncBatchNorm", "give (N, C, ...)"};
    }
    at::Tensor const y = is_training() ? over_the_batch(x) : over_running_statistics(x);
    // In float32 up to here: rounded once.
    return (weight.defined() ? y * norm::along_channels(weight, y) + norm::along_channels(bias, y) : y).to(x.scalar_type());
  }

  void join(Sum sum, int world_size) override { sum_ = world_size > 1 ? std::move(sum) : Sum{}; }

  at::Tensor weight{};
  at::Tensor bias{};
  at::Tensor running_mean{};
  at::Tensor running_var{};
  at::Tensor num_batches_tracked{};

 private:
  using norm = detail::SyncBatchNormFunction;

  at::Tensor over_the_batch(at::Tensor const& x) {
    if (!sum_ && x.numel() == options_.channels) {
      throw DataError{"TACIT-RD129", "a batch of one value for each channel has no variance", "SyncBatchNorm",
                      "give batches of 2 rows or more: a loader's .drop_last leaves out a last batch of one"};
    }
    auto const outputs = norm::apply(x, options_.eps, sum_);
    at::NoGradGuard const no_graph;
    at::Tensor const& count = outputs[3];
    at::Tensor const counts = count.clamp_max(1.0);
    at::Tensor const share = options_.momentum * counts;
    running_mean.lerp_(outputs[1].to(running_mean.scalar_type()), share.to(running_mean.scalar_type()));
    running_var.lerp_((outputs[2] * (count / (count - 1.0).clamp_min(1.0))).to(running_var.scalar_type()), share.to(running_var.scalar_type()));
    num_batches_tracked.add_(counts.squeeze(0).to(num_batches_tracked.scalar_type()));
    return outputs[0];
  }
  at::Tensor over_running_statistics(at::Tensor const& x) const {
    at::Tensor const scale = (running_var.to(at::kDouble) + options_.eps).rsqrt();
    return norm::normalised(x, running_mean.to(at::kDouble), scale);
  }

  SyncBatchNormOptions options_;
  Sum sum_{};
};
TORCH_MODULE(SyncBatchNorm);

}  // namespace tacit::inline v0
