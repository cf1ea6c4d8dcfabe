// An epoch of four models three ways in one program: the trainer, the plain loop that people write (torch::optim), and a loop with
// the fused update that the trainer uses.
// needs: libtorch
// test: --scale 2

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "models.hpp"

namespace {

using namespace models;

constexpr std::size_t runs = 9;
constexpr double most = 1.02;  // trainer / plain loop

double seconds_of(auto const& epoch) {
  auto const start = std::chrono::steady_clock::now();
  epoch();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One epoch by hand; `update` steps the optimizer and clears the gradients.
template <class Model>
double loop(Model& model, Data const& data, auto const& update) {
  model.train();
  std::int64_t const size = data.targets.size(0);
  auto const order = torch::randperm(size, torch::kLong);
  double loss_sum = 0.0;
  for (std::int64_t at = 0; at < size; at += Model::batch) {
    auto const index = order.slice(0, at, std::min(at + Model::batch, size));
    auto const inputs = data.inputs.index_select(0, index);
    auto const targets = data.targets.index_select(0, index);
    auto const loss = Model::loss(model.forward(inputs), targets);
    loss_sum += loss.template item<double>() * static_cast<double>(targets.size(0));
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
template <class Model>
Epoch finished(Model& model, Data const& data, double seconds) {
  torch::NoGradGuard const no_grad;
  model.train();  // the norms' statistics differ by the order of the batches alone
  return {seconds, Model::loss(model.forward(data.inputs), data.targets).template item<double>()};
}

template <class Model>
Epoch plain(Data const& data) {
  auto const model = std::make_shared<Model>();
  torch::optim::SGD optimizer{model->parameters(), torch::optim::SGDOptions{1e-3}.momentum(0.9)};
  double const seconds = seconds_of([&] {
    loop(*model, data, [&] {
      optimizer.step();
      optimizer.zero_grad();
    });
  });
  return finished(*model, data, seconds);
}

template <class Model>
Epoch fused(Data const& data) {
  auto const model = std::make_shared<Model>();
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

template <class Model>
Epoch trainer(Data const& data) {
  auto const model = std::make_shared<Model>();
  tacit::Trainer trainer{model, typename Model::library_loss{}, tacit::optim::Sgd{.lr = 1e-3, .momentum = 0.9}, tacit::CallbackPack{}};
  tacit::data::TensorDataset const set{data.inputs, data.targets};
  double const seconds = seconds_of([&] { trainer.train(set, {.epochs = 1, .per_device_batch_size = Model::batch}); });
  return finished(*model, data, seconds);
}

double median(std::array<double, runs> times) {
  std::sort(times.begin(), times.end());
  return times[runs / 2];
}

/// Measures a model; false where the trainer is too slow.
template <class Model>
bool compare(std::int64_t scale) {
  torch::manual_seed(1);
  Data const data = Model::data(Model::samples * scale);
  std::int64_t const samples = data.targets.size(0);
  struct Way {
    char const* name;
    Epoch (*epoch)(Data const&);
    std::array<double, runs> times{};
    double loss = 0.0;
  };
  std::array<Way, 3> ways{{{"plain loop", plain<Model>}, {"fused loop", fused<Model>}, {"trainer", trainer<Model>}}};
  for (Way& way : ways) {
    // What a process does once is done now.
    torch::manual_seed(1);
    way.loss = way.epoch(data).loss;
  }
  for (Way const& way : ways) {
    if (!(std::abs(way.loss - ways[0].loss) <= 0.1 * std::abs(ways[0].loss) + 1e-6)) {
      throw std::runtime_error{std::string{Model::title} + ": the " + way.name + " ended at loss " + std::to_string(way.loss) + ", the plain loop at " +
                               std::to_string(ways[0].loss) + ": they did not do the same work"};
    }
  }
  for (std::size_t run = 0; run < runs; ++run) {
    // Each turn begins with another way, so that none always follows the same one.
    for (std::size_t i = 0; i < ways.size(); ++i) {
      Way& way = ways[(run + i) % ways.size()];
      way.times[run] = way.epoch(data).seconds;
    }
  }
  auto const steps = static_cast<double>((samples + Model::batch - 1) / Model::batch);
  for (Way const& way : ways) {
    auto const [least, largest] = std::minmax_element(way.times.begin(), way.times.end());
    std::printf("%-4s %-10s  %8.1f us a step (%.1f to %.1f), loss %.4f\n", Model::title, way.name, 1e6 * median(way.times) / steps, 1e6 * *least / steps, 1e6 * *largest / steps, way.loss);
  }
  double const ratio = median(ways[2].times) / median(ways[0].times);
  std::printf("%-4s trainer / fused loop %.3f, trainer / plain loop %.3f, at most %.2f%s\n", Model::title, median(ways[2].times) / median(ways[1].times), ratio, most, ratio > most ? ": TOO MUCH" : "");
  return ratio <= most;
}

}  // namespace

int main(int argc, char** argv) try {
  tacit::launch::Arguments const arguments{argc, argv, {{"scale", "N", "epochs of N times the usual number of samples (1)"},
                                                        {"threads", "N", "threads of LibTorch (1)"},
                                                        {"model", "NAME", "mlp, cnn, gpt or one (all)"},
                                                        {"first-step", "", "make one step of the mlp and end: for measuring the start"}}};
  if (arguments.help_requested()) {
    std::printf("%s", arguments.help().c_str());
    return 0;
  }
  std::int64_t const scale = arguments.integer("scale", 1);
  std::int64_t const threads = arguments.integer("threads", 1);
  if (scale < 1 || scale > 1000 || threads < 1 || threads > 1024) {
    std::fprintf(stderr, "--scale takes 1 to 1000, --threads 1 to 1024\n");
    return 2;
  }
  torch::set_num_threads(static_cast<int>(threads));
  if (arguments.has("first-step")) {
    trainer<Mlp>({torch::rand({Mlp::batch, 1, 28, 28}), torch::randint(10, {Mlp::batch}, torch::kLong)});
    return 0;
  }
  std::string const model = arguments.text("model", "all");
  std::printf("%lld thread(s), medians of %zu interleaved runs\n", static_cast<long long>(threads), runs);
  bool good = true;
  if (model == "all" || model == "mlp") good = compare<Mlp>(scale) && good;
  if (model == "all" || model == "cnn") good = compare<Cnn>(scale) && good;
  if (model == "all" || model == "gpt") good = compare<Gpt>(scale) && good;
  if (model == "all" || model == "one") good = compare<One>(scale) && good;
  return good ? 0 : 1;
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
