// An epoch of the quickstart's model in as many processes as a launcher starts, over Ddp<Gloo>, and where a step's time goes.
// processes_python.py runs it beside Python's DistributedDataParallel.
// needs: libtorch
// test: --batches 60

#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <tacit/tacit.hpp>
#include <tacit/policy/distribution/ddp.hpp>
#include <tacit/policy/distribution/gloo.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>

namespace event = tacit::event;

namespace {

struct Mlp : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 128))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(128, 64))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(64, 10))};
  torch::Tensor forward(torch::Tensor const& x) { return third(torch::relu(second(torch::relu(first(x))))); }
};

/// Where the time of a step goes, from event to event.
struct Parts {
  enum Part : std::size_t { data, forward, backward, agreement, update, count };
  static constexpr std::array<char const*, count> names{"data", "forward and loss", "backward, gradients averaged on the way", "rest of the averaging, agreement", "update"};
  using clock = std::chrono::steady_clock;

  std::array<double, count>* seconds;
  clock::time_point last = clock::now();

  void add(Part part) {
    auto const now = clock::now();
    (*seconds)[part] += std::chrono::duration<double>(now - last).count();
    last = now;
  }
  void on(event::TrainEpochStart const&, auto&) { last = clock::now(); }
  void on(event::TrainStepStart const&, auto&) { add(data); }
  void on(event::TrainLossComputed const&, auto&) { add(forward); }
  void on(event::TrainStepEnd const&, auto&) { add(backward); }
  void on(event::UpdateStart const&, auto&) { add(agreement); }
  void on(event::UpdateEnd const&, auto&) { add(update); }
};

}  // namespace

int main(int argc, char** argv) try {
  tacit::launch::Arguments const arguments{argc, argv, {{"batches", "N", "batches of an epoch, of one process (600)"}, {"log-every", "N", "updates from one agreement of the ranks to the next (1)"}}};
  if (arguments.help_requested()) {
    std::fputs(arguments.help().c_str(), stdout);
    return 0;
  }
  constexpr std::int64_t batch = 32;
  std::int64_t const batches = arguments.integer("batches", 600);
  torch::set_num_threads(1);
  torch::manual_seed(1);
  auto train = [&](auto... policies) {
    std::array<double, Parts::count> seconds{};
    tacit::Trainer trainer{std::make_shared<Mlp>(), tacit::loss::CrossEntropy{}, tacit::optim::Sgd{.lr = 1e-3, .momentum = 0.9}, policies..., tacit::CallbackPack{Parts{&seconds}}};
    std::int64_t const samples = batches * batch * trainer.world_size();
    tacit::data::TensorDataset const set{torch::rand({samples, 784}), torch::randint(10, {samples}, torch::kLong)};
    tacit::TrainOptions const options{.epochs = 1, .per_device_batch_size = batch, .seed = 1, .log_every = arguments.integer("log-every", 1), .sink = tacit::Sink::none()};
    trainer.train(set, options);
    seconds = {};
    auto const start = std::chrono::steady_clock::now();
    trainer.train(set, options);
    double const step = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / static_cast<double>(batches);
    if (!trainer.is_main_process()) return;
    std::printf("%d process%s: %.0f us a step\n", trainer.world_size(), trainer.world_size() == 1 ? "" : "es", 1e6 * step);
    for (std::size_t part = 0; part < Parts::count; ++part) std::printf("  %-42s %6.0f us\n", Parts::names[part], 1e6 * seconds[part] / static_cast<double>(batches));
    std::fflush(stdout);
  };
  if (!tacit::launch::announced_world()) train();  // the same without processes
  train(tacit::Ddp<tacit::Gloo>{});
  return 0;
} catch (tacit::Error const& error) {
  return tacit::launch::fail(error);
}
