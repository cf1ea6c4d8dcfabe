#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <string>

#include "fake/tensor.hpp"
#include "tacit/policy/precision/fp64.hpp"
#include "tacit/train/trainer.hpp"

// The trainer asks of a policy what the concepts say and nothing more: the smallest types that keep to them will do.

namespace archetypes_tests {
namespace {

struct Trained {
  double weight;
  double bias;
  double loss;
  double eval_loss;
  bool operator==(Trained const&) const = default;
};

template <class... Policies>
Trained train(Policies const&... policies) {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1, .momentum = 0.5}, policies...,
                         tacit::CallbackPack{}};
  fake::Line const data{10};
  auto const result = trainer.train(data, fake::Line{4},
                                    {.epochs = 3,
                                     .per_device_batch_size = 3,
                                     .gradient_accumulation = 2,
                                     .clip = {.norm = 0.7},
                                     .evaluation = {.every_updates = 1},
                                     .sink = tacit::Sink::none()});
  auto const evaluated = trainer.evaluate(data, {.sink = tacit::Sink::none()});
  return {model->weight.item(), model->bias.item(), result[tacit::tag::train_loss{}],
          evaluated[tacit::tag::eval_loss{}]};
}

TEST_CASE("the trainer runs on the archetypes of all three concepts at once") {
  Trained const plain = train();
  CHECK(train(tacit::device_archetype{}, tacit::precision_archetype{}, tacit::distribution_archetype{}) == plain);
  CHECK(train(tacit::distribution_archetype{}, tacit::device_archetype{}) == plain);
  CHECK(train(tacit::precision_archetype{}, fake::Gpu{}) == plain);
  CHECK(train(tacit::Fp64{}) == plain);
}

TEST_CASE("the plan names the policies") {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(),
                         fake::MeanSquaredError{},
                         fake::Sgd{},
                         tacit::device_archetype{},
                         tacit::precision_archetype{},
                         tacit::distribution_archetype{},
                         tacit::CallbackPack{}};
  trainer.train(fake::Line{4}, {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(trainer.plan().device == "archetype");
  CHECK(trainer.plan().precision == "archetype");
  CHECK(trainer.plan().distribution == "archetype");
  CHECK_FALSE(trainer.plan().is_distributed);
}

/// An automatic policy of one's own: three aliases, three makers, and a word about it if it likes.
struct Choosing {
  using slot = tacit::slot::automatic;
  using device = fake::Gpu;
  using precision = tacit::Fp64;
  using distribution = tacit::SingleProcess;
  std::string* said = nullptr;

  device make_device() const { return {}; }
  precision make_precision() const { return {}; }
  distribution make_distribution() const { return {}; }
  template <class Core>
  void announce(Core& core) const {
    *said += std::string{core.device().name()} + " " + core.precision().name() + ";";
  }
};

TEST_CASE("an automatic policy fills what nothing names, and tells once") {
  std::string said;
  {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Choosing{&said},
                           tacit::CallbackPack{}};
    trainer.train(fake::Line{4}, {.epochs = 1, .sink = tacit::Sink::none()});
    CHECK(trainer.plan().device == "fake gpu");
    CHECK(trainer.plan().precision == "fp64");
  }
  {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(),
                           fake::MeanSquaredError{},
                           fake::Sgd{},
                           tacit::Fp32{},
                           Choosing{&said},
                           tacit::CallbackPack{}};
    CHECK(trainer.describe().find("fp32") != std::string::npos);  // what is named wins its slot
  }
  CHECK(said == "fake gpu fp64;fake gpu fp32;");
}

}  // namespace

}  // namespace archetypes_tests
