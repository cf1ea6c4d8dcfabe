#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/module.hpp"
#include "fake/tensor.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
namespace schedule = tacit::schedule;
using tacit::CallbackPack;
using tacit::Epochs;

namespace scheduled_tests {
namespace {

/// What every update used, as its handlers see it.
struct Used {
  std::vector<double> rates{};
  std::vector<double> momenta{};
  void on(event::UpdateStart const&, auto& context) {
    rates.push_back(context.trainer().optimizer().lr);
    momenta.push_back(context.trainer().optimizer().momentum);
  }
};
/// Halves the rate by hand after an update.
struct Halve {
  std::int64_t after = 0;
  void on(event::UpdateEnd const& update, auto& context) {
    if (update.update.value() == after) context.trainer().optimizer().lr *= 0.5;
  }
};

struct SetRate {
  std::vector<double> rates{};
  void on(event::UpdateStart const& update, auto& context) {
    context.trainer().optimizer().lr = rates[static_cast<std::size_t>(update.update.value())];
    context.trainer().optimizer().momentum = 0.25;
  }
};
struct Flat : tacit::Metric<"flat"> {};
struct RecordFlat {
  using records = tacit::records<Flat>;
  void on(event::TrainEpochEnd const&, auto& context) { context.record(Flat{}, 1.0); }
};

template <class... C>
auto trainer_of(std::shared_ptr<fake::Linear> model, C... callbacks) {
  return tacit::Trainer{std::move(model), fake::MeanSquaredError{}, fake::Sgd{.lr = 0.2, .momentum = 0.5}, CallbackPack{callbacks...}};
}
tacit::TrainOptions const options{.epochs = 2, .per_device_batch_size = 2, .sink = tacit::Sink::none()};
fake::Line const data{8};  // four updates an epoch

}  // namespace

TEST_CASE("update u uses f(u), and the configured value is back after the run") {
  Used used;
  auto model = std::make_shared<fake::Linear>();
  auto trainer = trainer_of(model, std::ref(used));
  trainer.train(data, options, tacit::lr(schedule::warmup(Epochs{1}).then(schedule::linear(1.0, 0.0))), tacit::momentum(schedule::constant(0.5)));
  CHECK(used.rates == std::vector<double>{0.0, 0.05, 0.1, 0.2 * 0.75, 0.2, 0.2 * 0.75, 0.1, 0.05});
  CHECK(used.momenta == std::vector<double>(8, 0.25));
  CHECK(trainer.view().optimizer().lr == 0.2);
  CHECK(trainer.view().optimizer().momentum == 0.5);

  // By hand: the same rates give the same parameters, to the last bit.
  auto by_hand = std::make_shared<fake::Linear>();
  auto other = trainer_of(by_hand, SetRate{used.rates});
  other.train(data, options);
  CHECK(model->weight.item() == by_hand->weight.item());
  CHECK(model->bias.item() == by_hand->bias.item());
}

TEST_CASE("a schedule counts updates, not micro-batches, and starts anew with each run") {
  Used used;
  auto trainer = trainer_of(std::make_shared<fake::Linear>(), std::ref(used));
  for (int run = 0; run < 2; ++run) {
    used.rates.clear();
    trainer.train(data, {.epochs = 2, .per_device_batch_size = 1, .gradient_accumulation = 4, .sink = tacit::Sink::none()},
                  tacit::lr(schedule::linear(1.0, 0.0)));
    CHECK(used.rates == std::vector<double>{0.2, 0.2 * 0.75, 0.1, 0.05});
  }
}

TEST_CASE("what others change in a run scales the rest of the curve") {
  Used used;
  auto trainer = trainer_of(std::make_shared<fake::Linear>(), std::ref(used), Halve{.after = 3});
  trainer.train(data, options, tacit::lr(schedule::linear(1.0, 0.0)));
  CHECK(used.rates == std::vector<double>{0.2, 0.2 * 0.875, 0.2 * 0.75, 0.2 * 0.625, 0.05, 0.1 * 0.375, 0.025, 0.1 * 0.125});
  CHECK(trainer.view().optimizer().lr == 0.1);
}

TEST_CASE("a plateau scales the schedule") {
  Used used;
  auto trainer = trainer_of(std::make_shared<fake::Linear>(), std::ref(used), RecordFlat{}, tacit::ReduceOnPlateau<Flat>{.factor = 0.5, .patience = 0});
  trainer.train(data, {.epochs = 3, .per_device_batch_size = 8, .sink = tacit::Sink::none()}, tacit::lr(schedule::linear(1.0, 0.25)));
  CHECK(used.rates == std::vector<double>{0.2, 0.2 * 0.75, 0.05});  // halved after the second epoch, which was no better
}

TEST_CASE("a schedule of unknown length is an error before the first step") {
  auto model = std::make_shared<fake::Linear>();
  auto trainer = trainer_of(model);
  std::vector<fake::Batch> const batches{data.get_batch(std::vector<std::int64_t>{0, 1})};
  CHECK_THROWS_AS(trainer.train(batches, {.limit = {.samples = 8}, .sink = tacit::Sink::none()}, tacit::lr(schedule::cosine())), tacit::ConfigError);
  CHECK(model->weight.item() == 0.5);
  CHECK(trainer.view().optimizer().lr == 0.2);
  // A limit in updates makes it known.
  CHECK(trainer.train(batches, {.limit = {.updates = 3}, .sink = tacit::Sink::none()}, tacit::lr(schedule::cosine())).updates == tacit::Updates{3});
}

TEST_CASE("a group that is not there is named") {
  auto trainer = trainer_of(std::make_shared<fake::Linear>());
  try {
    trainer.train(data, options, tacit::lr(schedule::cosine(), "heads"));
    FAIL("nothing thrown");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC87");
    CHECK(std::string{error.what()}.find("heads") != std::string::npos);
  }
}

TEST_CASE("a schedule of values that a field cannot have, or of a field that is 0, is an error before the first step") {
  auto const refusal = [](fake::Sgd optimizer, auto const& field) {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, optimizer, CallbackPack{}};
    try {
      trainer.train(data, options, field);
      return std::string{"none"};
    } catch (tacit::ConfigError const& error) {
      return std::string{error.code()} + " " + std::string{error.problem()};
    }
  };
  std::string const of_zero = "TACIT-RC145 the schedule multiplies ";
  CHECK(refusal({.lr = 0.0}, tacit::lr(schedule::cosine())) == of_zero + "lr, which is 0");
  CHECK(refusal({.lr = 0.1}, tacit::momentum(schedule::constant(0.5))) == of_zero + "momentum, which is 0");
  fake::Sgd const heavy{.lr = 0.1, .momentum = 0.5};
  std::string const text = "TACIT-RC146 the schedule takes momentum from 0.500000 up to ";
  CHECK(refusal(heavy, tacit::momentum(schedule::constant(2.0))) == text + "1.000000");
  CHECK(refusal(heavy, tacit::momentum(schedule::linear(1.0, 2.0))) == "none");  // 1: of the first update after the run
  CHECK(refusal(heavy, tacit::momentum(schedule::linear(1.0, 3.0))) == text + "1.375000");
  CHECK(refusal(heavy, tacit::momentum(schedule::linear(1.0, 3.0).clamped(0.0, 1.9))) == "none");
  std::string const endless = refusal(heavy, tacit::lr(schedule::exponential(1e200, tacit::Updates{1})));
  CHECK(endless.starts_with("TACIT-RC146 the schedule takes lr from 0.1"));
  CHECK(refusal(heavy, tacit::lr(schedule::constant(0.0))) == "none");
}

