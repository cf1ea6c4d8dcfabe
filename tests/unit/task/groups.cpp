#include "tacit/task/optim/groups.hpp"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
namespace optim = tacit::optim;
namespace schedule = tacit::schedule;
using tacit::CallbackPack;
using FakeGroups = optim::Groups<fake::Sgd>;
using Parameters = tacit::basic_parameter_set<fake::Tensor>;

namespace groups_tests {
namespace {

FakeGroups const two{.base = {.lr = 0.1, .momentum = 0.5}, .groups = {{.name = "offset", .takes = optim::named("bias"), .options = {.lr = 0.01}}}};

/// What every update used, by group.
struct Rates {
  std::vector<double> base{};
  std::vector<double> offset{};
  void on(event::UpdateStart const&, auto& context) {
    base.push_back(context.trainer().optimizer().options("base").lr);
    offset.push_back(context.trainer().optimizer().options("offset").lr);
  }
};

tacit::TrainOptions const options{.epochs = 1, .per_device_batch_size = 2, .sink = tacit::Sink::none()};
fake::Line const data{8};  // four updates

template <class Body>
std::string code_of(Body const& body) {
  try {
    body();
    return "no error";
  } catch (tacit::Error const& error) {
    return std::string{error.code()};
  }
}

/// What two optimizers by hand make of the same gradients.
struct Pair {
  double weight;
  double bias;
  bool operator==(Pair const&) const = default;
};
template <class Optimizer>
Pair trained(Optimizer const& optimizer) {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, optimizer, CallbackPack{}};
  trainer.train(data, options);
  return {model->weight.item(), model->bias.item()};
}

}  // namespace

TEST_CASE("groups over no parameters are refused when they are bound, and when the last one is frozen") {
  Parameters none;
  CHECK(code_of([&] { FakeGroups{}.bind(none); }) == "TACIT-RC20");
  FakeGroups frozen;
  frozen.groups.push_back({.name = "a", .takes = optim::named("a"), .options = {}, .may_be_empty = true});
  CHECK(code_of([&] { frozen.bind(none); }) == "TACIT-RC20");
  Parameters one;
  one.add("a", fake::Tensor{{1.0}});
  auto bound = FakeGroups{}.bind(one);
  one.remove("a");
  CHECK(code_of([&] { bound.parameters_changed(one); }) == "TACIT-RC20");
}

TEST_CASE("each group is updated with its own options, and equal options make one optimizer of them") {
  FakeGroups same = two;
  same.groups[0].options = same.base;
  CHECK(trained(same) == trained(same.base));
  CHECK(trained(two) != trained(two.base));

  // One update by hand: w - lr g, each with its own rate.
  fake::Tensor const weight{{1.0}, true};
  fake::Tensor const bias{{2.0}, true};
  Parameters set;
  set.add("weight", weight);
  set.add("bias", bias);
  auto bound = two.bind(set);
  weight->grad = fake::Tensor{{3.0}};
  bias->grad = fake::Tensor{{4.0}};
  bound.step(set);
  CHECK(weight.item() == 1.0 - 0.1 * 3.0);
  CHECK(bias.item() == 2.0 - 0.01 * 4.0);
  CHECK(set.find("weight")->group == 1);
  CHECK(set.find("bias")->group == 0);
  // The whole set sees the state that the groups update.
  CHECK(set.slot_names() == std::vector<std::string>{"momentum"});
  CHECK(set.find("weight")->slots.at(0).item() == 3.0);

  // A mask is everybody's.
  fake::Tensor const mask{std::vector<double>{1.0}};
  bound.step(set, {.mask = &mask});
  CHECK(weight.item() == 1.0 - 0.1 * 3.0);
}

