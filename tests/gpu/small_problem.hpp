#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tacit/core/sink.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/train/trainer.hpp"

/// A net of two layers and a smooth function for it to learn: no random numbers, no header of torch/nn.
namespace small {

struct Item {
  std::string name;
  at::Tensor tensor;
  std::string const& key() const { return name; }
  at::Tensor& value() { return tensor; }
};

/// Numbers that look random and are the same everywhere.
inline at::Tensor spread(std::int64_t rows, std::int64_t columns, double phase) {
  return at::sin(at::arange(rows * columns, at::kDouble).mul(12.9898).add(phase))
      .reshape({rows, columns})
      .mul(0.5)
      .to(at::kFloat);
}

class Net {
 public:
  at::Tensor forward(at::Tensor const& input) {
    outputs.push_back(at::linear(input, first, first_bias));  // what the layer gives, for its type
    count.add_(1);
    return at::linear(at::relu(outputs.back()), second, second_bias).mul(scale);
  }
  std::vector<Item> named_parameters() const {
    return {{"first", first}, {"first_bias", first_bias}, {"second", second}, {"second_bias", second_bias}};
  }
  std::vector<Item> named_buffers() const { return {{"scale", scale}, {"count", count}}; }
  void train(bool on = true) { training_ = on; }
  bool is_training() const { return training_; }

  at::Tensor first = spread(16, 4, 1.0).set_requires_grad(true);
  at::Tensor first_bias = spread(1, 16, 2.0).reshape({16}).set_requires_grad(true);
  at::Tensor second = spread(2, 16, 3.0).set_requires_grad(true);
  at::Tensor second_bias = spread(1, 2, 4.0).reshape({2}).set_requires_grad(true);
  at::Tensor scale = at::ones({});
  at::Tensor count = at::full({}, 0, at::kLong);
  std::vector<at::Tensor> outputs{};

 private:
  bool training_ = true;
};

struct Batch {
  at::Tensor input;
  at::Tensor target;
};

class Data {
 public:
  explicit Data(std::int64_t size) : input_{spread(size, 4, 5.0)} {
    target_ = at::sin(input_.narrow(1, 0, 2)).add(input_.narrow(1, 2, 2));
  }
  std::int64_t size() const { return input_.size(0); }
  Batch get_batch(std::span<std::int64_t const> indices) const {
    at::Tensor const rows = at::tensor(at::ArrayRef<std::int64_t>{indices.data(), indices.size()});
    return {input_.index_select(0, rows), target_.index_select(0, rows)};
  }

 private:
  at::Tensor input_;
  at::Tensor target_;
};

/// What a run leaves behind, on the host.
struct Trained {
  std::shared_ptr<Net> net;
  double train_loss = 0.0;
  double eval_loss = 0.0;
  std::string device;
  std::string precision;

  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> values;
    for (auto& item : net->named_parameters()) values.push_back(item.tensor.detach().cpu());
    return values;
  }
};

/// A short run with everything in it that touches a policy: accumulation, clipping, evaluation inside an epoch.
template <class... Policies>
Trained train(Policies const&... policies) {
  auto net = std::make_shared<Net>();
  tacit::Trainer trainer{net, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1, .momentum = 0.9}, policies...,
                         tacit::CallbackPack{}};
  auto const result = trainer.train(Data{48}, Data{10},
                                    {.epochs = 4,
                                     .per_device_batch_size = 4,
                                     .gradient_accumulation = 2,
                                     .clip = {.norm = 1.0},
                                     .evaluation = {.every_updates = 2},
                                     .sink = tacit::Sink::none()});
  return {net, result[tacit::tag::train_loss{}], result[tacit::tag::eval_loss{}], trainer.plan().device,
          trainer.plan().precision};
}

inline bool same_bits(Trained const& a, Trained const& b) {
  auto const left = a.parameters();
  auto const right = b.parameters();
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i].scalar_type() != right[i].scalar_type() || !left[i].equal(right[i])) return false;
  }
  return left.size() == right.size() && a.train_loss == b.train_loss && a.eval_loss == b.eval_loss;
}
/// The largest difference of any parameter.
inline double difference(Trained const& a, Trained const& b) {
  double most = 0.0;
  auto const left = a.parameters();
  auto const right = b.parameters();
  for (std::size_t i = 0; i < left.size(); ++i) {
    most = std::max(most, left[i].to(at::kDouble).sub(right[i].to(at::kDouble)).abs().max().item<double>());
  }
  return most;
}

inline at::Tensor make(std::vector<double> const& values, bool requires_grad) {
  return at::tensor(values, at::kFloat).set_requires_grad(requires_grad);
}

}  // namespace small
