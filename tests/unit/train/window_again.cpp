// needs: libtorch
// Windows that are computed again: LBFGS, and micro-batches that memory could not hold.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <c10/util/Exception.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/lbfgs.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/policy/precision/fp64.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/torch_optim.hpp"
#include "tacit/train/trainer.hpp"
#include "unit/torch_support.hpp"

namespace event = tacit::event;
using tacit::AutoMicroBatch;
using tacit::CallbackPack;
using torch_support::distance;
using torch_support::flat;

namespace window_again_tests {
namespace {

tacit::Sink quiet() { return tacit::Sink::none(); }

struct Problem {
  at::Tensor x;
  at::Tensor y;
  /// In order, the last one may be shorter.
  std::vector<std::pair<at::Tensor, at::Tensor>> batches(std::int64_t rows) const {
    std::vector<std::pair<at::Tensor, at::Tensor>> all;
    for (std::int64_t first = 0; first < x.size(0); first += rows) {
      std::int64_t const count = std::min(rows, x.size(0) - first);
      all.emplace_back(x.narrow(0, first, count), y.narrow(0, first, count));
    }
    return all;
  }
};
/// 48 rows of three columns; the targets follow a line, off by a deterministic wobble.
Problem problem() {
  at::Tensor const i = torch::arange(48, torch::kDouble);
  at::Tensor const x = torch::stack({torch::sin(i), torch::cos(0.7 * i), torch::sin(1.3 * i + 1.0)}, 1);
  at::Tensor const y = x.matmul(torch::tensor({1.5, -2.0, 0.5}, torch::kDouble).unsqueeze(1)) + 0.25 + 0.1 * torch::sin(5.0 * i).unsqueeze(1);
  return {x, y};
}

struct NetImpl : torch::nn::Module {
  NetImpl() {
    torch::manual_seed(5);
    layers = register_module("layers", torch::nn::Sequential(torch::nn::Linear(3, 8), torch::nn::Linear(8, 1)));
    to(torch::kDouble);
  }
  at::Tensor forward(at::Tensor const& x) {
    auto const rows = x.size(0);
    if (!in_backward) use(rows);
    at::Tensor hidden = torch::tanh(layers->ptr<torch::nn::LinearImpl>(0)->forward(x));
    if (in_backward && hidden.requires_grad()) {
      hidden.register_hook([this, rows](at::Tensor const&) { use(rows); });  // the last layer has its gradients by then
    }
    return layers->ptr<torch::nn::LinearImpl>(1)->forward(hidden);
  }
  torch::nn::Sequential layers{nullptr};
  std::int64_t memory = 1000;
  bool in_backward = false;

