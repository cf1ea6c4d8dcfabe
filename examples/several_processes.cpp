// Two processes share every batch and end with the same model. Started alone it is a world of one; with a launcher's variables, or under
// torchrun --no-python, mpirun or srun, it joins the others.
// links: tacit::ddp
// expect: ^rank 0 of 1: loss [0-9.]+e-

#include <torch/torch.h>
#include <tacit/policy/distribution/ddp.hpp>
#include <tacit/policy/distribution/gloo.hpp>
#include <tacit/tacit.hpp>

#include <chrono>
#include <iostream>

int main() try {
  torch::manual_seed(1);
  auto const x = torch::linspace(-1, 1, 256).unsqueeze(1);
  tacit::data::TensorDataset const line{x, 3.0 * x + 1.0};

  // [trainer]
  tacit::Trainer trainer{torch::nn::Linear(1, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, tacit::Ddp<tacit::Gloo>{.timeout = std::chrono::seconds{10}},
                         tacit::CallbackPack{}};
  auto const result = trainer.train(line, {.epochs = 20, .per_device_batch_size = 32 / trainer.world_size()});
  if (trainer.is_main_process()) {
    std::cout << "rank 0 of " << trainer.world_size() << ": loss " << result[tacit::tag::train_loss{}] << "\n";
  }
  // [/trainer]
  return 0;
} catch (tacit::Error const& error) {
  return tacit::launch::fail(error);
}
