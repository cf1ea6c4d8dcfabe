// needs: libtorch
// preset: bench

#include <ATen/core/Tensor.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/relu.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>

#include "program.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/policy/distribution/ddp.hpp"
#include "tacit/policy/distribution/gloo.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/loss/cross_entropy.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/train/trainer.hpp"

// Ddp<Gloo> in a world of one process against SingleProcess, quickstart's model, batch 32. Printed, not limited: most of it is LibTorch's
// reducer and Gloo, whose threads are counted too; it takes minutes.

namespace {

constexpr std::int64_t batch_size = 32;
constexpr std::int64_t samples = 64 * batch_size;

struct Mlp : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 128))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(128, 64))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(64, 10))};
  at::Tensor forward(at::Tensor const& input) { return third(at::relu(second(at::relu(first(input))))); }
};

template <std::int64_t Every, class... Policies>
void run(std::int64_t steps) {
  tacit::Trainer trainer{std::make_shared<Mlp>(), tacit::loss::CrossEntropy{}, tacit::optim::Sgd{.lr = 1e-3, .momentum = 0.9}, Policies{}..., tacit::CallbackPack{}};
  trainer.train(tacit::data::TensorDataset{at::rand({samples, 784}), at::randint(10, {samples}, at::kLong)},
                {.limit = {.updates = steps}, .per_device_batch_size = batch_size, .log_every = Every});
}

constexpr benchmark::Variant variants[] = {
    {"single", run<1>, 20, 60}, {"ddp", run<1, tacit::Ddp<tacit::Gloo>>, 20, 60}, {"ddp.rare", run<50, tacit::Ddp<tacit::Gloo>>, 20, 60}};
constexpr benchmark::Limit limits[] = {{"ddp", "single", "-", "-"}, {"ddp.rare", "single", "-", "-"}};

}  // namespace

int main(int argc, char** argv) { return benchmark::main(argc, argv, variants, limits); }
