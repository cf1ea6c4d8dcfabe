// needs: libtorch
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <torch/torch.h>

#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/loss/cross_entropy.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/train/trainer.hpp"

#include "loop_parity.inc"

namespace loop_parity_tests {
namespace {

at::Tensor wave(std::int64_t count, double step, double scale) {
  return torch::sin(torch::arange(count, torch::kFloat64) * step) * scale;
}

struct Net : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(6, 5))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(5, 3))};

  Net() {
    to(torch::kFloat64);
    torch::NoGradGuard const no_grad;
    double number = 0;
    for (auto& parameter : parameters()) {
      parameter.copy_(wave(parameter.numel(), 0.7 + 0.1 * number, 0.5).reshape(parameter.sizes()));
      ++number;
    }
  }
  at::Tensor forward(at::Tensor const& x) { return second(torch::tanh(first(x))); }
};

struct Norms {
  std::vector<double> values;
  void on(tacit::event::UpdateStart const&, auto& context) {
    if (auto const* norm = context.gradient_norm()) values.push_back(norm->read(*context.log_point()));
  }
};

bool close(double a, double b) { return std::abs(a - b) <= 1e-12 * std::max(std::abs(a), std::abs(b)); }

template <class Optimizer>
void repeats(Optimizer optimizer, std::int64_t batch, std::int64_t accumulation, double clip, std::vector<double> const& losses,
             std::vector<double> const& norms, std::vector<double> const& parameters) {
  auto net = std::make_shared<Net>();
  tacit::data::TensorDataset const data{wave(23 * 6, 0.37, 1.0).reshape({23, 6}), (torch::arange(23) * 7) % 3};
  Norms seen;
  tacit::Trainer trainer{net, tacit::loss::CrossEntropy{}, optimizer, tacit::CallbackPack{std::ref(seen)}};
  auto batches = tacit::data::loader(data, {.batch_size = batch});  // in order, as the Python side
  trainer.train(batches, {.epochs = 4, .gradient_accumulation = accumulation, .clip = {.norm = clip}, .sink = tacit::Sink::none()});

  auto const recorded = trainer.history().values(tacit::tag::train_loss{});
  REQUIRE(recorded.size() == losses.size());
  for (std::size_t epoch = 0; epoch < losses.size(); ++epoch) CHECK(close(recorded[epoch].value, losses[epoch]));
  REQUIRE(seen.values.size() == norms.size());
  for (std::size_t update = 0; update < norms.size(); ++update) CHECK(close(seen.values[update], norms[update]));
  std::size_t at = 0;
  for (auto const& parameter : net->parameters()) {
    at::Tensor const flat = parameter.detach().reshape(-1);
    for (std::int64_t i = 0; i < flat.numel(); ++i) CHECK(close(flat[i].item<double>(), parameters.at(at++)));
  }
  CHECK(at == parameters.size());
}

}  // namespace

TEST_CASE("the trainer's losses, norms and parameters are those of a PyTorch loop") {
  tacit::optim::Sgd const sgd{.lr = 0.2, .momentum = 0.9};
  repeats(sgd, 4, 1, 0.0, plain_losses, plain_norms, plain_parameters);
  repeats(sgd, 3, 3, 0.0, accumulated_losses, accumulated_norms, accumulated_parameters);
  repeats(tacit::optim::AdamW{.lr = 0.05, .weight_decay = 0.1}, 3, 2, 0.05, clipped_losses, clipped_norms, clipped_parameters);
}

}  // namespace loop_parity_tests
