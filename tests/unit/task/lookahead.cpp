// needs: libtorch
#include "tacit/task/optim/lookahead.hpp"

#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/train/trainer.hpp"

namespace optim = tacit::optim;
using tacit::ParameterSet;
using Names = std::vector<std::string>;

namespace {

double gradient(int t) { return 0.25 * ((7 * t) % 5 - 1); }

/// SGD with momentum and Lookahead by hand, in double numbers; `masked` updates do not happen.
std::vector<double> by_hand(int updates, std::vector<bool> const& masked) {
  double fast = 1.0;
  double slow = 1.0;
  double velocity = 0.0;
  int done = 0;
  std::vector<double> all;
  for (int t = 0; t < updates; ++t) {
    if (!masked.at(static_cast<std::size_t>(t))) {
      velocity = 0.5 * velocity + gradient(t);
      fast -= 0.1 * velocity;
      if (++done % 3 == 0) fast = slow += 0.25 * (fast - slow);
    }
    all.push_back(fast);
  }
  return all;
}

optim::Lookahead<optim::Sgd> const recipe{.inner = {.lr = 0.1, .momentum = 0.5}, .every = 3, .alpha = 0.25};

std::vector<double> by_optimizer(int updates, std::vector<bool> const& masked) {
  at::Tensor const p = at::ones({2}, at::kDouble).set_requires_grad(true);
  ParameterSet set;
  set.add("p", p);
  auto optimizer = recipe.bind(set);
  std::vector<double> all;
  for (int t = 0; t < updates; ++t) {
    p.mutable_grad() = at::full_like(p, gradient(t));
    at::Tensor const mask = masked.at(static_cast<std::size_t>(t)) ? at::ones({}) : at::zeros({});
    optimizer.step(set, {.mask = &mask});
    all.push_back(p[1].item<double>());
  }
  CHECK(set.slot_names() == Names{"momentum", "slow"});
  return all;
}

template <class Body>
std::string code_of(Body const& body) {
  try {
    body();
    return "no error";
  } catch (tacit::Error const& error) {
    return std::string{error.code()};
  }
}

}  // namespace

TEST_CASE("slow weights step towards the fast ones every so many updates, which go on from there") {
  std::vector<bool> masked(20, false);
  auto const plain = by_hand(20, masked);
  auto const made = by_optimizer(20, masked);
  for (std::size_t t = 0; t < 20; ++t) CHECK(std::abs(plain[t] - made[t]) <= 1e-14);
  masked[2] = masked[7] = masked[8] = true;
  auto const some = by_hand(20, masked);
  auto const left = by_optimizer(20, masked);
  for (std::size_t t = 0; t < 20; ++t) CHECK(std::abs(some[t] - left[t]) <= 1e-14);
}

TEST_CASE("slow weights stay with their parameters, also where the inner optimizer makes new slots") {
  at::Tensor const a = at::ones({2}).set_requires_grad(true);
  at::Tensor const b = at::ones({2}).set_requires_grad(true);
  ParameterSet set;
  set.add("a", a);
  auto optimizer = optim::Lookahead<optim::Sgd>{.inner = {.lr = 0.5}, .every = 2}.bind(set);
  CHECK(set.slot_names() == Names{"slow"});
  a.mutable_grad() = at::ones({2});
  optimizer.step(set);
  set.add("b", b);
  optimizer.parameters_changed(set);
  CHECK(set.find("a")->slots.at(0).equal(at::ones({2})));  // of before the first update
  CHECK(set.find("b")->slots.at(0).equal(at::ones({2})));
  a.mutable_grad() = at::ones({2});
  optimizer.inner().options.momentum = 0.5;  // momentum from now on: a slot more
  optimizer.step(set);
  CHECK(set.slot_names() == Names{"momentum", "slow"});
  CHECK(a.equal(at::full_like(a, 0.5)));  // 1 -> 0.5 -> 0, and half way from 1
  CHECK(set.find("a")->slots.at(1).equal(at::full_like(a, 0.5)));

  // An error of the inner optimizer loses nothing.
  a.mutable_grad() = at::ones({3});
  CHECK(code_of([&] { optimizer.step(set); }) == "TACIT-RC37");
  CHECK(set.find("a")->slots.at(1).equal(at::full_like(a, 0.5)));

  CHECK(code_of([&] { optim::Lookahead<optim::Adam>{.every = 0}.bind(set); }) == "TACIT-RC59");
  CHECK(code_of([&] { optim::Lookahead<optim::Adam>{.alpha = 0.0}.bind(set); }) == "TACIT-RC59");
}

TEST_CASE("a trainer takes Lookahead, and a schedule sets the inner rate") {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, optim::Lookahead<fake::Sgd>{.inner = {.lr = 0.2}, .every = 2},
                         tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 2, .per_device_batch_size = 2, .sink = tacit::Sink::none()}, tacit::lr(tacit::schedule::constant(0.5)));
  CHECK(trainer.view().optimizer().inner().lr == 0.2);
  CHECK(trainer.view().optimizer().updates() == 8);
}
