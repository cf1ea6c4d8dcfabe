#include "tacit/callbacks/ema.hpp"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fake/module.hpp"
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/swa.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;
using tacit::Ema;
using tacit::WeightAverage;
namespace tag = tacit::tag;
using ema_loss = tacit::on<"ema", tag::eval_loss>;

namespace ema_tests {
namespace {

/// The average by hand from the weights after each update.
struct ByHand {
  double decay;
  bool warmup;
  double average;
  double n = 0.0;
  void on(event::UpdateEnd const&, auto& context) {
    double const d = warmup ? std::min(decay, (1.0 + n) / (10.0 + n)) : decay;
    average += (1.0 - d) * (context.trainer().model().weight.item() - average);
    n += 1.0;
  }
};

/// The weight that evaluations meet, by the name of the eval set.
struct Seen {
  std::vector<std::pair<std::string, double>> weights{};
  void on(event::EvalEpochStart const& evaluation, auto& context) {
    weights.emplace_back(std::string{evaluation.set}, context.trainer().model().weight.item());
  }
};

struct ThrowInEvaluation {
  void on(event::EvalStepEnd const&, auto&) { throw std::runtime_error{"in an evaluation"}; }
};

struct EpochWeights {
  std::vector<double>* weights;
  void on(event::TrainEpochEnd const&, auto& context) { weights->push_back(context.trainer().model().weight.item()); }
};

struct UpdateWeights {
  std::vector<double>* weights;
  void on(event::UpdateEnd const&, auto& context) { weights->push_back(context.trainer().model().weight.item()); }
};

tacit::TrainOptions const options{.epochs = 2, .per_device_batch_size = 2, .sink = tacit::Sink::none()};
fake::Line const data{8};
fake::Line const valid{4};

}  // namespace

TEST_CASE("the average follows every update, is evaluated under its own name, and the weights are back afterwards") {
  for (bool const warmup : {false, true}) {
    CAPTURE(warmup);
    auto model = std::make_shared<fake::Linear>();
    ByHand by_hand{0.75, warmup, model->weight.item()};
    Seen seen;
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1},
                           CallbackPack{std::ref(by_hand), Ema{.decay = 0.75, .warmup = warmup}, std::ref(seen)}};
    trainer.train(data, valid, options);
    REQUIRE(seen.weights.size() == 4);
    CHECK(seen.weights[0].first == "ema");
    CHECK(seen.weights[1].first.empty());
    CHECK(seen.weights[2].second == by_hand.average);
    CHECK(seen.weights[3].second == model->weight.item());
    CHECK(by_hand.average != model->weight.item());

    auto const averaged = trainer.history().values(ema_loss{});
    auto const plain = trainer.history().values(tag::eval_loss{});
    REQUIRE(averaged.size() == 2);
    REQUIRE(plain.size() == 2);
    CHECK(averaged[1].value != plain[1].value);

    // The run is the one that it would be without.
    auto other = std::make_shared<fake::Linear>();
    tacit::Trainer without{other, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, CallbackPack{}};
    without.train(data, valid, options);
    CHECK(model->weight.item() == other->weight.item());
  }
}

TEST_CASE("an exception in the evaluation of the average leaves the model its own weights") {
  auto model = std::make_shared<fake::Linear>();
  ByHand by_hand{0.75, false, model->weight.item()};
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1},
                         CallbackPack{std::ref(by_hand), Ema{.decay = 0.75, .warmup = false}, ThrowInEvaluation{}}};
  CHECK_THROWS_AS(trainer.train(data, valid, options), std::runtime_error);
  CHECK(model->weight.item() != by_hand.average);
  auto other = std::make_shared<fake::Linear>();
  tacit::Trainer without{other, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, CallbackPack{}};
  without.train(data, {.epochs = 1, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(model->weight.item() == other->weight.item());
}

TEST_CASE("the average may stay in the model, goes on in the next run, and can be watched") {
  auto model = std::make_shared<fake::Linear>();
  ByHand by_hand{0.75, false, model->weight.item()};
  tacit::Trainer trainer{
      model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1},
      CallbackPack{std::ref(by_hand), Ema{.decay = 0.75, .warmup = false, .evaluate_every = 2, .leave_averaged = true}, tacit::EarlyStopping<ema_loss>{.patience = 9}}};
  trainer.train(data, valid, options);
  CHECK(model->weight.item() == by_hand.average);
  CHECK(trainer.history().values(ema_loss{}).size() == 1);
  trainer.train(data, valid, options);
  CHECK(model->weight.item() == by_hand.average);
}

