// Several eval sets: their names belong to the trainer's type, their data to the call. Every metric is recorded for each
// of them, and a callback watches the one that it names.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <iostream>

tacit::data::TensorDataset line(std::int64_t size, double noise) {
  auto const x = torch::rand({size, 1});
  return {x, 3.0 * x + noise * torch::randn({size, 1})};
}

int main() {
  torch::manual_seed(1);
  auto const train = line(1024, 0.1);
  auto const clean = line(256, 0.0);
  auto const noisy = line(256, 0.5);

  // [use]
  using clean_loss = tacit::on<"clean", tacit::tag::eval_loss>;
  using noisy_loss = tacit::on<"noisy", tacit::tag::eval_loss>;

  tacit::Trainer trainer{torch::nn::Linear(1, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, tacit::eval_sets<"clean", "noisy">{},
                         tacit::CallbackPack{tacit::EarlyStopping<clean_loss>{.patience = 2, .threshold = 1e-4}}};
  auto const result = trainer.train(train, line(64, 0.1), {.epochs = 50, .per_device_batch_size = 32}, tacit::eval_data<"clean">(clean),
                                    tacit::eval_data<"noisy">(noisy));
  // [/use]
  std::cout << trainer.describe();

  std::cout << "clean " << result[clean_loss{}] << ", noisy " << result[noisy_loss{}] << ", " << to_string(result.reason) << " after "
            << result.epochs.value() << " epochs\n";
  return result[clean_loss{}] < 0.001 && result[noisy_loss{}] > 0.2 && result.reason == tacit::StopReason::callback ? 0 : 1;
}
