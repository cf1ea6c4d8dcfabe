// needs: libtorch
// Ranks as threads of this process: each with its own group over TCP on this host. tests/distributed has real processes.
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/policy/distribution/ddp.hpp"
#include "tacit/policy/distribution/gloo.hpp"
#include "tacit/policy/precision/fp64.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;
using tacit::Ddp;
using tacit::Gloo;

namespace {

/// A distribution whose ranks are threads.
template <class Hook = tacit::NoCompression>
struct ThreadDdp : Ddp<Gloo, Hook> {
  static constexpr bool ranks_share_process = true;
};

int next_port() {
  static std::atomic<int> port{20'000 + static_cast<int>(std::chrono::steady_clock::now().time_since_epoch().count() / 1000 % 20'000)};
  return port++;
}

/// Runs body(world) on a thread a rank; the first exception is rethrown when all are done.
template <class Body>
void run_ranks(int size, Body const& body) {
  int const port = next_port();
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(tacit::launch::World{.rank = rank, .world_size = size, .local_rank = rank, .local_world_size = size, .port = port});
      } catch (...) {
        errors[static_cast<std::size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto const& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

struct NetImpl : torch::nn::Module {
  NetImpl() {
    first = register_module("first", torch::nn::Linear(4, 8));
    unused = register_module("unused", torch::nn::Linear(8, 8));
    last = register_module("last", torch::nn::Linear(8, 1));
    int i = 0;
    for (auto& p : parameters()) {
      torch::NoGradGuard const no_graph;
      p.copy_(torch::sin(torch::arange(p.numel(), torch::kFloat) * 0.7 + ++i).reshape(p.sizes()) * 0.5);
    }
  }
  at::Tensor forward(at::Tensor const& x) {
    at::Tensor hidden = torch::tanh(first(x));
    if (uses_all) hidden = hidden + torch::tanh(unused(hidden));
    return last(hidden);
  }
  torch::nn::Linear first{nullptr}, unused{nullptr}, last{nullptr};
  bool uses_all = true;
};

tacit::data::TensorDataset data(std::int64_t samples) {
  at::Tensor const i = torch::arange(samples, torch::kDouble);
  at::Tensor const x = torch::stack({torch::sin(i), torch::cos(0.7 * i), torch::sin(1.3 * i + 1.0), torch::cos(2.1 * i)}, 1);
  return {x, (x.sum(1, true) + 0.3 * torch::sin(5.0 * i).unsqueeze(1))};
}

at::Tensor flat(torch::nn::Module const& model) {
  std::vector<at::Tensor> all;
  for (auto const& p : model.parameters()) all.push_back(p.detach().flatten());
  return torch::cat(all);
}
double distance(at::Tensor const& a, at::Tensor const& b) { return ((a - b).norm() / b.norm()).item<double>(); }

struct Outcome {
  at::Tensor parameters;
  double loss = 0.0;
  std::int64_t samples = 0;
  std::int64_t updates = 0;
};

template <class Model, class Pack, class... Policies>
Outcome train(std::shared_ptr<Model> model, std::int64_t samples, tacit::TrainOptions options, Pack pack, Policies... policies) {
  options.sink = tacit::Sink::none();
  tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::AdamW{.lr = 1e-2}, tacit::Fp64{}, std::move(pack), policies...};
  auto const result = trainer.train(data(samples), options);
  return {flat(*model), result[tacit::tag::train_loss{}], result.samples.value(), result.updates.value()};
}

}  // namespace

TEST_CASE("several processes with the same global batch make the updates of one") {
  int const ranks = GENERATE(1, 2, 3, 4);
  std::int64_t const accumulation = GENERATE(1, 3);
  std::int64_t const samples = GENERATE(48, 50);  // 50 leave the last batch of some ranks shorter, or none
  CAPTURE(ranks, accumulation, samples);
  Outcome const one = train(std::make_shared<NetImpl>(), samples, {.limit = {.updates = 20}, .per_device_batch_size = 12, .gradient_accumulation = accumulation, .seed = 7}, CallbackPack{});
  std::vector<Outcome> all(static_cast<std::size_t>(ranks));
  run_ranks(ranks, [&](tacit::launch::World const& world) {
    ThreadDdp<> ddp{};
    ddp.world = world;
    all[static_cast<std::size_t>(world.rank)] =
        train(std::make_shared<NetImpl>(), samples, {.limit = {.updates = 20}, .per_device_batch_size = 12 / ranks, .gradient_accumulation = accumulation, .seed = 7}, CallbackPack{}, ddp);
  });
  for (Outcome const& rank : all) {
    CHECK(distance(rank.parameters, one.parameters) < 1e-12);
    CHECK(torch::equal(rank.parameters, all[0].parameters));
    CHECK(std::abs(rank.loss - one.loss) < 1e-12 * one.loss);
    CHECK(rank.updates == one.updates);
    CHECK(rank.samples == one.samples);
  }
}
