// The program of the README: a model, a loss, an optimizer, data, and ten lines.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

// [program]
int main() {
  auto [train, valid, test] = tacit::data::split(tacit::data::fashion_mnist(), {50000, 5000, 5000}, /*seed*/ 42);
  torch::nn::Sequential model{torch::nn::Flatten(), torch::nn::Linear(784, 128), torch::nn::ReLU(), torch::nn::Linear(128, 10)};
  tacit::Trainer trainer{model, tacit::loss::CrossEntropy{}, tacit::optim::AdamW{.lr = 1e-3},
                         tacit::CallbackPack{tacit::default_callbacks, tacit::metric::Accuracy{},
                                             tacit::EarlyStopping<tacit::tag::eval_loss>{.patience = 3}}};
  trainer.train(train, valid, {.epochs = 4, .per_device_batch_size = 128});
  auto const result = trainer.evaluate(test, {.per_device_batch_size = 500});
  return result[tacit::tag::accuracy{}] > 0.8 ? 0 : 1;
}
// [/program]
