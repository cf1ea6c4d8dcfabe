// needs: libtorch
#include "tacit/task/optim/lookahead.hpp"

#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/optim/lbfgs.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/callbacks/terminate_on_nan.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/task/optim/adagrad.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/rmsprop.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/optim/torch_optim.hpp"
#include "tacit/train/trainer.hpp"

namespace optim = tacit::optim;
using tacit::ParameterSet;
using Names = std::vector<std::string>;

namespace lookahead_tests {
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

// --- wrappers of optimizers of LibTorch, and around groups of unequal state ---

namespace {

/// A set of two parameters with the gradients that `gradient` gives.
struct Two {
  at::Tensor weight = at::ones({2, 2}, at::kDouble).set_requires_grad(true);
  at::Tensor bias = at::ones({2}, at::kDouble).set_requires_grad(true);
  ParameterSet set{};
  Two() {
    set.add("weight", weight);
    set.add("bias", bias);
  }
  void gradients(int t) {
    weight.mutable_grad() = at::full_like(weight, gradient(t));
    bias.mutable_grad() = at::full_like(bias, gradient(t + 1));
  }
};

/// Lookahead around a recipe against the recipe and the slow weights by hand.
template <class Recipe>
void check_by_hand(Recipe const& inner) {
  Two one;
  Two other;
  std::vector<optim::BoundLookahead<Recipe, ParameterSet>> held;
  held.push_back(optim::Lookahead<Recipe>{.inner = inner, .every = 2}.bind(one.set));
  auto plain = inner.bind(other.set);
  std::vector<at::Tensor> slow{at::ones({2, 2}, at::kDouble), at::ones({2}, at::kDouble)};
  std::vector<std::size_t> slots;
  for (int t = 0; t < 12; ++t) {
    if (t == 5) {  // moved, and told that nothing changed
      auto moved = std::move(held.back());
      held.clear();
      held.push_back(std::move(moved));
      held.back().parameters_changed(one.set);
      plain.parameters_changed(other.set);
    }
    one.gradients(t);
    other.gradients(t);
    held.back().step(one.set);
    plain.step(other.set);
    at::NoGradGuard const guard;
    if (t % 2 == 1) {
      std::size_t k = 0;
      for (auto& parameter : other.set) {
        slow[k].lerp_(parameter.model, 0.5);
        parameter.model.copy_(slow[k++]);
      }
    }
    for (auto const& parameter : one.set) slots.push_back(parameter.slots.size());
  }
  CHECK(one.weight.allclose(other.weight, 0.0, 1e-12));
  CHECK(one.bias.allclose(other.bias, 0.0, 1e-12));
  for (std::size_t at = 2; at < slots.size(); ++at) CHECK(slots[at] == slots[at - 2]);
  std::size_t at = 0;
  for (auto const& parameter : other.set) CHECK(slots[at++] == parameter.slots.size() + 1);
}

template <class Recipe>
optim::Groups<Recipe> grouped(Recipe base, Recipe bias) {
  return {.base = std::move(base), .groups = {{.name = "bias", .takes = optim::named("bias"), .options = std::move(bias)}}};
}

auto torch_adam(double lr) { return optim::from_torch<torch::optim::Adam>(torch::optim::AdamOptions(lr)); }

}  // namespace

TEST_CASE("C12: Lookahead around groups whose optimizers keep different state") {
  check_by_hand(grouped(optim::Sgd{.lr = 0.1, .momentum = 0.9}, optim::Sgd{.lr = 0.1}));
  check_by_hand(grouped(optim::Sgd{.lr = 0.1}, optim::Sgd{.lr = 0.1, .momentum = 0.9, .dampening = 0.5}));
  check_by_hand(grouped(optim::RMSprop{.lr = 0.01, .momentum = 0.5}, optim::RMSprop{.lr = 0.01, .centered = true}));
  check_by_hand(grouped(optim::Adam{.lr = 0.01}, optim::Adam{.lr = 0.01, .amsgrad = true}));
  check_by_hand(grouped(optim::AdamW{.lr = 0.01, .amsgrad = true}, optim::AdamW{.lr = 0.01, .weight_decay = 0.0}));
  check_by_hand(grouped(optim::Adagrad{.lr = 0.1}, optim::Adagrad{.lr = 0.1, .lr_decay = 0.1}));
  check_by_hand(torch_adam(0.01));
  check_by_hand(grouped(torch_adam(0.01), torch_adam(0.1)));

  // The state is named by what it is, in each group.
  Two two;
  auto bound = optim::Lookahead<optim::Groups<optim::RMSprop>>{.inner = grouped(optim::RMSprop{.momentum = 0.5}, optim::RMSprop{.centered = true})}.bind(two.set);
  CHECK(two.set.slot_names(*two.set.find("weight")) == Names{"square_avg", "momentum_buffer", "slow"});
  CHECK(two.set.slot_names(*two.set.find("bias")) == Names{"square_avg", "grad_avg", "slow"});
  CHECK(bound.inner().has_group("bias"));
}

TEST_CASE("C28: the rate of an optimizer of LibTorch is reached through wrappers and groups") {
  Two two;
  auto bound = optim::Lookahead{.inner = grouped(torch_adam(0.01), torch_adam(0.1))}.bind(two.set);
  std::vector<double> rates;
  tacit::detail::for_each_group(bound, [&rates](std::string_view, auto& one) {
    tacit::detail::write_field<"lr">(one, 0.5 * tacit::detail::read_field<"lr">(one));
    rates.push_back(one.optimizer().param_groups().front().options().get_lr());
  });
  CHECK(rates == std::vector<double>{0.05, 0.005});
}

TEST_CASE("Lookahead around an optimizer that computes the loss several times") {
  at::Tensor const p = at::full({1}, 4.0, at::kDouble).set_requires_grad(true);
  ParameterSet set;
  set.add("p", p);
  auto bound = optim::Lookahead{.inner = optim::from_torch<torch::optim::LBFGS>(torch::optim::LBFGSOptions(1.0).max_iter(20)), .every = 1, .alpha = 0.5}.bind(set);
  static_assert(decltype(bound)::takes_closure);
  int calls = 0;
  bound.step(set, [&] {
    ++calls;
    set.clear_gradients();
    at::Tensor const loss = (p * p).sum();
    loss.backward();
    return loss.detach();
  });
  CHECK(calls > 1);
  CHECK(std::abs(p.item<double>() - 2.0) < 1e-6);  // half way to the minimum
}

TEST_CASE("an update with a closure that is taken back is in no slow weight") {
  auto const recipe = optim::Lookahead{.inner = optim::from_torch<torch::optim::LBFGS>(torch::optim::LBFGSOptions(0.5).max_iter(3)), .every = 1, .alpha = 0.5};
  std::vector<tacit::data::Batch> const batches(1, tacit::data::Batch{at::ones({8, 1}), at::ones({8, 1})});
  int calls = 0;
  int bad = 0;
  auto const loss = [&](at::Tensor const& p, at::Tensor const& t) {
    at::Tensor const value = (p - t).square().mean();
    return ++calls == bad ? value * std::nan("") : value;
  };
  auto const trained = [&](bool broken_first) {
    torch::nn::Linear model{1, 1};
    {
      at::NoGradGuard const guard;
      for (auto& parameter : model->parameters()) parameter.fill_(4.0);
    }
    tacit::Trainer trainer{model, loss, recipe, tacit::CallbackPack{tacit::TerminateOnNaN{.bad_updates_in_a_row = 3}}};
    tacit::TrainOptions const options{.epochs = 1, .sink = tacit::Sink::none()};
    if (broken_first) {
      calls = 0;
      bad = 3;  // after the first loss: a later one of the same update
      trainer.train(batches, options);
      CHECK(model->weight.item<float>() == 4.0F);
    }
    bad = 0;
    trainer.train(batches, options);
    return std::pair{model->weight.item<float>(), model->bias.item<float>()};
  };
  auto const expected = trained(false);
  CHECK(std::isfinite(expected.first));
  CHECK(expected.first != 4.0F);
  CHECK(trained(true) == expected);
}

TEST_CASE("slow weights follow weights that are loaded between two runs") {
  auto const check = [](auto const& recipe, auto const& load, bool is_replaced) {
    torch::nn::Linear model{2, 1};
    auto const loss = [](at::Tensor const& p, at::Tensor const& t) { return (p - t).square().mean(); };
    tacit::Trainer trainer{model, loss, recipe, tacit::CallbackPack{}};
    std::vector<tacit::data::Batch> const batches(3, tacit::data::Batch{at::ones({4, 2}), at::ones({4, 1})});
    tacit::TrainOptions const options{.epochs = 1, .sink = tacit::Sink::none()};
    trainer.train(batches, options);
    load(*model);
    std::vector<at::Tensor> slow;
    std::vector<at::Tensor> loaded;
    auto& parameters = trainer.view().parameters();
    for (auto const& one : parameters) {
      slow.push_back(one.slots.back().clone());
      loaded.push_back(one.model.detach().clone());
    }
    // The fourth update: no step of the slow weights.
    trainer.train(batches, {.limit = {.updates = 1}, .sink = tacit::Sink::none()});
    std::size_t at = 0;
    for (auto const& one : parameters) {
      CHECK(one.slots.back().equal(is_replaced ? loaded[at] : slow[at]));
      ++at;
    }
  };
  auto const fill = [](torch::nn::LinearImpl& model) {
    at::NoGradGuard const guard;
    for (auto& parameter : model.parameters()) parameter.fill_(4.0);
  };
  auto const other_memory = [](torch::nn::LinearImpl& model) {  // as torch::load
    for (auto& parameter : model.parameters()) parameter.set_data(at::full_like(parameter, 4.0));
  };
  auto const data = [](torch::nn::LinearImpl& model) {
    for (auto& parameter : model.parameters()) parameter.data().fill_(4.0);
  };
  auto const nothing = [](torch::nn::LinearImpl&) {};
  auto const same = [](torch::nn::LinearImpl& model) {
    at::NoGradGuard const guard;
    for (auto& parameter : model.parameters()) parameter.copy_(parameter.clone());
  };
  optim::Lookahead<optim::Sgd> const plain{.inner = {.lr = 0.1}, .every = 5};
  check(plain, fill, true);
  check(plain, other_memory, true);
  check(plain, data, true);
  check(plain, nothing, false);
  check(plain, same, false);
  check(optim::Groups<optim::Lookahead<optim::Sgd>>{.base = plain}, fill, true);
  check(optim::Lookahead<optim::Groups<optim::Sgd>>{.inner = {.base = {.lr = 0.1}}, .every = 5}, fill, true);
}

TEST_CASE("F27: a plateau and a schedule over from_torch, alone, in groups and in Lookahead") {
  auto const rate_after = [](auto const& optimizer) {
    at::Tensor const x = at::ones({8, 1});
    tacit::Trainer trainer{torch::nn::Linear(1, 1), [](at::Tensor const& p, at::Tensor const& t) { return (p - t).square().mean(); }, optimizer,
                           tacit::CallbackPack{tacit::ReduceOnPlateau<tacit::tag::train_loss>{.factor = 0.5, .patience = 0, .threshold = 1e9}}};
    std::vector<tacit::data::Batch> const batches(2, tacit::data::Batch{x, x});
    trainer.train(batches, {.epochs = 2, .sink = tacit::Sink::none()}, tacit::lr(tacit::schedule::constant(0.25)));
    std::vector<double> rates;
    tacit::detail::for_each_group(trainer.view().optimizer(), [&rates](std::string_view, auto& one) { rates.push_back(tacit::detail::read_field<"lr">(one)); });
    return rates;
  };
  CHECK(rate_after(torch_adam(0.125)) == std::vector<double>{0.0625});
  CHECK(rate_after(optim::Lookahead{.inner = torch_adam(0.125)}) == std::vector<double>{0.0625});
  CHECK(rate_after(optim::Lookahead{.inner = grouped(torch_adam(0.125), torch_adam(0.5))}) == std::vector<double>{0.25, 0.0625});
}

}  // namespace lookahead_tests