 private:
  void use(std::int64_t rows) const {
    TORCH_CHECK_WITH(OutOfMemoryError, rows <= memory, "CUDA out of memory. Tried to allocate ", rows, " rows");
  }
};
struct LineImpl : torch::nn::Module {
  LineImpl() {
    line = register_module("line", torch::nn::Linear(3, 1));
    to(torch::kDouble);
  }
  at::Tensor forward(at::Tensor const& x) { return line->forward(x); }
  torch::nn::Linear line{nullptr};
};
struct MaskAll {
  void on(event::TrainLossComputed const&, auto& context) { context.mask_update(); }
};

/// The bytes of address space that this process has.
std::size_t address_space() {
  std::ifstream file{"/proc/self/statm"};
  std::size_t pages = 0;
  file >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}


torch::optim::LBFGSOptions lbfgs_options(bool line_search) {
  auto options = torch::optim::LBFGSOptions(0.5).max_iter(4).history_size(5);
  if (line_search) options.line_search_fn("strong_wolfe");
  return options;
}

template <class Model, class Loss, class Recipe, class Pack>
auto make(std::shared_ptr<Model> model, Loss loss, Recipe recipe, Pack pack) {
  return tacit::Trainer{std::move(model), std::move(loss), std::move(recipe), tacit::Fp64{}, std::move(pack)};
}

}  // namespace

TEST_CASE("LBFGS in a run is LBFGS in a hand-written loop") {
  bool const line_search = GENERATE(false, true);
  Problem const data = problem();
  auto by_hand = std::make_shared<NetImpl>();
  {
    torch::optim::LBFGS optimizer(by_hand->parameters(), lbfgs_options(line_search));
    for (int update = 0; update < 6; ++update) {
      optimizer.step([&] {
        optimizer.zero_grad();
        at::Tensor const loss = torch::mse_loss(by_hand->forward(data.x), data.y);
        loss.backward();
        return loss;
      });
    }
  }
  auto train = [&](std::int64_t rows, std::int64_t accumulation) {
    auto model = std::make_shared<NetImpl>();
    auto trainer = make(model, tacit::loss::Mse{}, tacit::optim::from_torch<torch::optim::LBFGS>(lbfgs_options(line_search)), CallbackPack{});
    auto const result = trainer.train(data.batches(rows), {.epochs = 6, .gradient_accumulation = accumulation, .sink = quiet()});
    CHECK(result.updates == tacit::Updates{6});
    return flat(*model);
  };
  CHECK(torch::equal(train(48, 1), flat(*by_hand)));
  CHECK(distance(train(16, 3), flat(*by_hand)) < 1e-11);  // the closure's loss and gradient are those of the whole window
  CHECK(distance(train(10, 5), flat(*by_hand)) < 1e-11);  // the last batch has 8 rows
}

TEST_CASE("LBFGS finds the least squares solution in a few updates") {
  Problem const data = problem();
  auto model = std::make_shared<LineImpl>();
  auto const options = torch::optim::LBFGSOptions(1.0).line_search_fn("strong_wolfe").tolerance_grad(1e-14).tolerance_change(1e-16);
  auto trainer = make(model, tacit::loss::Mse{}, tacit::optim::from_torch<torch::optim::LBFGS>(options), CallbackPack{});
  trainer.train(data.batches(48), {.epochs = 3, .sink = quiet()});
  at::Tensor const a = torch::cat({data.x, torch::ones({48, 1}, torch::kDouble)}, 1);
  at::Tensor const exact = std::get<0>(torch::linalg_lstsq(a, data.y)).flatten();
  CHECK(distance(flat(*model), exact) < 1e-9);
}

TEST_CASE("LBFGS starts anew when parameters come or go") {
  Problem const data = problem();
  auto model = std::make_shared<NetImpl>();
  auto const last = model->layers->ptr<torch::nn::LinearImpl>(1);
  auto recipe = tacit::optim::from_torch<torch::optim::LBFGS>(lbfgs_options(false));
  tacit::ParameterSet set = tacit::parameters_of(*model);
  auto bound = recipe.bind(set);
  auto closure = [&] {
    set.clear_gradients();
    at::Tensor const loss = torch::mse_loss(model->forward(data.x), data.y);
    loss.backward();
    return loss.detach();
  };
  bound.step(set, closure);
  at::Tensor const before = last->weight.detach().clone();
  set.remove("layers.1.weight");
  bound.parameters_changed(set);
  bound.step(set, closure);  // the history of before has another length
  CHECK(torch::equal(last->weight, before));
  CHECK(bound.optimizer().param_groups().front().params().size() == 3);
  CHECK(static_cast<torch::optim::LBFGSOptions&>(bound.optimizer().param_groups().front().options()).max_iter() == 4);
}

TEST_CASE("clipping and a mask hold for an optimizer with a closure") {
  Problem const data = problem();
  auto model = std::make_shared<NetImpl>();
  auto trainer = make(model, tacit::loss::Mse{}, tacit::optim::from_torch<torch::optim::LBFGS>(lbfgs_options(false)), CallbackPack{MaskAll{}});
  at::Tensor const before = flat(*model);
  trainer.train(data.batches(48), {.epochs = 2, .clip = {.norm = 1e-3}, .sink = quiet()});
  CHECK(torch::equal(flat(*model), before));
  auto clipped = std::make_shared<NetImpl>();
  auto options = torch::optim::LBFGSOptions(1.0).max_iter(1).max_eval(1);
  auto other = make(clipped, tacit::loss::Mse{}, tacit::optim::from_torch<torch::optim::LBFGS>(options), CallbackPack{});
  other.train(data.batches(48), {.epochs = 1, .clip = {.norm = 1e-3}, .sink = quiet()});
  // Its first direction is the gradient times min(1, 1 / |gradient|_1), which for a clipped one is 1.
  CHECK(std::abs((flat(*clipped) - before).norm().item<double>() - 1e-3) < 1e-6);
}

TEST_CASE("a GPU's out-of-memory error halves the batch, in the forward and in the backward pass") {
  bool const in_backward = GENERATE(false, true);
  std::int64_t const accumulation = GENERATE(1, 3);
  Problem const data = problem();
  auto train = [&](std::int64_t memory, auto pack) {
    auto model = std::make_shared<NetImpl>();
    model->memory = memory;
    model->in_backward = in_backward;
    auto trainer = make(model, tacit::loss::Mse{}, tacit::optim::AdamW{.lr = 1e-2}, std::move(pack));
    auto const result = trainer.train(data.batches(16), {.epochs = 10, .gradient_accumulation = accumulation, .sink = quiet()});
    return std::pair{flat(*model), result[tacit::tag::train_loss{}]};
  };
  auto const whole = train(1000, CallbackPack{});
  auto const parts = train(5, CallbackPack{AutoMicroBatch{}});
  CHECK(distance(parts.first, whole.first) < 1e-12);
  CHECK(std::abs(parts.second - whole.second) < 1e-12 * whole.second);
  CHECK_THROWS_AS(train(5, CallbackPack{}), c10::OutOfMemoryError);
}

TEST_CASE("the CPU's real memory halves the batch") {
  // In a child whose address space is limited: the hidden layer of a whole batch takes 512 MiB and more in its two passes.
  std::fflush(nullptr);
  pid_t const child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int status = 9;
    try {
      torch::manual_seed(1);
      torch::nn::Sequential model{torch::nn::Linear(1, 4096), torch::nn::ReLU(), torch::nn::Linear(4096, 1)};
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::AdamW{.lr = 1e-3}, CallbackPack{AutoMicroBatch{}}};
      std::vector<std::pair<at::Tensor, at::Tensor>> const batches{{torch::ones({32768, 1}), torch::zeros({32768, 1})}};
      rlimit limit{};
      getrlimit(RLIMIT_AS, &limit);
      limit.rlim_cur = address_space() + (std::size_t{640} << 20);
      setrlimit(RLIMIT_AS, &limit);
      std::ostringstream text;
      auto const result = trainer.train(batches, {.epochs = 2, .sink = tacit::Sink{text}});
      bool const halved = text.str().find("AutoMicroBatch: out of memory") != std::string::npos;
      status = !halved ? 3 : result.updates != tacit::Updates{2} ? 4 : !std::isfinite(result[tacit::tag::train_loss{}]) ? 5 : 0;
    } catch (std::exception const& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    _exit(status);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

}  // namespace window_again_tests