TEST_CASE("growth of a rate in a run of unknown length is no error, growth of momentum is") {
  auto const train = [](auto const& field) {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1, .momentum = 0.5}, CallbackPack{}};
    try {
      trainer.train(data, {.limit = {.duration = std::chrono::milliseconds{2}}, .sink = tacit::Sink::none()}, field);
      return std::string{};
    } catch (tacit::ConfigError const& error) {
      return error.code();
    }
  };
  CHECK(train(tacit::lr(schedule::step(1.1, tacit::Updates{100000}))).empty());
  CHECK(train(tacit::momentum(schedule::step(1.1, tacit::Updates{100000}))) == "TACIT-RC146");
}

namespace {

struct TwoScales : fake::Module {
  std::shared_ptr<fake::Scale> a = register_module("a", std::make_shared<fake::Scale>(0.5));
  std::shared_ptr<fake::Scale> b = register_module("b", std::make_shared<fake::Scale>(0.5));
  fake::Tensor forward(fake::Tensor const& x) const { return b->forward(a->forward(x)); }
};
/// Adds the second scale at the start of an epoch, or after the last update.
struct Thaw {
  std::shared_ptr<TwoScales> net;
  std::int64_t epoch = 1;
  void add(auto& context) {
    context.change_parameters([&](auto& set) {
      net->b->weight->requires_grad = true;
      set.add("b.weight", net->b->weight);
    });
  }
  void on(event::TrainingRunEpochStart const& start, auto& context) {
    if (start.epoch.value() == epoch) add(context);
  }
  void on(event::TrainingRunEpochEnd const& end, auto& context) {
    if (epoch < 0 && end.epoch.value() == 1) add(context);
  }
};
/// The end of a run whose group "b" waits for parameters.
std::string end_of_waiting(double momentum, double factor, std::int64_t epoch) {
  auto const net = std::make_shared<TwoScales>();
  net->b->weight->requires_grad = false;
  tacit::optim::Groups<fake::Sgd> const groups{
      .base = {.lr = 0.01, .momentum = momentum},
      .groups = {{.name = "b", .takes = tacit::optim::named("b."), .options = {.lr = 0.01, .momentum = 0.6}, .may_be_empty = true}}};
  tacit::Trainer trainer{net, fake::MeanSquaredError{}, groups, CallbackPack{Thaw{net, epoch}}};
  std::string end = "none";
  try {
    trainer.train(data, options, tacit::momentum(schedule::constant(factor)));
  } catch (tacit::ConfigError const& error) {
    end = error.code();
  }
  CHECK(trainer.view().optimizer().options("b").momentum == 0.6);
  return end;
}

}  // namespace

