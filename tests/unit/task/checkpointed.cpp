// needs: libtorch
#include "tacit/task/checkpointed.hpp"

#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "tacit/data/tensor_dataset.hpp"
#include "tacit/policy/precision/bf16.hpp"
#include "tacit/policy/precision/fp16.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/unit.hpp"
#include "tacit/train/trainer.hpp"

namespace checkpointed_tests {
namespace {

struct Block : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(8, 32))};
  torch::nn::Dropout dropout{register_module("dropout", torch::nn::Dropout(0.5))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(32, 8))};
  int* calls = nullptr;

  torch::Tensor forward(torch::Tensor const& x) {
    if (calls != nullptr) ++*calls;
    return second(dropout(torch::relu(first(x))));
  }
};

/// The same network with plain and with checkpointed blocks.
template <template <class> class Wrap>
struct Net : torch::nn::Module {
  Wrap<Block> one{register_module("one", std::make_shared<Block>())};
  Wrap<Block> two{register_module("two", std::make_shared<Block>())};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(8, 1))};

  torch::Tensor forward(torch::Tensor const& x) { return head(two(one(x))); }
};

template <class Model>
std::shared_ptr<Model> seeded() {
  torch::manual_seed(11);
  return std::make_shared<Model>();
}

bool same(torch::nn::Module const& a, torch::nn::Module const& b, bool gradients) {
  auto const left = a.named_parameters();
  auto const right = b.named_parameters();
  bool equal = left.size() == right.size();
  for (auto const& item : left) {
    auto const& other = right[item.key()];
    equal = equal && item.value().equal(other);
    if (gradients) equal = equal && item.value().grad().defined() && item.value().grad().equal(other.grad());
  }
  return equal;
}

}  // namespace

TEST_CASE("gradients, losses and the random numbers after are those of the plain run, dropout and autocast included") {
  for (auto const type : {at::kFloat, at::kBFloat16}) {
    for (bool const input_wants_gradient : {false, true}) {
      CAPTURE(type, input_wants_gradient);
      auto const plain = seeded<Net<tacit::Unit>>();
      auto const saving = seeded<Net<tacit::Checkpointed>>();
      REQUIRE(same(*plain, *saving, false));
      auto const x = torch::randn({16, 8});
      auto const run = [&](auto& net) {
        torch::manual_seed(5);
        auto const input = x.clone().set_requires_grad(input_wants_gradient);
        at::Tensor loss;
        if (type == at::kFloat) {
          loss = net.forward(input).pow(2).mean();
        } else {
          tacit::AutocastScope const autocast{at::kCPU, type};
          loss = net.forward(input).to(at::kFloat).pow(2).mean();
        }
        auto const between = torch::rand({3});
        loss.backward();
        return std::vector{loss.detach(), between, torch::rand({3}), input_wants_gradient ? input.grad() : torch::zeros({1})};
      };
      int calls = 0;
      saving->one->calls = &calls;
      auto const one = run(*plain);
      auto const two = run(*saving);
      for (std::size_t i = 0; i < one.size(); ++i) {
        CAPTURE(i);
        CHECK(one[i].equal(two[i]));
      }
      CHECK(same(*plain, *saving, true));
      CHECK(calls == 2);  // it did run again
    }
  }
}

TEST_CASE("without a graph the child runs once, and gradients of some inputs alone are an error") {
  auto const net = seeded<Net<tacit::Checkpointed>>();
  int calls = 0;
  net->one->calls = &calls;
  {
    torch::NoGradGuard const no_grad;
    net->forward(torch::ones({2, 8}));
  }
  CHECK(calls == 1);
  auto const x = torch::ones({2, 8}).requires_grad_();
  try {
    torch::autograd::grad({net->forward(x).sum()}, {x});
    FAIL("accepted");
  } catch (tacit::Error const& error) {
    CHECK(error.code() == "TACIT-RU23");
  }
}

