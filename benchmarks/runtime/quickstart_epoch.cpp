// An epoch of the quickstart (MLP 784-128-64-10, SGD 0.001 with momentum 0.9, batch 32) three ways in one program: the
// trainer, the plain loop that people write (torch::optim::SGD), and a loop with the fused update that the trainer uses.
// needs: libtorch
// test: --samples 50000

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <vector>

namespace {

constexpr std::int64_t batch_size = 32;
constexpr std::size_t runs = 9;
constexpr double most = 1.02;  // trainer / plain loop

struct Mlp : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 128))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(128, 64))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(64, 10))};

  torch::Tensor forward(torch::Tensor const& images) { return third(torch::relu(second(torch::relu(first(images.flatten(1)))))); }
};

struct Data {
  torch::Tensor images;
  torch::Tensor labels;
};

Data load(std::int64_t samples) {
  if (std::filesystem::is_directory(tacit::data::fashion_mnist_directory)) {
    auto const all = tacit::data::fashion_mnist();
    std::vector<std::int64_t> indices(static_cast<std::size_t>(samples));
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::int64_t>(i);
    auto const batch = all.get_batch(indices);
    std::printf("data: Fashion-MNIST\n");
    return {batch.input, batch.target};
  }
  std::printf("data: synthetic, of Fashion-MNIST's size (dataset-fashion-mnist is not installed)\n");
  return {torch::rand({samples, 1, 28, 28}), torch::randint(10, {samples}, torch::kLong)};
}

double seconds_of(auto const& epoch) {
  auto const start = std::chrono::steady_clock::now();
  epoch();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One epoch by hand; `update` steps the optimizer and clears the gradients.
double loop(Mlp& model, Data const& data, auto const& update) {
  model.train();
  std::int64_t const size = data.labels.size(0);
  auto const order = torch::randperm(size, torch::kLong);
  double loss_sum = 0.0;
  for (std::int64_t at = 0; at < size; at += batch_size) {
    auto const index = order.slice(0, at, std::min(at + batch_size, size));
    auto const images = data.images.index_select(0, index);
    auto const labels = data.labels.index_select(0, index);
    auto const loss = torch::cross_entropy_loss(model.forward(images), labels);
    loss_sum += loss.item<double>() * static_cast<double>(labels.size(0));
    loss.backward();
    update();
  }
  return loss_sum / static_cast<double>(size);
}

struct Epoch {
  double seconds;
  double loss;  // over all samples, of the trained model
};

/// The proof that each way did an epoch's work: from the same first weights, all end at nearly the same loss.
Epoch finished(Mlp& model, Data const& data, double seconds) {
  torch::NoGradGuard const no_grad;
  return {seconds, torch::cross_entropy_loss(model.forward(data.images), data.labels).item<double>()};
}

Epoch plain(Data const& data) {
  auto const model = std::make_shared<Mlp>();
  torch::optim::SGD optimizer{model->parameters(), torch::optim::SGDOptions{1e-3}.momentum(0.9)};
  double const seconds = seconds_of([&] {
    loop(*model, data, [&] {
      optimizer.step();
      optimizer.zero_grad();
    });
  });
  return finished(*model, data, seconds);
}

Epoch fused(Data const& data) {
  auto const model = std::make_shared<Mlp>();
  std::vector<torch::Tensor> parameters = model->parameters();
  std::vector<torch::Tensor> momenta;
  for (auto const& parameter : parameters) momenta.push_back(torch::zeros_like(parameter));
  std::vector<torch::Tensor> gradients;
  double const seconds = seconds_of([&] {
    loop(*model, data, [&] {
      torch::NoGradGuard const no_grad;
      gradients.clear();
      for (auto const& parameter : parameters) gradients.push_back(parameter.grad());
      at::_fused_sgd_(parameters, gradients, momenta, 0.0, 0.9, 1e-3, 0.0, false, false, false);
      for (auto const& parameter : parameters) parameter.mutable_grad().reset();
    });
  });
  return finished(*model, data, seconds);
}

Epoch trainer(Data const& data) {
  auto const model = std::make_shared<Mlp>();
  tacit::Trainer trainer{model, tacit::loss::CrossEntropy{}, tacit::optim::Sgd{.lr = 1e-3, .momentum = 0.9}, tacit::CallbackPack{}};
  tacit::data::TensorDataset const set{data.images, data.labels};
  double const seconds = seconds_of([&] { trainer.train(set, {.epochs = 1, .per_device_batch_size = batch_size}); });
  return finished(*model, data, seconds);
}

double median(std::array<double, runs> times) {
  std::sort(times.begin(), times.end());
  return times[runs / 2];
}

}  // namespace

int main(int argc, char** argv) try {
  tacit::launch::Arguments const arguments{argc, argv, {{"samples", "N", "samples of an epoch, at most 60000 (10000)"},
                                                        {"threads", "N", "threads of LibTorch (1)"}}};
  if (arguments.help_requested()) {
    std::printf("%s", arguments.help().c_str());
    return 0;
  }
  std::int64_t const samples = arguments.integer("samples", 10000);
  std::int64_t const threads = arguments.integer("threads", 1);
  if (samples < batch_size || samples > 60000 || threads < 1 || threads > 1024) {
    std::fprintf(stderr, "--samples takes %lld to 60000, --threads 1 to 1024\n", static_cast<long long>(batch_size));
    return 2;
  }
  torch::set_num_threads(static_cast<int>(threads));
  torch::manual_seed(1);
  Data const data = load(samples);

  struct Way {
    char const* name;
    Epoch (*epoch)(Data const&);
    std::array<double, runs> times{};
    double loss = 0.0;
  };
  std::array<Way, 3> ways{{{"plain loop", plain}, {"fused loop", fused}, {"trainer", trainer}}};
  for (Way& way : ways) {
    // What a process does once is done now.
    torch::manual_seed(1);
    way.loss = way.epoch(data).loss;
  }
  for (Way const& way : ways) {
    if (!(std::abs(way.loss - ways[0].loss) < 0.1 * ways[0].loss)) {
      std::fprintf(stderr, "the %s ended at loss %.4f, the %s at %.4f: they did not do the same work\n", way.name, way.loss, ways[0].name, ways[0].loss);
      return 1;
    }
  }
  for (std::size_t run = 0; run < runs; ++run) {
    // Each turn begins with another way, so that none always follows the same one.
    for (std::size_t i = 0; i < ways.size(); ++i) {
      Way& way = ways[(run + i) % ways.size()];
      way.times[run] = way.epoch(data).seconds;
    }
  }

  auto const steps = static_cast<double>((samples + batch_size - 1) / batch_size);
  std::printf("%lld samples, %.0f steps, %lld thread(s), median of %zu interleaved runs\n", static_cast<long long>(samples), steps,
              static_cast<long long>(threads), runs);
  for (Way const& way : ways) {
    auto const [least, largest] = std::minmax_element(way.times.begin(), way.times.end());
    std::printf("%-10s  %7.1f us a step (%.1f to %.1f), loss %.4f\n", way.name, 1e6 * median(way.times) / steps, 1e6 * *least / steps, 1e6 * *largest / steps, way.loss);
  }
  double const ratio = median(ways[2].times) / median(ways[0].times);
  std::printf("trainer / fused loop %.4f\n", median(ways[2].times) / median(ways[1].times));
  std::printf("trainer / plain loop %.4f, at most %.2f%s\n", ratio, most, ratio > most ? ": TOO MUCH" : "");
  return ratio > most ? 1 : 0;
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