TEST_CASE("state that was replaced is used, and parameters come and go with theirs") {
  fake::Tensor const weight{{1.0}, true};
  fake::Tensor const bias{{2.0}, true};
  Parameters set;
  set.add("weight", weight);
  set.add("bias", bias);
  auto bound = two.bind(set);
  set.find("weight")->slots[0] = fake::Tensor{std::vector<double>{2.0}};  // as a checkpoint does
  weight->grad = fake::Tensor{{3.0}};
  bound.step(set);
  CHECK(set.find("weight")->slots[0].item() == 0.5 * 2.0 + 3.0);
  CHECK(weight.item() == 1.0 - 0.1 * 4.0);

  set.remove("bias");
  bound.parameters_changed(set);
  weight->grad = fake::Tensor{{0.0}};
  bound.step(set);
  CHECK(set.find("weight")->slots[0].item() == 2.0);
  set.add("bias", bias);
  bound.parameters_changed(set);
  CHECK(set.find("weight")->slots[0].item() == 2.0);
  bias->grad = fake::Tensor{{4.0}};
  bound.step(set);
  CHECK(bias.item() == 2.0 - 0.01 * 4.0);
  CHECK(bound.options("offset").lr == 0.01);
}

TEST_CASE("a group may wait for parameters that are frozen at first") {
  fake::Tensor const weight{{1.0}, true};
  fake::Tensor const bias{{2.0}, true};
  Parameters set;
  set.add("weight", weight);
  CHECK(code_of([&] { two.bind(set); }) == "TACIT-RC07");
  FakeGroups waiting = two;
  waiting.groups[0].may_be_empty = true;
  auto bound = waiting.bind(set);
  set.add("bias", bias);
  bound.parameters_changed(set);
  bias->grad = fake::Tensor{{4.0}};
  bound.step(set);
  CHECK(bias.item() == 2.0 - 0.01 * 4.0);
}

TEST_CASE("schedules are for all groups or for the one they name") {
  Rates rates;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, two, CallbackPack{std::ref(rates)}};
  trainer.train(data, options, tacit::lr(schedule::linear(1.0, 0.0)));
  CHECK(rates.base == std::vector<double>{0.1, 0.1 * 0.75, 0.1 * 0.5, 0.1 * 0.25});
  CHECK(rates.offset == std::vector<double>{0.01, 0.01 * 0.75, 0.01 * 0.5, 0.01 * 0.25});
  CHECK(trainer.view().optimizer().options("base").lr == 0.1);

  rates = {};
  trainer.train(data, options, tacit::lr(schedule::constant(0.5), "offset"));
  CHECK(rates.base == std::vector<double>(4, 0.1));
  CHECK(rates.offset == std::vector<double>(4, 0.005));

  rates = {};
  trainer.train(data, options, tacit::lr(schedule::constant(0.5), "offset"), tacit::lr(schedule::constant(2.0), "base"));
  CHECK(rates.base == std::vector<double>(4, 0.2));
  CHECK(rates.offset == std::vector<double>(4, 0.005));

  CHECK(code_of([&] { trainer.train(data, options, tacit::lr(schedule::constant(1.0), "head")); }) == "TACIT-RC87");
  CHECK(code_of([&] { trainer.train(data, options, tacit::lr(schedule::constant(1.0)), tacit::lr(schedule::constant(0.5), "base")); }) == "TACIT-RC09");
  CHECK(code_of([&] { trainer.view().optimizer().options("head"); }) == "TACIT-RC08");
}