TEST_CASE("a trainer's run is the same to the last bit, with float16 and accumulation") {
  torch::manual_seed(2);
  auto const x = torch::randn({32, 8});
  tacit::data::TensorDataset const data{x, x.sum(1, true)};
  auto const train = [&](auto net) {
    tacit::Trainer trainer{net, tacit::loss::Mse{}, tacit::optim::Adam{.lr = 0.01}, tacit::Fp16{}, tacit::CallbackPack{}};
    torch::manual_seed(7);
    trainer.train(data, {.epochs = 3, .per_device_batch_size = 4, .gradient_accumulation = 2, .sink = tacit::Sink::none()});
    return net;
  };
  CHECK(same(*train(seeded<Net<tacit::Unit>>()), *train(seeded<Net<tacit::Checkpointed>>()), false));
}

// --- fault C2: what the first run sees, the second one sees, too ---

namespace {

/// Draws random numbers, and tells what its forward pass sees.
struct Watched : torch::nn::Module {
  torch::nn::Linear linear{register_module("linear", torch::nn::Linear(4, 4))};
  torch::nn::Dropout dropout{register_module("dropout", torch::nn::Dropout(0.5))};
  torch::Tensor shift{register_buffer("shift", torch::ones({4}))};
  bool fails = false;
  std::vector<std::vector<int>> seen{};

  torch::Tensor forward(torch::Tensor const& x) {
    seen.push_back({is_training(), dropout->is_training(), linear->weight.requires_grad(), linear->bias.requires_grad(), shift.requires_grad(), x.requires_grad(),
                    at::GradMode::is_enabled(), at::autocast::is_autocast_enabled(at::kCPU), static_cast<int>(at::autocast::get_autocast_dtype(at::kCPU)),
                    at::autocast::is_autocast_cache_enabled(), static_cast<int>(c10::get_default_dtype_as_scalartype()), at::globalContext().deterministicAlgorithms(),
                    at::globalContext().userEnabledMkldnn(), at::globalContext().userEnabledFlashSDP(), at::globalContext().userEnabledMathSDP()});
    if (fails) throw std::runtime_error{"broken on purpose"};
    auto const y = dropout(torch::relu(linear(x)));
    return y * torch::ones({4}) + shift.to(y.scalar_type());
  }
};
struct Watching : torch::nn::Module {
  torch::nn::Linear before{register_module("before", torch::nn::Linear(4, 4))};
  std::shared_ptr<Watched> unit{register_module("unit", std::make_shared<Watched>())};
  bool saves = false;
  torch::Tensor forward(torch::Tensor const& x) { return saves ? tacit::Checkpointed<Watched>{unit}(before(x)) : unit->forward(before(x)); }
};

/// All that a test changes, to compare it before and after.
std::vector<int> state_of(Watching& net) {
  auto& c = at::globalContext();
  std::vector<int> all{at::GradMode::is_enabled(), at::autocast::is_autocast_enabled(at::kCPU), static_cast<int>(at::autocast::get_autocast_dtype(at::kCPU)),
                       at::autocast::is_autocast_cache_enabled(), static_cast<int>(c10::get_default_dtype_as_scalartype()), c.deterministicAlgorithms(), c.userEnabledMkldnn(),
                       c.userEnabledFlashSDP(), c.userEnabledMathSDP()};
  for (auto const& module : net.modules()) all.push_back(module->is_training());
  for (auto const& tensor : net.parameters()) all.push_back(tensor.requires_grad());
  for (auto const& tensor : net.buffers()) all.push_back(tensor.requires_grad());
  return all;
}

struct Law {
  std::string name;
  std::function<void(Watching&)> first;   // before the forward pass
  std::function<void(Watching&)> second;  // between it and the backward pass
};
std::vector<Law> laws() {
  auto const autocast = [](bool on, at::ScalarType type) {
    return [=](Watching&) {
      at::autocast::set_autocast_enabled(at::kCPU, on);
      at::autocast::set_autocast_dtype(at::kCPU, type);
    };
  };
  auto const train = [](bool on) { return [=](Watching& net) { net.train(on); }; };
  return {
      {"nothing", [](Watching&) {}, [](Watching&) {}},
      {"training, then evaluation", train(true), train(false)},
      {"evaluation, then training", train(false), train(true)},
      {"mixed modes", [](Watching& net) { net.unit->dropout->train(false); }, train(true)},
      {"frozen weight, then trained", [](Watching& net) { net.unit->linear->weight.set_requires_grad(false); }, [](Watching& net) { net.unit->linear->weight.set_requires_grad(true); }},
      {"trained weight, then frozen", [](Watching&) {}, [](Watching& net) { net.unit->linear->weight.set_requires_grad(false); }},
      {"the unit frozen, then trained",
       [](Watching& net) {
         for (auto& tensor : net.unit->parameters()) tensor.set_requires_grad(false);
       },
       [](Watching& net) {
         for (auto& tensor : net.unit->parameters()) tensor.set_requires_grad(true);
       }},
      {"a buffer with a gradient, then without", [](Watching& net) { net.unit->shift.set_requires_grad(true); }, [](Watching& net) { net.unit->shift.set_requires_grad(false); }},
      {"autocast off, then on", [](Watching&) {}, autocast(true, at::kBFloat16)},
      {"autocast in bfloat16, then off", autocast(true, at::kBFloat16), autocast(false, at::kBFloat16)},
      {"autocast in float16, then bfloat16", autocast(true, at::kHalf), autocast(true, at::kBFloat16)},
      {"autocast cache off, then on",
       [=](Watching& net) {
         autocast(true, at::kBFloat16)(net);
         at::autocast::set_autocast_cache_enabled(false);
       },
       [](Watching&) { at::autocast::set_autocast_cache_enabled(true); }},
      {"default dtype", [](Watching&) { c10::set_default_dtype(c10::scalarTypeToTypeMeta(at::kDouble)); }, [](Watching&) { c10::set_default_dtype(c10::scalarTypeToTypeMeta(at::kFloat)); }},
      {"deterministic algorithms", [](Watching&) { at::globalContext().setDeterministicAlgorithms(true, true); }, [](Watching&) { at::globalContext().setDeterministicAlgorithms(false, false); }},
      {"oneDNN", [](Watching&) { at::globalContext().setUserEnabledMkldnn(false); }, [](Watching&) { at::globalContext().setUserEnabledMkldnn(true); }},
      {"attention kernels", [](Watching&) { at::globalContext().setSDPUseFlash(false); }, [](Watching&) { at::globalContext().setSDPUseFlash(true); }},
      {"generators", [](Watching&) { torch::manual_seed(3); }, [](Watching&) { torch::manual_seed(4); }},
      {"no graph recorded", [](Watching&) {}, [](Watching&) { at::GradMode::set_enabled(false); }},
  };
}
void reset_state() {
  at::GradMode::set_enabled(true);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::set_autocast_cache_enabled(true);
  at::autocast::clear_cache();
  c10::set_default_dtype(c10::scalarTypeToTypeMeta(at::kFloat));
  auto& c = at::globalContext();
  c.setDeterministicAlgorithms(false, false);
  c.setUserEnabledMkldnn(true);
  c.setSDPUseFlash(true);
}

}  // namespace

