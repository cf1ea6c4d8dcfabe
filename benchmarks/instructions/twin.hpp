#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tacit/data/shuffle.hpp"

// The training loop as an expert writes it by hand, for the programs that compare the trainer with it: the same samples in
// the same order, the same calls of the tensor library, each epoch's loss as the mean over its samples, an end after so
// many updates, and nothing else. What the library's side is (model, gather, fused update) each program writes by hand too.

namespace twin {

struct Plan {
  std::int64_t batch_size = 32;
  std::int64_t updates = 0;
  std::uint64_t seed = 0;
};

struct Result {
  std::vector<double> losses;  // of each epoch
  std::int64_t updates = 0;
};

/// A scalar on the host, without a call into LibTorch's dispatcher where it is LibTorch's.
double value_of(auto const& loss) {
  if constexpr (requires { loss.const_data_ptr(); }) {
    return static_cast<double>(*static_cast<float const*>(loss.const_data_ptr()));
  } else {
    return loss.item();
  }
}

template <class Model, class Criterion, class Data, class Optimizer>
Result train(Model& model, Criterion const& criterion, Data const& data, Optimizer& optimizer, Plan const& plan) {
  Result result;
  std::vector<std::int64_t> order(static_cast<std::size_t>(data.size()));
  for (std::int64_t epoch = 0; result.updates < plan.updates; ++epoch) {
    tacit::data::ShuffledOrder{data.size(), plan.seed, tacit::EpochIndex{epoch}}.fill(0, order);
    model.train();
    double loss_sum = 0.0;
    double weight = 0.0;
    for (std::span<std::int64_t const> rest{order}; !rest.empty() && result.updates < plan.updates;) {
      auto const samples = rest.first(std::min(rest.size(), static_cast<std::size_t>(plan.batch_size)));
      rest = rest.subspan(samples.size());
      auto const batch = data.get_batch(samples);
      auto const loss = criterion(model.forward(batch.input), batch.target);
      loss_sum += value_of(loss) * static_cast<double>(samples.size());
      weight += static_cast<double>(samples.size());
      loss.backward();
      optimizer.step();
      optimizer.clear_gradients();
      ++result.updates;
    }
    result.losses.push_back(loss_sum / weight);
  }
  return result;
}

}  // namespace twin
