// needs: libtorch

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros_like.h>
#include <torch/nn/modules/linear.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "pool.hpp"
#include "program.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/loss/cross_entropy.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/train/trainer.hpp"
#include "twin.hpp"

// The trainer against `LongTwin`, the loop by hand with the same duties, on LibTorch, one thread: the quickstart's
// model at batch 32, and a model of one parameter, where the loop's own cost weighs most.

namespace {

constexpr std::int64_t batch_size = 32;
constexpr std::int64_t samples = 64 * batch_size;

struct Mlp : torch::nn::Module {
  using criterion = tacit::loss::CrossEntropy;
  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 128))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(128, 64))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(64, 10))};

  at::Tensor forward(at::Tensor const& input) { return third(at::relu(second(at::relu(first(input))))); }
  static at::Tensor loss(at::Tensor const& prediction, at::Tensor const& target) { return at::cross_entropy_loss(prediction, target); }
  static at::Tensor inputs() { return at::rand({samples, 784}); }
  static at::Tensor targets() { return at::randint(10, {samples}, at::kLong); }
};

struct OneParameter : torch::nn::Module {
  using criterion = tacit::loss::Mse;
  at::Tensor weight{register_parameter("weight", at::rand({1}))};

  at::Tensor forward(at::Tensor const& input) { return input * weight; }
  static at::Tensor loss(at::Tensor const& prediction, at::Tensor const& target) { return at::mse_loss(prediction, target); }
  static at::Tensor inputs() { return at::rand({samples, 1}); }
  static at::Tensor targets() { return at::rand({samples, 1}); }
};

/// Two tensors and their rows by index.
struct Gather {
  struct Batch {
    at::Tensor input;
    at::Tensor target;
  };
  at::Tensor inputs;
  at::Tensor targets;

  std::int64_t size() const { return inputs.size(0); }
  Batch get_batch(std::span<std::int64_t const> indices) const {
    at::Tensor const index = at::from_blob(const_cast<std::int64_t*>(indices.data()), {static_cast<std::int64_t>(indices.size())}, at::kLong);
    return {inputs.index_select(0, index), targets.index_select(0, index)};
  }
};

/// SGD with momentum by LibTorch's fused operation.
struct FusedSgd {
  std::vector<at::Tensor> parameters;
  std::vector<at::Tensor> gradients{};
  std::vector<at::Tensor> momenta{};

  explicit FusedSgd(std::vector<at::Tensor> all) : parameters{std::move(all)} {
    for (at::Tensor const& parameter : parameters) momenta.push_back(at::zeros_like(parameter));
  }
  void step() {
    at::NoGradGuard const guard;
    for (at::Tensor const& parameter : parameters) gradients.push_back(parameter.grad());
    at::_fused_sgd_(parameters, gradients, momenta, 0.0, 0.9, 1e-3, 0.0, false, false, false);
    gradients.clear();
  }
  void clear_gradients() {
    for (at::Tensor const& parameter : parameters) parameter.mutable_grad().reset();
  }
};

template <class Model>
void run_twin(std::int64_t steps) {
  auto const model = std::make_shared<Model>();
  FusedSgd optimizer{model->parameters()};
  Gather const data{Model::inputs(), Model::targets()};
  twin::Run run{};
  twin::LongPlan const plan{.plan = {.batch_size = batch_size, .updates = steps}};
  twin::LongTwin{*model, &Model::loss, data, optimizer, plan, run}.train();
}

/// Handles nothing that happens in a step.
template <int Number>
struct Idle {
  void on(tacit::event::TrainingRunStart const&, auto&) {}
};

template <class Model, int... Number>
void run_pack(std::int64_t steps, std::integer_sequence<int, Number...>) {
  tacit::Trainer trainer{std::make_shared<Model>(), typename Model::criterion{}, tacit::optim::Sgd{.lr = 1e-3, .momentum = 0.9},
                         tacit::CallbackPack{Idle<Number>{}...}};
  trainer.train(tacit::data::TensorDataset{Model::inputs(), Model::targets()}, {.limit = {.updates = steps}, .per_device_batch_size = batch_size});
}
template <class Model, int Size>
void run_pack(std::int64_t steps) {
  run_pack<Model>(steps, std::make_integer_sequence<int, Size>{});
}

constexpr benchmark::Variant variants[] = {{"mlp.twin", run_twin<Mlp>, 10, 30},
                                           {"mlp.empty", run_pack<Mlp, 0>, 10, 30},
                                           {"mlp.pack16", run_pack<Mlp, 16>, 10, 30},
                                           {"one.twin", run_twin<OneParameter>},
                                           {"one.empty", run_pack<OneParameter, 0>},
                                           {"one.pack1", run_pack<OneParameter, 1>},
                                           {"one.pack4", run_pack<OneParameter, 4>},
                                           {"one.pack16", run_pack<OneParameter, 16>}};
// LibTorch's own copies and tables take some 30 instructions more or less, by the addresses that they meet.
// Beside what the fake tensor's limits name, the model of one parameter shows the checks of layouts and shapes that a step makes.
// The quickstart's loss states how many labels it is a mean over: a scalar tensor, three calls of operator new.
constexpr benchmark::Limit limits[] = {
    {"mlp.empty", "mlp.twin", "1.002", "4000", 3.5}, {"mlp.pack16", "mlp.empty", "1.0001", "-"},
    {"one.empty", "one.twin", "-", "1000"},          {"one.pack1", "one.empty", "1.0003", "-"},
    {"one.pack4", "one.empty", "1.0003", "-"},       {"one.pack16", "one.empty", "1.0003", "-"}};

}  // namespace

int main(int argc, char** argv) { return benchmark::main(argc, argv, variants, limits); }
