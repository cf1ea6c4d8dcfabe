#include <ATen/ops/from_blob.h>
#include <tacit/tacit.hpp>
#include <torch/nn/modules/linear.h>

#include "trainer_api.hpp"

struct LineFit::State {
  tacit::trainer_of<torch::nn::Linear, tacit::loss::Mse, tacit::optim::Sgd, tacit::CallbackPack<>> trainer{
      torch::nn::Linear(1, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, tacit::CallbackPack{}};
};

LineFit::LineFit() : state_{new State} {}
LineFit::~LineFit() { delete state_; }

double LineFit::fit(std::vector<float> const& x, std::vector<float> const& y, int epochs) {
  auto const column = [](std::vector<float> const& values) {
    return at::from_blob(const_cast<float*>(values.data()), {static_cast<std::int64_t>(values.size()), 1}).clone();
  };
  tacit::data::TensorDataset data{column(x), column(y)};
  state_->trainer.train(data, {.epochs = epochs});
  return state_->trainer.evaluate(data, {})[tacit::tag::eval_loss{}];
}