TEST_CASE("C2: the second run of a unit sees what the first one saw, and leaves all as it was") {
  for (Law const& law : laws()) {
    CAPTURE(law.name);
    std::vector<std::vector<at::Tensor>> results;
    for (bool const saves : {false, true}) {
      auto const net = seeded<Watching>();
      net->saves = saves;
      reset_state();
      law.first(*net);
      auto const x = torch::linspace(-1, 1, 32, torch::kFloat).reshape({8, 4});
      torch::manual_seed(5);
      auto const loss = net->forward(x).to(at::kFloat).square().mean();
      auto const between = torch::rand({2});
      law.second(*net);
      auto const before = state_of(*net);
      loss.backward();
      CHECK(state_of(*net) == before);
      results.push_back({loss.detach(), between, torch::rand({2})});
      for (auto const& tensor : net->parameters()) results.back().push_back(tensor.grad());
      results.back().push_back(net->unit->shift.grad());
      if (saves && net->before->weight.requires_grad()) {
        REQUIRE(net->unit->seen.size() == 2);
        CHECK(net->unit->seen[0] == net->unit->seen[1]);
      }
      if (saves) {
        // Also where the second run fails.
        reset_state();
        law.first(*net);
        auto const again = net->forward(x).to(at::kFloat).square().mean();
        law.second(*net);
        net->unit->fails = true;
        auto const now = state_of(*net);
        CHECK_THROWS_AS(again.backward(), std::runtime_error);
        CHECK(state_of(*net) == now);
      }
      reset_state();
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      CAPTURE(i);
      REQUIRE(results[0][i].defined() == results[1][i].defined());
      if (results[0][i].defined()) CHECK(results[0][i].equal(results[1][i]));
    }
  }
}