TEST_CASE("masked updates do not count, and without an eval set nothing is evaluated") {
  auto model = std::make_shared<fake::Linear>();
  WeightAverage average{*model};
  fake::Tensor const mask{std::vector<double>{1.0}};
  model->weight->values[0] = 3.0;
  average.update(0.5, &mask);
  {
    auto const averaged = average.swap();
    CHECK(model->weight.item() == 0.5);  // as the model began
  }
  CHECK(model->weight.item() == 3.0);
  average.update(0.5);
  {
    auto const averaged = average.swap();
    CHECK(model->weight.item() == 1.75);
  }
  fake::Tensor const on_device{std::vector<double>{1.0}};
  on_device->on_device = true;
  auto const reads = fake::device_reads;
  average.update(0.5, &on_device);
  CHECK(fake::device_reads == reads);
  average.apply();
  CHECK(model->weight.item() == 1.75);

  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{Ema{}}};
  CHECK_NOTHROW(trainer.train(data, options));
  CHECK(trainer.history().values(ema_loss{}).empty());
  try {
    tacit::Trainer wrong{model, fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{Ema{.decay = 1.0}}};
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC57");
  }
}

TEST_CASE("Swa has the mean of the weights at the ends of epochs") {
  struct Ends {
    std::vector<double> weights{};
  } ends;
  auto model = std::make_shared<fake::Linear>();
  Seen seen;
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1},
                         CallbackPack{EpochWeights{&ends.weights}, tacit::Swa{.start = 1, .every = 2}, std::ref(seen)}};
  trainer.train(data, valid, {.epochs = 4, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
  REQUIRE(ends.weights.size() == 4);
  double const mean = ends.weights[1] + 0.5 * (ends.weights[3] - ends.weights[1]);
  CHECK(model->weight.item() == mean);
  // After epochs 1 and 3, beside the evaluation of each epoch.
  REQUIRE(seen.weights.size() == 6);
  CHECK(seen.weights[1].first == "swa");
  CHECK(seen.weights[1].second == ends.weights[1]);
  CHECK(seen.weights[4].first == "swa");
  CHECK(seen.weights[4].second == mean);
  CHECK(trainer.history().values(tacit::on<"swa", tag::eval_loss>{}).size() == 2);
  try {
    tacit::Trainer wrong{model, fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{tacit::Swa{.every = 0}}};
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC68");
  }
}

namespace {
/// A model that gets another parameter before the second epoch.
struct Grows : fake::Scale {
  fake::Tensor later{{3.0}};
  fake::Tensor forward(fake::Tensor const& x) const { return weight * x + later; }
};
struct Grow {
  void on(event::TrainingRunEpochStart const& start, auto& context) {
    if (start.epoch.value() != 1) return;
    auto& model = context.trainer().model();
    model.register_parameter("later", model.later);
    context.change_parameters([&](auto& all) { all.add("later", model.later); });
  }
};
struct SeenLater {
  std::vector<double> weights{}, later{};
  void on(event::EvalEpochStart const& evaluation, auto& context) {
    if (evaluation.set != "ema") return;
    weights.push_back(context.trainer().model().weight.item());
    later.push_back(context.trainer().model().later.item());
  }
};
}  // namespace

TEST_CASE("an average takes in a parameter that is added in the run, and keeps what it has of the others") {
  auto const seen = [](bool grows) {
    auto const model = std::make_shared<Grows>();
    SeenLater watch;
    auto const run = [&](auto... more) {
      tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.0}, CallbackPack{Ema{.decay = 0.5, .warmup = false}, std::ref(watch), more...}};
      trainer.train(data, valid, options);
    };
    grows ? run(Grow{}) : run();
    return watch;
  };
  SeenLater const grown = seen(true);
  REQUIRE(grown.later.size() == 2);
  CHECK(grown.weights == seen(false).weights);
  CHECK(grown.later[1] == 3.0);

  fake::Scale model{1.0};
  WeightAverage average{model};
  fake::Tensor const added{{8.0}};
  model.register_parameter("added", added);
  model.weight->values[0] = 2.0;
  average.update(0.5);
  average.follow(model);
  added->values[0] = 4.0;
  average.update(0.5);
  average.apply();
  CHECK(model.weight.item() == 1.75);
  CHECK(added.item() == 6.0);
}