TEST_CASE("a group that waits for parameters may have the value that a schedule multiplies") {
  CHECK(end_of_waiting(0.0, 0.9, 1) == "none");
}

TEST_CASE("a group that comes within the run with a value out of range ends the run, and no more than that") {
  CHECK(end_of_waiting(0.3, 2.0, 1) == "TACIT-RC146");
  CHECK(end_of_waiting(0.3, 2.0, -1) == "none");  // after the last update the schedule does not act on it
}

TEST_CASE("schedules, an eval set and named eval sets stand in one call") {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"noisy">{}, CallbackPack{}};
  auto const result = trainer.train(data, data, options, tacit::lr(schedule::cosine()), tacit::eval_data<"noisy">(data));
  CHECK(result[tacit::on<"noisy", tacit::tag::eval_loss>{}] == result[tacit::tag::eval_loss{}]);
  CHECK(trainer.train(data, options, tacit::eval_data<"noisy">(data), tacit::lr(schedule::cosine()))[tacit::on<"noisy", tacit::tag::eval_loss>{}] > 0.0);
}

TEST_CASE("T20: a schedule's length follows from the epochs and every limit that can be counted beforehand") {
  // Batches of 4, 4 and 2 samples; windows of one or two micro-batches.
  for (std::int64_t const window : {1, 2, 3}) {
    for (std::int64_t limit = 1; limit <= 40; ++limit) {
      for (int const kind : {0, 1, 2}) {
        tacit::TrainOptions options{.epochs = 4, .per_device_batch_size = 4, .gradient_accumulation = window, .sink = tacit::Sink::none()};
        if (kind == 0) options.limit.samples = limit;
        if (kind == 1) options.limit.micro_batches = limit;
        if (kind == 2) options.limit.updates = limit;
        Used seen;
        tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{.lr = 1.0},
                               tacit::CallbackPack{std::ref(seen)}};
        auto const result = trainer.train(fake::Line{10}, options, tacit::lr(tacit::schedule::linear(1.0, 0.0)));
        CAPTURE(window, limit, kind);
        REQUIRE(trainer.plan().updates == result.updates);
        double const n = static_cast<double>(seen.rates.size());
        REQUIRE(std::abs(seen.rates.back() - 1.0 / n) < 1e-12);  // the last of n updates of a line from 1 to 0
      }
    }
  }
}

TEST_CASE("T20: a limit in samples or micro-batches alone gives a relative schedule its length") {
  for (int const kind : {0, 1}) {
    tacit::TrainOptions options{.per_device_batch_size = 4, .sink = tacit::Sink::none()};
    if (kind == 0) options.limit.samples = 25;
    if (kind == 1) options.limit.micro_batches = 8;
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{.lr = 1.0}, tacit::CallbackPack{}};
    auto const result = trainer.train(fake::Line{10}, options, tacit::lr(tacit::schedule::cosine()));
    CHECK(result.updates == tacit::Updates{8});
    CHECK(trainer.plan().updates == tacit::Updates{8});
  }
}

}  // namespace scheduled_tests