namespace {

/// A stack of units, of which some hold others.
template <template <class> class Wrap>
struct Pair : torch::nn::Module {
  Wrap<Block> one{register_module("one", std::make_shared<Block>())};
  Wrap<Block> two{register_module("two", std::make_shared<Block>())};
  torch::Tensor forward(torch::Tensor const& x) { return two(one(x)); }
};
template <template <class> class Wrap>
struct Nested : torch::nn::Module {
  Wrap<Pair<Wrap>> pair{register_module("pair", std::make_shared<Pair<Wrap>>())};
  Wrap<Block> last{register_module("last", std::make_shared<Block>())};
  torch::Tensor forward(torch::Tensor const& x) { return last(pair(x)); }
};

struct Rows {
  at::Tensor x;
};
struct Lost {
  at::Tensor loss;
};

/// Two networks that train against each other.
template <template <class> class Wrap>
auto adversaries(auto precision, int accumulation) {
  auto const critic = seeded<Nested<Wrap>>();
  auto const generator = std::make_shared<Nested<Wrap>>();
  auto const tell = [generator](auto& net, Rows const& batch, auto&) {
    // In one call: two would sum a weight's gradients in another order.
    auto const judged = net.forward(torch::cat({batch.x, generator->forward(batch.x).to(at::kFloat)})).to(at::kFloat);
    return Lost{judged.narrow(0, 0, batch.x.size(0)).mean() - judged.narrow(0, batch.x.size(0), batch.x.size(0)).mean()};
  };
  auto const deceive = [critic](auto& net, Rows const& batch, auto&) { return Lost{critic->forward(net.forward(batch.x)).mean().to(at::kFloat)}; };
  tacit::Trainer trainer{tacit::Task{tacit::phase<"critic">(critic, tacit::optim::Sgd{.lr = 0.1}, tell), tacit::phase<"generator">(generator, tacit::optim::Sgd{.lr = 0.1}, deceive)},
                         precision, tacit::CallbackPack{}};
  torch::manual_seed(8);
  std::vector<Rows> data;
  for (int i = 0; i < 4; ++i) data.push_back({torch::randn({4, 8})});
  trainer.train(data, data, {.epochs = 2, .gradient_accumulation = accumulation, .evaluation = {.every_updates = 1}, .sink = tacit::Sink::none()});
  std::vector<at::Tensor> all;
  for (auto const& net : {critic, generator}) {
    for (auto const& tensor : net->parameters()) {
      CHECK_FALSE(tensor.grad().defined());
      all.push_back(tensor.detach());
    }
  }
  return all;
}

}  // namespace

TEST_CASE("C2: checkpointed units in several phases, nested ones too, train as the plain ones") {
  for (int const accumulation : {1, 2}) {
    auto const compare = [&](auto precision) {
      auto const plain = adversaries<tacit::Unit>(precision, accumulation);
      auto const saving = adversaries<tacit::Checkpointed>(precision, accumulation);
      REQUIRE(plain.size() == saving.size());
      for (std::size_t i = 0; i < plain.size(); ++i) CHECK(plain[i].equal(saving[i]));
    };
    compare(tacit::Fp32{});
    compare(tacit::Bf16{});
    compare(tacit::Fp16{});
  }
}

TEST_CASE("C2: a unit of which nothing requires a gradient is the plain child") {
  auto const net = seeded<Block>();
  for (auto& tensor : net->parameters()) tensor.set_requires_grad(false);
  tacit::Checkpointed<Block> const unit{net};
  CHECK_FALSE(unit(torch::ones({2, 8})).requires_grad());
  CHECK(unit(torch::ones({2, 8}).set_requires_grad(true)).requires_grad());
  // What comes out may be changed in place, as the plain child's.
  net->first->weight.set_requires_grad(true);
  at::Tensor output = unit(torch::ones({2, 8}));
  torch::relu_(output).sum().backward();
  CHECK(net->first->weight.grad().defined());
}

}  // namespace checkpointed_tests
