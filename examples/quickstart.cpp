// The main job: a small network learns Fashion-MNIST, or any data set in MNIST's four files (--data DIR), with validation
// after every epoch and a test at the end. The same program runs on a CPU and on a GPU, alone and in several processes that
// torchrun, mpirun or srun start; --help tells its options.
// links: tacit::auto_ddp
// test: --epochs 1
// expect: ^accuracy 0\.[6-9]

#include <torch/nn/modules/linear.h>
#include <tacit/auto.hpp>
#include <tacit/tacit.hpp>

#include <cstdint>
#include <iostream>

// [model]
struct Mlp : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 128))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(128, 64))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(64, 10))};

  torch::Tensor forward(torch::Tensor const& images) { return third(torch::relu(second(torch::relu(first(images.flatten(1)))))); }
};
// [/model]

int main(int argc, char** argv) try {
  // [arguments]
  tacit::launch::Arguments const arguments{argc, argv, {{"data", "DIR", "where the four files are (Debian's Fashion-MNIST)"},
                                                        {"epochs", "N", "passes over the training set (8)"},
                                                        {"seed", "N", "fixes the weights and the order of the samples (42)"}}};
  if (arguments.help_requested()) {
    std::cout << arguments.help();
    return 0;
  }
  auto const seed = arguments.integer("seed", 42);
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  // [/arguments]

  // [train]
  auto images = arguments.has("data") ? tacit::data::image_classification(arguments.text("data", ""), tacit::data::Part::train)
                                      : tacit::data::fashion_mnist();
  auto [train, valid, test] = tacit::data::split(images, {50000, 5000, 5000}, /*seed*/ 42);

  tacit::Trainer trainer{std::make_shared<Mlp>(), tacit::loss::CrossEntropy{}, tacit::optim::Sgd{.lr = 1e-3, .momentum = 0.9}, tacit::Auto{arguments},
                         tacit::CallbackPack{tacit::default_callbacks, tacit::metric::Accuracy{}}};
  trainer.train(train, valid, {.epochs = arguments.integer("epochs", 8), .per_device_batch_size = 32, .seed = seed});

  auto const result = trainer.evaluate(test, {.per_device_batch_size = 64});
  if (trainer.is_main_process()) std::cout << "accuracy " << result[tacit::tag::accuracy{}] << "\n";
  // [/train]
  return 0;
} catch (tacit::Error const& error) {
  return tacit::launch::fail(error);
}
