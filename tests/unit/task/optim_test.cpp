// needs: libtorch
#include <ATen/ops/_neg_view.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <concepts>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "tacit/task/optim/adagrad.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/rmsprop.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/optim/torch_optim.hpp"

namespace optim_tests {
namespace {

using Catch::Matchers::ContainsSubstring;
using tacit::Parameter;
using tacit::ParameterSet;
using tacit::optim::Adagrad;
using tacit::optim::Adam;
using tacit::optim::AdamW;
using tacit::optim::from_torch;
using tacit::optim::RMSprop;
using tacit::optim::Sgd;
using traits = tacit::tensor_traits<at::Tensor>;

using TorchSgd = tacit::optim::TorchOptim<torch::optim::SGD, torch::optim::SGDOptions>;

template <class Recipe>
constexpr bool is_optimizer =
    tacit::optimizer_recipe<Recipe, ParameterSet>&& std::same_as<tacit::slot_of_t<Recipe>, tacit::slot::optimizer>;
static_assert(is_optimizer<Sgd> && std::is_aggregate_v<Sgd>);
static_assert(is_optimizer<AdamW> && std::is_aggregate_v<AdamW>);
static_assert(is_optimizer<Adam> && std::is_aggregate_v<Adam>);
static_assert(is_optimizer<Adagrad> && std::is_aggregate_v<Adagrad>);
static_assert(is_optimizer<RMSprop> && std::is_aggregate_v<RMSprop>);
static_assert(is_optimizer<TorchSgd> && std::is_aggregate_v<TorchSgd>);
static_assert(tacit::optim::BoundSgd::maskable && tacit::optim::BoundAdamW::maskable);
static_assert(!tacit::optim::BoundTorchOptim<torch::optim::SGD>::maskable);

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

ParameterSet set_of(std::vector<at::Tensor> const& tensors) {
  ParameterSet set;
  for (std::size_t i = 0; i < tensors.size(); ++i) set.add("p" + std::to_string(i), tensors[i]);
  return set;
}

Parameter& at_index(ParameterSet& set, std::ptrdiff_t i) { return *(set.begin() + i); }

void give_gradients(ParameterSet& set, double value) {
  for (Parameter& p : set) p.model.mutable_grad() = at::full_like(p.model, value);
}

template <class Function>
std::string message_of(Function function, std::string const& code) {
  try {
    function();
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == code);
    CHECK_FALSE(error.fix().empty());
    return error.what();
  }
  FAIL("nothing was thrown, wanted: " << code);
  return {};
}

template <class Recipe>
void refuses(Recipe recipe, std::string const& code) {
  ParameterSet set = set_of({at::ones({2})});
  message_of([&] { recipe.bind(set); }, code);
  CHECK(at_index(set, 0).slots.empty());
}

TEST_CASE("options out of range are errors when the optimizer is bound") {
  for (double const bad : {-1e-3, not_a_number, infinity}) {
    refuses(Sgd{.lr = bad}, "TACIT-RC21");
    refuses(Sgd{.weight_decay = bad}, "TACIT-RC24");
    refuses(AdamW{.lr = bad}, "TACIT-RC26");
    refuses(AdamW{.eps = bad}, "TACIT-RC28");
    refuses(AdamW{.weight_decay = bad}, "TACIT-RC29");
    refuses(Adam{.lr = bad}, "TACIT-RC26");
    refuses(Adam{.eps = bad}, "TACIT-RC28");
    refuses(Adam{.weight_decay = bad}, "TACIT-RC29");
    refuses(Adagrad{.lr = bad}, "TACIT-RC84");
    refuses(Adagrad{.lr_decay = bad}, "TACIT-RC84");
    refuses(Adagrad{.weight_decay = bad}, "TACIT-RC84");
    refuses(Adagrad{.initial_accumulator_value = bad}, "TACIT-RC84");
    refuses(Adagrad{.eps = bad}, "TACIT-RC84");
    refuses(RMSprop{.lr = bad}, "TACIT-RC85");
    refuses(RMSprop{.eps = bad}, "TACIT-RC85");
    refuses(RMSprop{.weight_decay = bad}, "TACIT-RC85");
  }
  for (double const bad : {-0.1, 1.0, 9.0, not_a_number}) {
    refuses(Sgd{.momentum = bad}, "TACIT-RC22");
    refuses(AdamW{.betas = {bad, 0.999}}, "TACIT-RC27");
    refuses(AdamW{.betas = {0.9, bad}}, "TACIT-RC27");
    refuses(Adam{.betas = {bad, 0.999}}, "TACIT-RC27");
    refuses(RMSprop{.momentum = bad}, "TACIT-RC86");
  }
  for (double const bad : {-0.1, 1.1, not_a_number}) refuses(Sgd{.momentum = 0.9, .dampening = bad}, "TACIT-RC23");
  for (double const bad : {-0.1, 1.1, not_a_number}) refuses(RMSprop{.alpha = bad}, "TACIT-RC86");
  refuses(Sgd{.nesterov = true}, "TACIT-RC25");
  refuses(Sgd{.momentum = 0.9, .dampening = 0.1, .nesterov = true}, "TACIT-RC25");

  ParameterSet set = set_of({at::ones({2})});
  CHECK_THAT(message_of([&] { Sgd{.lr = -0.5}.bind(set); }, "TACIT-RC21"), ContainsSubstring("lr is -0.5"));
}

TEST_CASE("parameters that cannot be updated are errors when the optimizer is bound") {
  ParameterSet none;
  CHECK_THAT(message_of([&] { Sgd{}.bind(none); }, "TACIT-RC20"), ContainsSubstring("register"));
  CHECK_THAT(message_of([&] { AdamW{}.bind(none); }, "TACIT-RC20"), ContainsSubstring("frozen"));  // U7
  message_of([&] { from_torch<torch::optim::SGD>(torch::optim::SGDOptions(0.1)).bind(none); }, "TACIT-RC20");

  at::Tensor const shared = at::ones({2});
  CHECK_THAT(message_of(
                 [&] {
                   set_of({shared, at::ones({3}), shared});
                 },
                 "TACIT-RC120"),
             ContainsSubstring("'p2' is the tensor that the set has as 'p0'"));
  ParameterSet tied = set_of({shared, at::ones({3})});
  tied.adopt({"p2", shared, shared, 0, 0, {}});
  CHECK_THAT(message_of([&] { Sgd{}.bind(tied); }, "TACIT-RC30"), ContainsSubstring("p0") && ContainsSubstring("p2"));

  ParameterSet complex = set_of({at::ones({2}, at::kComplexFloat)});
  CHECK_THAT(message_of([&] { AdamW{}.bind(complex); }, "TACIT-RC31"), ContainsSubstring("ComplexFloat"));

  ParameterSet gaps = set_of({at::ones({4, 4}).slice(1, 0, 2)});
  CHECK_THAT(message_of([&] { Sgd{}.bind(gaps); }, "TACIT-RC32"), ContainsSubstring("contiguous"));
}

TEST_CASE("state has the parameter's type and strides") {
  ParameterSet set = set_of({at::ones({2, 3}), at::ones({3, 2}, at::kDouble).t(), at::ones({})});
  Sgd{}.bind(set);
  CHECK(set.slot_names().empty());
  CHECK(at_index(set, 0).slots.empty());

  Sgd{.momentum = 0.9}.bind(set);
  CHECK(set.slot_names() == std::vector<std::string>{"momentum"});
  AdamW{}.bind(set);
  CHECK(set.slot_names() == std::vector<std::string>{"step", "exp_avg", "exp_avg_sq"});
  AdamW{.amsgrad = true}.bind(set);
  CHECK(set.slot_names() == std::vector<std::string>{"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"});
  for (Parameter const& p : set) {
    REQUIRE(p.slots.size() == 4);
    CHECK(p.slots[0].scalar_type() == at::kFloat);
    CHECK(p.slots[0].dim() == 0);
    for (std::size_t s = 1; s < 4; ++s) {
      CHECK(p.slots[s].scalar_type() == p.master.scalar_type());
      CHECK(p.slots[s].strides() == p.master.strides());
      CHECK(p.slots[s].count_nonzero().equal(at::zeros({}, at::kLong)));
      CHECK_FALSE(p.slots[s].requires_grad());
    }
  }
  Adagrad{.initial_accumulator_value = 0.25}.bind(set);
  CHECK(set.slot_names() == std::vector<std::string>{"step", "sum"});
  for (Parameter const& p : set) {
    CHECK(p.slots[1].strides() == p.master.strides());
    CHECK(p.slots[1].equal(at::full_like(p.master, 0.25)));
  }
  RMSprop{}.bind(set);
  CHECK(set.slot_names() == std::vector<std::string>{"square_avg"});
  RMSprop{.centered = true}.bind(set);
  CHECK(set.slot_names() == std::vector<std::string>{"square_avg", "grad_avg"});
  RMSprop{.momentum = 0.9, .centered = true}.bind(set);
  CHECK(set.slot_names() == std::vector<std::string>{"square_avg", "momentum_buffer", "grad_avg"});
  Sgd{.momentum = 0.9, .dampening = 0.5}.bind(set);
  CHECK(set.slot_names() == std::vector<std::string>{"momentum", "started"});
  CHECK(at_index(set, 0).slots.size() == 2);
}

TEST_CASE("only parameters with a gradient are updated") {
  ParameterSet set = set_of({at::ones({2}), at::ones({3}), at::ones({0}), at::ones({})});
  auto bound = Sgd{.lr = 0.5, .momentum = 0.9}.bind(set);
  bound.step(set);
  CHECK(at_index(set, 0).model.equal(at::ones({2})));

  at_index(set, 1).model.mutable_grad() = at::ones({3});
  at_index(set, 2).model.mutable_grad() = at::ones({0});
  at_index(set, 3).model.mutable_grad() = at::full({}, 4.0);
  bound.step(set);
  CHECK(at_index(set, 0).model.equal(at::ones({2})));
  CHECK(at_index(set, 1).model.equal(at::full({3}, 0.5)));
  CHECK(at_index(set, 3).model.equal(at::full({}, -1.0)));
  CHECK(at_index(set, 0).model.requires_grad());
}

TEST_CASE("a graph from before an update knows that its parameters changed") {
  auto const check = [](auto recipe) {
    ParameterSet set = set_of({at::ones({2})});
    auto bound = recipe.bind(set);
    at::Tensor const loss = at_index(set, 0).model.pow(2).sum();
    give_gradients(set, 1.0);
    bound.step(set);
    CHECK_THROWS_AS(loss.backward(), c10::Error);
  };
  check(Sgd{});
  check(Sgd{.momentum = 0.9, .dampening = 0.5});
  check(AdamW{});
  check(Adam{});
  check(Adagrad{});
  check(RMSprop{});
}

/// Updates with ever other parameters having a gradient; each parameter's own course must not depend on the others'.
template <class Recipe>
void check_changing_lists(Recipe recipe) {
  std::vector<at::Tensor> const start{at::ones({2, 2}), at::full({3}, 2.0, at::kDouble), at::full({4}, 3.0),
                                      at::full({1}, 4.0, at::kDouble), at::full({5}, 5.0, at::kBFloat16)};
  auto const has = [](std::size_t i, unsigned t) { return ((t * 7 + 3) >> i & 1U) != 0; };
  std::vector<at::Tensor> copies;
  for (at::Tensor const& t : start) copies.push_back(t.clone());
  ParameterSet set = set_of(copies);
  auto bound = recipe.bind(set);
  for (unsigned t = 0; t < 12; ++t) {
    set.clear_gradients();
    for (std::size_t i = 0; i < start.size(); ++i) {
      Parameter& p = at_index(set, static_cast<std::ptrdiff_t>(i));
      if (has(i, t)) p.model.mutable_grad() = at::full_like(p.model, t * 0.125 + 0.5);
    }
    bound.step(set);
  }
  for (std::size_t i = 0; i < start.size(); ++i) {
    ParameterSet alone = set_of({start[i].clone()});
    auto single = recipe.bind(alone);
    for (unsigned t = 0; t < 12; ++t) {
      if (!has(i, t)) continue;
      give_gradients(alone, t * 0.125 + 0.5);
      single.step(alone);
    }
    Parameter const& is = at_index(set, static_cast<std::ptrdiff_t>(i));
    CHECK(is.model.equal(at_index(alone, 0).model));
    for (std::size_t s = 0; s < is.slots.size(); ++s) CHECK(is.slots[s].equal(at_index(alone, 0).slots[s]));
  }
}

TEST_CASE("mixed types and gradients that come and go leave each parameter its own course") {
  check_changing_lists(Sgd{.lr = 0.1});
  check_changing_lists(Sgd{.lr = 0.1, .momentum = 0.5});
  check_changing_lists(Sgd{.lr = 0.1, .momentum = 0.5, .dampening = 0.25});
  check_changing_lists(AdamW{.lr = 0.1});
  check_changing_lists(AdamW{.lr = 0.1, .amsgrad = true});
  check_changing_lists(Adam{.lr = 0.1, .weight_decay = 0.1});
  check_changing_lists(Adagrad{.lr = 0.1, .lr_decay = 0.1, .initial_accumulator_value = 0.5});
  check_changing_lists(RMSprop{.momentum = 0.5, .centered = true});
}

TEST_CASE("a gradient of other strides or another type updates the right elements") {
  at::Tensor const values = at::arange(6, at::kFloat).reshape({2, 3});
  for (bool const transposed : {false, true}) {
    at::Tensor const start = transposed ? at::zeros({3, 2}).t() : at::zeros({2, 3});
    ParameterSet set = set_of({start});
    auto bound = Sgd{.lr = 1.0, .momentum = 0.5}.bind(set);
    at::Tensor& model = at_index(set, 0).model;
    model.mutable_grad() = values;
    bound.step(set);
    CHECK(model.equal(values.neg()));
    model.mutable_grad() = values.t().contiguous().t();
    bound.step(set);
    CHECK(model.equal(values.mul(-2.5)));
    model.mutable_grad() = at::ones({1, 1}).expand({2, 3});
    bound.step(set);
    CHECK(at_index(set, 0).slots[0].equal(values.mul(0.75).add(1.0)));
  }
  // A gradient that LibTorch negates lazily holds other bytes than it says.
  ParameterSet lazy = set_of({at::zeros({2})});
  at_index(lazy, 0).model.mutable_grad() = at::_neg_view(at::ones({2}));
  Sgd{.lr = 1.0}.bind(lazy).step(lazy);
  CHECK(at_index(lazy, 0).model.equal(at::ones({2})));
  // Strides of dimensions of size 1 say nothing.
  ParameterSet set = set_of({at::zeros({1, 2, 3}).transpose(1, 2)});
  auto bound = Sgd{.lr = 1.0}.bind(set);
  at::Tensor const gradient = at::zeros({2, 3}).t().as_strided({1, 3, 2}, {1, 1, 3});
  at_index(set, 0).model.mutable_grad() = gradient.add_(values.t());
  bound.step(set);
  CHECK(at_index(set, 0).model.equal(values.t().unsqueeze(0).neg()));
}

TEST_CASE("gradients that cannot be used are errors, and nothing is updated") {
  ParameterSet set = set_of({at::ones({2}), at::ones({2, 3})});
  auto bound = AdamW{}.bind(set);
  at_index(set, 0).model.mutable_grad() = at::ones({2});
  at_index(set, 1).model.mutable_grad() = at::ones({2, 3}).to_sparse();
  CHECK_THAT(message_of([&] { bound.step(set); }, "TACIT-RC36"), ContainsSubstring("'p1' is Sparse"));
  at_index(set, 1).model.mutable_grad() = at::ones({3, 2});
  CHECK_THAT(message_of([&] { bound.step(set); }, "TACIT-RC37"),
             ContainsSubstring("[3, 2]") && ContainsSubstring("[2, 3]"));
  at_index(set, 1).model.mutable_grad() = at::ones({4, 3});
  message_of([&] { bound.step(set); }, "TACIT-RC37");
  CHECK(at_index(set, 0).model.equal(at::ones({2})));
  at_index(set, 1).model.mutable_grad() = at::ones({2, 3});
  bound.step(set);
  CHECK(traits::read(at_index(set, 0).slots[0]) == 1.0);
}

TEST_CASE("gradients are let go after the update") {
  ParameterSet set = set_of({at::ones({2})});
  auto bound = AdamW{}.bind(set);
  give_gradients(set, 1.0);
  at::Tensor const gradient = at_index(set, 0).model.mutable_grad();
  bound.step(set);
  set.clear_gradients();
  CHECK(gradient.use_count() == 1);
}

TEST_CASE("a mask that is not 0 changes nothing, wherever it is read") {
  auto const check = [](auto recipe, double off) {
    ParameterSet set = set_of({at::ones({2}), at::ones({2, 3}, at::kDouble)});
    auto bound = recipe.bind(set);
    for (int t = 0; t < 3; ++t) {
      give_gradients(set, t == 1 ? 2.0 : infinity);
      std::vector<at::Tensor> before;
      for (Parameter const& p : set) {
        before.push_back(p.model.detach().clone());
        for (at::Tensor const& slot : p.slots) before.push_back(slot.clone());
      }
      at::Tensor const mask = at::full({1}, t == 1 ? 0.0 : off, at::kFloat);
      if (t == 2) {
        bound.step(set, {&mask});
      } else {
        bound.step_on_device(set, &mask);
      }
      std::size_t i = 0;
      for (Parameter const& p : set) {
        CHECK(p.model.equal(before[i++]) == (t != 1));
        for (at::Tensor const& slot : p.slots) CHECK(slot.equal(before[i++]) == (t != 1));
      }
    }
  };
  for (double const off : {1.0, 2.0, 0.5, not_a_number}) {
    check(Sgd{.momentum = 0.9}, off);
    check(Sgd{.momentum = 0.9, .dampening = 0.5}, off);
    check(AdamW{.amsgrad = true}, off);
    check(Adam{.amsgrad = true}, off);
    check(Adagrad{}, off);
    check(RMSprop{.momentum = 0.9, .centered = true}, off);
  }
}

TEST_CASE("masked and unmasked updates mix, also while dampening waits for the first") {
  auto const run = [](std::string const& kinds) {
    ParameterSet set = set_of({at::ones({3}, at::kDouble)});
    auto bound = Sgd{.lr = 0.1, .momentum = 0.5, .dampening = 0.25}.bind(set);
    double gradient = 1.0;
    for (char const kind : kinds) {
      give_gradients(set, kind == 'x' ? infinity : gradient);
      if (kind != 'x') gradient += 0.5;
      at::Tensor const mask = traits::flag_like(kind == 'x' ? 1.0 : 0.0, at_index(set, 0).model);
      bound.step_on_device(set, kind == 'n' ? nullptr : &mask);
    }
    return at_index(set, 0).model.detach();
  };
  at::Tensor const wanted = run("nnnn");
  for (char const* const kinds : {"mmmm", "xmmmm", "xnnnn", "mnnn", "xmxnxmn", "nxmmxm", "mxnmm"}) {
    INFO(kinds);
    CHECK(run(kinds).equal(wanted));
  }
}

TEST_CASE("masters are updated with the model's gradients") {
  auto const check = [](auto recipe) {
    ParameterSet set = set_of({at::full({4}, 1.5, at::kBFloat16)});
    Parameter& p = at_index(set, 0);
    p.master = p.model.detach().to(at::kFloat);
    auto bound = recipe.bind(set);
    ParameterSet wanted = set_of({at::full({4}, 1.5)});
    auto reference = recipe.bind(wanted);
    for (int t = 0; t < 3; ++t) {
      p.model.mutable_grad() = at::full({4}, 0.25, at::kBFloat16);
      bound.step(set);
      give_gradients(wanted, 0.25);
      reference.step(wanted);
      CHECK(p.master.equal(at_index(wanted, 0).model));
      CHECK_FALSE(p.master.mutable_grad().defined());
    }
    CHECK(p.model.detach().equal(at::full({4}, 1.5, at::kBFloat16)));
    // A gradient of the master itself goes first.
    p.master.mutable_grad() = at::ones({4});
    bound.step(set);
    give_gradients(wanted, 1.0);
    reference.step(wanted);
    CHECK(p.master.equal(at_index(wanted, 0).model));
  };
  check(Sgd{.lr = 0.1, .momentum = 0.9});
  check(AdamW{});
  check(Adam{});
  check(Adagrad{});
  check(RMSprop{.momentum = 0.9});
  check(from_torch<torch::optim::SGD>(torch::optim::SGDOptions(0.1).momentum(0.9)));
}

TEST_CASE("parameters come and go and the others keep their state") {
  auto const check = [](auto recipe) {
    ParameterSet set = set_of({at::ones({2}), at::ones({3})});
    auto bound = recipe.bind(set);
    give_gradients(set, 1.0);
    bound.step(set);
    std::vector<at::Tensor> const kept = at_index(set, 1).slots;
    at::Tensor const value = kept.back().clone();

    set.remove("p0");
    message_of([&] { bound.step(set); }, "TACIT-RC35");
    set.add("new", at::ones({4}));
    CHECK_THAT(message_of([&] { bound.step(set); }, "TACIT-RC35"), ContainsSubstring("p1"));
    bound.parameters_changed(set);
    REQUIRE(at_index(set, 0).slots.size() == kept.size());
    for (std::size_t s = 0; s < kept.size(); ++s) CHECK(at_index(set, 0).slots[s].is_same(kept[s]));
    CHECK(at_index(set, 0).slots.back().equal(value));
    REQUIRE(at_index(set, 1).slots.size() == kept.size());

    ParameterSet fresh = set_of({at::ones({4})});
    auto reference = recipe.bind(fresh);
    give_gradients(fresh, 2.0);
    reference.step(fresh);
    give_gradients(set, 2.0);
    bound.step(set);
    CHECK(at_index(set, 1).model.equal(at_index(fresh, 0).model));
  };
  check(Sgd{.lr = 0.1, .momentum = 0.9});
  check(Sgd{.lr = 0.1, .momentum = 0.9, .dampening = 0.5});
  check(AdamW{});
  check(Adam{});
  check(Adagrad{.initial_accumulator_value = 0.5});
  check(RMSprop{.momentum = 0.9, .centered = true});
}

TEST_CASE("a model that moved after binding is an error, until the optimizer is told") {
  ParameterSet set = set_of({at::ones({2, 3})});
  Parameter& p = at_index(set, 0);
  auto bound = Sgd{.lr = 1.0, .momentum = 0.5}.bind(set);
  give_gradients(set, 1.0);
  bound.step(set);
  p.model.mutable_grad().reset();
  p.model.set_data(p.model.to(at::kDouble));
  give_gradients(set, 1.0);
  CHECK_THAT(message_of([&] { bound.step(set); }, "TACIT-RC34"),
             ContainsSubstring("Double") && ContainsSubstring("cpu"));
  bound.parameters_changed(set);
  CHECK(p.slots[0].equal(at::ones({2, 3}, at::kDouble)));
  bound.step(set);
  CHECK(p.model.equal(at::full({2, 3}, -1.5, at::kDouble)));

  // Other storage of the same form is no other parameter; other strides are.
  p.model.set_data(p.model.detach().clone());
  bound.step(set);
  p.model.set_data(p.model.detach().t().contiguous().t());
  message_of([&] { bound.step(set); }, "TACIT-RC34");
  bound.parameters_changed(set);
  CHECK(p.slots[0].strides() == p.model.strides());
  bound.step(set);

  // Also where the storage is the same one.
  p.model.mutable_grad().reset();
  p.model.set_data(p.model.detach().t());
  give_gradients(set, 1.0);
  message_of([&] { bound.step(set); }, "TACIT-RC34");
  p.model.mutable_grad().reset();
  p.model.set_data(p.model.detach().t());
  give_gradients(set, 1.0);
  bound.step(set);

  auto plain = Sgd{}.bind(set);
  p.model.mutable_grad().reset();
  p.model.set_data(at::ones({3, 2}, at::kDouble));
  give_gradients(set, 1.0);
  plain.step(set);
  CHECK(p.model.equal(at::full({3, 2}, 0.999, at::kDouble)));
  p.model.mutable_grad().reset();
  p.model.set_data(at::ones({4, 3}, at::kDouble).slice(0, 0, 4, 2));
  message_of([&] { plain.step(set); }, "TACIT-RC34");
  message_of([&] { plain.parameters_changed(set); }, "TACIT-RC32");
}

TEST_CASE("state that was replaced is checked, state that was loaded is used") {
  auto const train = [](auto& bound, ParameterSet& set, int steps) {
    for (int t = 0; t < steps; ++t) {
      give_gradients(set, 1.0 + t);
      bound.step(set);
    }
  };
  auto const check = [&](auto recipe) {
    ParameterSet first = set_of({at::ones({2, 3})});
    auto one = recipe.bind(first);
    train(one, first, 2);
    ParameterSet second = set_of({at_index(first, 0).model.detach().clone()});
    auto two = recipe.bind(second);
    for (std::size_t s = 0; s < first.slot_names().size(); ++s) {
      at_index(second, 0).slots[s].copy_(at_index(first, 0).slots[s]);
    }
    two.parameters_changed(second);
    train(one, first, 2);
    train(two, second, 2);
    CHECK(at_index(first, 0).model.equal(at_index(second, 0).model));

    // Other tensors of the same form are taken as they are.
    std::size_t const big = first.slot_names().front() == "step" ? 1 : 0;
    at::Tensor const replaced = at_index(first, 0).slots[big];
    at::Tensor const before = replaced.clone();
    at_index(first, 0).slots[big] = before.clone();
    one.step(first);
    CHECK(replaced.equal(before));
    CHECK_FALSE(at_index(first, 0).slots[big].equal(before));

    at_index(first, 0).slots.back() = at::zeros({2, 3}, at::kDouble);
    if (first.slot_names().back() == "started") return;
    CHECK_THAT(message_of([&] { one.step(first); }, "TACIT-RC33"), ContainsSubstring("p0"));
    at_index(first, 0).slots.clear();
    message_of([&] { one.step(first); }, "TACIT-RC33");
    one.parameters_changed(first);
    one.step(first);
  };
  check(Sgd{.lr = 0.1, .momentum = 0.9});
  check(Sgd{.lr = 0.1, .momentum = 0.9, .dampening = 0.5});
  check(AdamW{});
  check(AdamW{.amsgrad = true});
  check(Adam{});
  check(Adagrad{.initial_accumulator_value = 0.5});
  check(RMSprop{.momentum = 0.9, .centered = true});
}

TEST_CASE("options are read at every step") {
  ParameterSet set = set_of({at::zeros({1}, at::kDouble)});
  at::Tensor const& model = at_index(set, 0).model;
  auto sgd = Sgd{.lr = 1.0}.bind(set);
  give_gradients(set, 1.0);
  sgd.step(set);
  CHECK(traits::read(model) == -1.0);
  sgd.options.lr = 0.5;
  sgd.step(set);
  CHECK(traits::read(model) == -1.5);
  sgd.options.momentum = 0.5;
  sgd.step(set);
  sgd.step(set);
  CHECK(traits::read(at_index(set, 0).slots[0]) == 1.5);
  CHECK(traits::read(model) == -2.75);
  // The momentum has begun: dampening that comes now damps.
  sgd.options.dampening = 0.25;
  sgd.step(set);
  CHECK(set.slot_names().back() == "started");
  CHECK(traits::read(at_index(set, 0).slots[0]) == 1.5);
  sgd.options.momentum = 0.0;
  sgd.step(set);
  CHECK(traits::read(at_index(set, 0).slots[0]) == 1.5);
  CHECK(traits::read(model) == -4.0);

  auto adamw = AdamW{}.bind(set);
  adamw.step(set);
  adamw.options.amsgrad = true;
  adamw.step(set);
  CHECK(set.slot_names().size() == 4);
  CHECK(traits::read(at_index(set, 0).slots[0]) == 2.0);

  // Momentum that comes after centering leaves the average its place.
  auto rmsprop = RMSprop{.alpha = 0.5, .centered = true}.bind(set);
  rmsprop.step(set);
  at::Tensor const average = at_index(set, 0).slots[1];
  rmsprop.options.momentum = 0.9;
  rmsprop.step(set);
  CHECK(set.slot_names() == std::vector<std::string>{"square_avg", "grad_avg", "momentum_buffer"});
  CHECK(at_index(set, 0).slots[1].is_same(average));
  CHECK(traits::read(average) == 0.75);
}

TEST_CASE("a group whose optimizer makes new slots keeps them, and the whole set has them") {
  at::Tensor const a = at::ones({2});
  at::Tensor const b = at::ones({2});
  ParameterSet set = set_of({a, b});
  auto optimizer = tacit::optim::Groups<Sgd>{.base = {.lr = 0.5}, .groups = {{.name = "first", .takes = tacit::optim::named("p0"), .options = {.lr = 0.25}}}}.bind(set);
  CHECK(set.slot_names().empty());
  give_gradients(set, 1.0);
  optimizer.step(set);
  optimizer.options("first").momentum = 0.5;  // momentum from now on: a slot more
  for (int update = 0; update < 3; ++update) {
    give_gradients(set, 1.0);
    optimizer.step(set);
  }
  CHECK(set.slot_names() == std::vector<std::string>{"momentum"});
  CHECK(at_index(set, 0).slots.at(0).equal(at::full({2}, 1.75)));  // 1, 1.5, 1.75
  CHECK(at_index(set, 1).slots.empty());
  CHECK(a.equal(at::full({2}, 1.0 - 0.25 * (1.0 + 1.0 + 1.5 + 1.75))));
  CHECK(b.equal(at::full({2}, 1.0 - 0.5 * 4.0)));
}

TEST_CASE("from_torch takes over LibTorch's optimizers") {
  auto const check = [](auto recipe, auto make) {
    ParameterSet set = set_of({at::ones({2}), at::full({3}, 2.0)});
    auto bound = recipe.bind(set);
    CHECK(set.slot_names().empty());
    std::vector<at::Tensor> tensors{at::ones({2}).requires_grad_(), at::full({3}, 2.0).requires_grad_()};
    auto direct = make(tensors);
    for (int t = 0; t < 4; ++t) {
      give_gradients(set, 0.5 + t);
      at::Tensor const on = at::zeros({});
      at::Tensor const off = at::ones({});
      bound.step(set, {&on});
      auto const before = at_index(set, 0).model.detach().clone();
      bound.step(set, {&off});
      CHECK(at_index(set, 0).model.detach().equal(before));
      for (at::Tensor& p : tensors) p.mutable_grad() = at::full_like(p, 0.5 + t);
      direct.step();
      CHECK(at_index(set, 0).model.equal(tensors[0]));
      CHECK(at_index(set, 1).model.equal(tensors[1]));
      if (t == 1) {
        // One goes, one comes, one keeps its state.
        set.remove("p0");
        set.add("new", at::full({4}, 3.0));
        bound.parameters_changed(set);
        CHECK(bound.optimizer().state().size() == 1);
        CHECK(bound.optimizer().param_groups().front().params().size() == 2);
        tensors = {tensors[1], at::full({4}, 3.0).requires_grad_()};
        auto next = make(tensors);
        next.state()[tensors[0].unsafeGetTensorImpl()] = std::move(direct.state().at(tensors[0].unsafeGetTensorImpl()));
        direct = std::move(next);
      }
    }
  };
  auto const sgd = torch::optim::SGDOptions(0.1).momentum(0.9);
  check(from_torch<torch::optim::SGD>(sgd), [&](auto const& p) { return torch::optim::SGD(p, sgd); });
  auto const adam = torch::optim::AdamOptions(0.1);
  check(from_torch<torch::optim::Adam>(adam), [&](auto const& p) { return torch::optim::Adam(p, adam); });
}

}  // namespace

}  // namespace optim_tests