namespace {
tacit::TrainOptions const same_order{
    .epochs = 2, .per_device_batch_size = 2, .first_epoch = 0, .sink = tacit::Sink::none()};
/// The weights that runs leave, one after another; before each run but the first `load` is the model's weight.
template <class Average>
std::vector<double> left_by_runs(Average const& average, std::vector<std::optional<double>> const& loads) {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, CallbackPack{average}};
  std::vector<double> left;
  for (std::optional<double> const load : loads) {
    if (load) {
      model->weight->values[0] = *load;
      model->bias->values[0] = 0.0;
    }
    trainer.train(data, same_order);
    left.push_back(model->weight.item());
  }
  return left;
}
template <class Average>
void check_loaded(Average const& average) {
  std::vector<double> const fresh = left_by_runs(average, {5.0, {}});
  CHECK(left_by_runs(average, {-3.0, 5.0, {}}) == std::vector{left_by_runs(average, {-3.0})[0], fresh[0], fresh[1]});
}
/// Fails in the run that is armed.
struct FailOnce {
  bool* armed;
  void on(event::UpdateEnd const& end, auto&) {
    if (end.update.value() == 2 && std::exchange(*armed, false)) throw std::runtime_error{"broken off"};
  }
};
}  // namespace

TEST_CASE("weights that are loaded between two runs begin a new average; else the average goes on") {
  check_loaded(Ema{.decay = 0.75, .leave_averaged = true});  // with the warmup of a new average
  check_loaded(Ema{.decay = 0.75, .warmup = false, .leave_averaged = true});
  check_loaded(tacit::Swa{});
  check_loaded(tacit::Swa{.leave_averaged = false});

  // After a run that was broken off, too.
  bool armed = true;
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1},
                         CallbackPack{Ema{.decay = 0.75, .leave_averaged = true}, FailOnce{&armed}}};
  CHECK_THROWS_AS(trainer.train(data, same_order), std::runtime_error);
  model->weight->values[0] = 5.0;
  model->bias->values[0] = 0.0;
  trainer.train(data, same_order);
  CHECK(model->weight.item() == left_by_runs(Ema{.decay = 0.75, .leave_averaged = true}, {5.0})[0]);
}

TEST_CASE("a second run goes on with the mean of Swa where the first left its weights in the model") {
  std::vector<double> ends;
  Seen seen;
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1},
                         CallbackPack{EpochWeights{&ends}, tacit::Swa{.leave_averaged = false}, std::ref(seen)}};
  trainer.train(data, valid, options);
  trainer.train(data, valid, options);
  REQUIRE(ends.size() == 4);
  REQUIRE(seen.weights.size() == 8);
  double mean = ends[0];
  for (std::size_t i = 1; i < 4; ++i) mean += 1.0 / static_cast<double>(i + 1) * (ends[i] - mean);
  CHECK(seen.weights[6] == std::pair{std::string{"swa"}, mean});
}

TEST_CASE("behind a When that holds events back an average begins with the first event that passes") {
  auto const late = [](auto const&, auto& context) { return context.progress().epoch.value() >= 1; };
  auto const run = [&](auto average) {
    auto model = std::make_shared<fake::Linear>();
    Seen seen;
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1},
                           CallbackPack{tacit::When{.predicate = late, .inner = average}, std::ref(seen)}};
    trainer.train(data, valid, {.epochs = 2, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
    return std::pair{model->weight.item(), seen.weights};
  };
  auto plain = std::make_shared<fake::Linear>();
  std::vector<double> updates;
  tacit::Trainer without{plain, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, CallbackPack{UpdateWeights{&updates}}};
  without.train(data, options);
  REQUIRE(updates.size() == 8);
  double average = updates[3];  // the model at the start of epoch 1
  for (std::size_t i = 4; i < 8; ++i) average += 0.25 * (updates[i] - average);
  auto const [left, seen] = run(Ema{.decay = 0.75, .warmup = false, .leave_averaged = true});
  CHECK(left == average);
  REQUIRE(seen.size() == 3);  // epoch 0, then the average and the model of epoch 1
  CHECK(seen[1] == std::pair{std::string{"ema"}, average});
  auto const [mean, seen_mean] = run(tacit::Swa{});
  CHECK(mean == updates[7]);
  REQUIRE(seen_mean.size() == 3);
  CHECK(seen_mean[1] == std::pair{std::string{"swa"}, updates[7]});
}

}  // namespace ema_tests