TEST_CASE("a plateau lowers the rates of all groups") {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, two,
                         CallbackPack{tacit::ReduceOnPlateau<tacit::tag::train_loss>{.factor = 0.5, .patience = 0, .threshold = 1e9}}};
  trainer.train(data, {.epochs = 2, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(trainer.view().optimizer().options("base").lr == 0.05);
  CHECK(trainer.view().optimizer().options("offset").lr == 0.005);
}

TEST_CASE("the first group that takes a parameter has it, and the short forms are groups") {
  optim::ParameterInfo const matrix{"block0.linear.weight", 2, 12};
  optim::ParameterInfo const bias{"block0.linear.bias", 1, 4};
  CHECK(optim::biases_and_norms(bias));
  CHECK_FALSE(optim::biases_and_norms(matrix));
  CHECK(optim::named("block0.")(matrix));
  CHECK_FALSE(optim::named("block1.")(matrix));

  auto const layers = optim::layerwise_rates(fake::Sgd{.lr = 1.0}, 0.5, {"embed.", "block0.", "head."});
  REQUIRE(layers.groups.size() == 3);
  CHECK(layers.groups[0].name == "head.");
  CHECK(layers.groups[0].options.lr == 1.0);
  CHECK(layers.groups[1].options.lr == 0.5);
  CHECK(layers.groups[2].options.lr == 0.25);
  CHECK(layers.base.lr == 1.0);

  FakeGroups twice = two;
  twice.groups.push_back({.name = "again", .takes = optim::named("bias")});
  CHECK(code_of([&] { trained(twice); }) == "TACIT-RC07");
}

TEST_CASE("groups that make no sense are errors when the optimizer is bound") {
  auto const code = [](optim::Group<fake::Sgd> const& group) {
    FakeGroups wrong = two;
    wrong.groups.push_back(group);
    return code_of([&] { trained(wrong); });
  };
  CHECK(code({.name = "", .takes = optim::named("weight")}) == "TACIT-RC03");
  CHECK(code({.name = "base", .takes = optim::named("weight")}) == "TACIT-RC03");
  CHECK(code({.name = "offset", .takes = optim::named("weight")}) == "TACIT-RC03");
  CHECK(code({.name = "empty"}) == "TACIT-RC03");
  CHECK(code({.name = "none", .takes = optim::named("nothing")}) == "TACIT-RC07");
}

namespace {

/// Leaves out the updates given, on the device, as loss scaling does.
struct Skipping {
  using slot = tacit::slot::precision;
  std::vector<std::int64_t> skips{};

  template <class P>
  struct bound : tacit::precision_archetype::bound<P> {
    std::vector<std::int64_t> skips;
    std::int64_t update = 0;
    std::int64_t left_out = 0;
    fake::Tensor mask{};

    fake::Tensor const* unscale(P&) {
      bool const skip = std::find(skips.begin(), skips.end(), update) != skips.end();
      mask = fake::Tensor{std::vector<double>{skip ? 1.0 : 0.0}};
      left_out += skip ? 1 : 0;
      return &mask;
    }
    void after_update() { ++update; }
    std::int64_t skipped(tacit::LogPoint const*) const { return left_out; }
    void discard() {}
  };
  template <class P, class Device>
  bound<P> bind(Device const&) const {
    bound<P> result;
    result.skips = skips;
    return result;
  }
};

}  // namespace

TEST_CASE("schedules do not advance on an update that the precision leaves out") {
  Rates rates;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, two, Skipping{{0, 2, 5}}, CallbackPack{std::ref(rates)}};
  trainer.train(data, options, tacit::lr(schedule::linear(1.0, 0.0)));
  CHECK(rates.base == std::vector<double>{0.1, 0.1, 0.1 * 0.75, 0.1 * 0.75});
  // The next run begins at its own start.
  rates = {};
  trainer.train(data, options, tacit::lr(schedule::linear(1.0, 0.0)));
  CHECK(rates.base == std::vector<double>{0.1, 0.1 * 0.75, 0.1 * 0.75, 0.1 * 0.5});
}

TEST_CASE("clipping by value clamps every element once per update") {
  auto const clipped = [](tacit::TrainOptions const& with) {
    auto model = std::make_shared<fake::Linear>();
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 1.0}, CallbackPack{}};
    double const before = model->weight.item();
    trainer.train(data, with);
    return before - model->weight.item();
  };
  // The gradients of all four updates are larger and of one sign.
  CHECK(std::abs(clipped({.epochs = 1, .per_device_batch_size = 2, .clip = {.value = 0.0625}, .sink = tacit::Sink::none()})) == 0.25);
  CHECK(code_of([&] { clipped({.epochs = 1, .clip = {.value = -1.0}}); }) == "TACIT-RC39");
  CHECK(code_of([&] { clipped({.epochs = 1, .clip = {.norm = 1.0, .value = 1.0}}); }) == "TACIT-RC55");
}

}  // namespace groups_tests
