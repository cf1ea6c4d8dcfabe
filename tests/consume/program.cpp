// A user's whole program. Each way of consuming Tacit builds and runs it.
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <tacit/tacit.hpp>
#include <torch/nn/modules/linear.h>

int main() {
  auto const inputs = at::rand({64, 4});
  tacit::data::TensorDataset data{inputs, at::mm(inputs, at::ones({4, 1}))};
  tacit::Trainer trainer{torch::nn::Linear(4, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, tacit::CallbackPack{}};
  double const before = trainer.evaluate(data, {})[tacit::tag::eval_loss{}];
  auto const result = trainer.train(data, {.epochs = 4});
  double const after = trainer.evaluate(data, {})[tacit::tag::eval_loss{}];
  return result.updates == tacit::Updates{32} && after < before ? 0 : 1;
}
