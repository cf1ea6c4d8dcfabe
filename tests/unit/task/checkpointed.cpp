// needs: libtorch
#include "tacit/task/checkpointed.hpp"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <torch/torch.h>

#include "tacit/data/tensor_dataset.hpp"
#include "tacit/policy/precision/fp16.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/task/unit.hpp"
#include "tacit/train/trainer.hpp"

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
