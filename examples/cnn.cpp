// A small convolutional network on a part of Fashion-MNIST: batch norm and dropout follow the trainer's training and
// evaluation modes, and accuracy is recorded after every epoch.
// expect: accuracy 0\.[78]

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <iostream>

namespace nn = torch::nn;

// [model]
struct ConvNet : nn::Module {
  nn::Sequential features{register_module(
      "features", nn::Sequential(nn::Conv2d(nn::Conv2dOptions(1, 16, 3).padding(1).bias(false)), nn::BatchNorm2d(16), nn::ReLU(), nn::MaxPool2d(2),
                                 nn::Conv2d(nn::Conv2dOptions(16, 32, 3).padding(1).bias(false)), nn::BatchNorm2d(32), nn::ReLU(), nn::MaxPool2d(2)))};
  nn::Dropout dropout{register_module("dropout", nn::Dropout(0.25))};
  nn::Linear output{register_module("output", nn::Linear(32 * 7 * 7, 10))};

  torch::Tensor forward(torch::Tensor const& images) { return output(dropout(features->forward(images).flatten(1))); }
};
// [/model]

int main() {
  torch::manual_seed(1);
  // [train]
  auto [train, valid] = tacit::data::split(tacit::data::fashion_mnist(), {4000, 1000}, /*seed*/ 42);
  tacit::Trainer trainer{std::make_shared<ConvNet>(), tacit::loss::CrossEntropy{}, tacit::optim::AdamW{.lr = 2e-3},
                         tacit::CallbackPack{tacit::default_callbacks, tacit::metric::Accuracy{}}};
  auto const result = trainer.train(train, valid, {.epochs = 2, .per_device_batch_size = 64, .eval_per_device_batch_size = 250});
  // [/train]
  std::cout << trainer.describe();

  std::cout << "accuracy " << result[tacit::tag::accuracy{}] << "\n";
  return result[tacit::tag::accuracy{}] > 0.75 ? 0 : 1;
}
