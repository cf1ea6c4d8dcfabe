#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/module.hpp"
#include "fake/tensor.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;
using tacit::Flow;
using tacit::StopReason;

namespace loop_tests {
namespace {

auto quiet() { return tacit::Sink::none(); }

template <class... Callbacks>
auto make_trainer(std::shared_ptr<fake::Linear> model, CallbackPack<Callbacks...> pack, double lr = 0.1, double momentum = 0.0) {
  return tacit::Trainer{std::move(model), fake::MeanSquaredError{}, fake::Sgd{.lr = lr, .momentum = momentum}, std::move(pack)};
}

struct Parameters {
  double weight;
  double bias;
};
Parameters parameters_of(fake::Linear const& model) { return {model.weight.item(), model.bias.item()}; }

/// Mini-batch gradient descent written out: the window's gradient is the mean over all its samples.
Parameters by_hand(std::int64_t samples, std::int64_t window, int epochs, std::uint64_t seed, double lr) {
  Parameters p{0.5, 0.0};
  for (int epoch = 0; epoch < epochs; ++epoch) {
    tacit::data::ShuffledOrder const order{samples, seed, tacit::EpochIndex{epoch}};
    std::vector<std::int64_t> indices(static_cast<std::size_t>(samples));
    order.fill(0, indices);
    for (std::int64_t first = 0; first < samples; first += window) {
      std::int64_t const end = std::min(first + window, samples);
      double dw = 0.0;
      double db = 0.0;
      for (std::int64_t i = first; i < end; ++i) {
        double const x = static_cast<double>(indices[static_cast<std::size_t>(i)]) / static_cast<double>(samples);
        double const error = p.weight * x + p.bias - (2.0 * x + 1.0);
        dw += 2.0 * error * x;
        db += 2.0 * error;
      }
      p.weight -= lr * dw / static_cast<double>(end - first);
      p.bias -= lr * db / static_cast<double>(end - first);
    }
  }
  return p;
}

bool close(double a, double b, double relative = 1e-12) { return std::abs(a - b) <= relative * std::max(std::abs(a), std::abs(b)); }

}  // namespace

TEST_CASE("accumulation equals the big batch for every remainder") {
  std::int64_t const samples = GENERATE(7, 12, 13, 16, 17);
  std::int64_t const batch = GENERATE(1, 2, 3, 4, 5);
  std::int64_t const accumulation = GENERATE(1, 2, 3, 4);
  auto model = std::make_shared<fake::Linear>();
  auto trainer = make_trainer(model, CallbackPack{});
  auto const result = trainer.train(fake::Line{samples}, {.epochs = 3,
                                                          .per_device_batch_size = batch,
                                                          .gradient_accumulation = accumulation,
                                                          .seed = 11,
                                                          .sink = quiet()});
  Parameters const expected = by_hand(samples, batch * accumulation, 3, 11, 0.1);
  CAPTURE(samples, batch, accumulation);
  CHECK(close(parameters_of(*model).weight, expected.weight));
  CHECK(close(parameters_of(*model).bias, expected.bias));
  std::int64_t const windows = (samples + batch * accumulation - 1) / (batch * accumulation);
  CHECK(result.updates == tacit::Updates{3 * windows});
  CHECK(result.samples == tacit::Samples{3 * samples});
  CHECK(result.reason == StopReason::completed);
}

TEST_CASE("bad input: data that end before they said, in the middle of an update") {
  struct Promised : std::vector<fake::Batch> {
    using std::vector<fake::Batch>::vector;
    std::size_t size() const { return 4; }
  };
  fake::Batch const batch{fake::Tensor{{0.5}}, fake::Tensor{{2.0}}};
  auto model = std::make_shared<fake::Linear>();
  auto trainer = make_trainer(model, CallbackPack{});
  try {
    trainer.train(Promised{batch, batch, batch}, {.epochs = 2, .gradient_accumulation = 2, .sink = quiet()});
    FAIL("nothing thrown");
  } catch (tacit::DataError const& error) {
    CHECK(error.code() == "TACIT-RD18");
    CHECK(std::string{error.what()}.find("after 1 of its 2 batches") != std::string::npos);
  }
  CHECK_FALSE(model->weight->grad.defined());
}

TEST_CASE("the recorded loss is the true mean whatever the accumulation") {
  auto loss_with = [](std::int64_t batch, std::int64_t accumulation) {
    auto model = std::make_shared<fake::Linear>();
    auto trainer = make_trainer(model, CallbackPack{}, 0.0);  // no learning: the mean over all samples at fixed parameters
    return trainer.train(fake::Line{10}, {.epochs = 1, .per_device_batch_size = batch, .gradient_accumulation = accumulation, .sink = quiet()})[tag::train_loss{}];
  };
  double expected = 0.0;
  for (int i = 0; i < 10; ++i) {
    double const x = i / 10.0;
    expected += std::pow(0.5 * x - 2.0 * x - 1.0, 2) / 10.0;
  }
  CHECK(close(loss_with(10, 1), expected));
  CHECK(close(loss_with(3, 1), expected));
  CHECK(close(loss_with(3, 4), expected));
}

TEST_CASE("a run of N epochs makes exactly N times the updates, again and again") {
  auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{});
  tacit::TrainOptions const options{.epochs = 5, .per_device_batch_size = 2, .sink = quiet()};
  CHECK(trainer.train(fake::Line{20}, options).updates == tacit::Updates{50});
  CHECK(trainer.train(fake::Line{20}, options).updates == tacit::Updates{50});
  CHECK(trainer.history().values(tag::train_loss{}).size() == 10);
  CHECK(trainer.history().runs().size() == 2);
  CHECK(trainer.history().values(tag::train_loss{}).back().run == 1);
}

TEST_CASE("each limit ends the run exactly") {
  auto run = [](tacit::TrainOptions options) {
    options.sink = quiet();
    auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{});
    return trainer.train(fake::Line{20}, options);
  };
  SECTION("updates") {
    auto const result = run({.limit = {.updates = 35}, .per_device_batch_size = 2});
    CHECK(result.updates == tacit::Updates{35});
    CHECK(result.epochs == tacit::Epochs{4});
    CHECK(result.reason == StopReason::limit);
  }
  SECTION("the first of two") {
    CHECK(run({.epochs = 1, .limit = {.updates = 35}, .per_device_batch_size = 2}).updates == tacit::Updates{10});
    CHECK(run({.epochs = 9, .limit = {.updates = 35}, .per_device_batch_size = 2}).updates == tacit::Updates{35});
  }
  SECTION("a limit at an epoch's end starts no further epoch") {
    CHECK(run({.limit = {.updates = 20}, .per_device_batch_size = 2}).epochs == tacit::Epochs{2});
  }
  SECTION("micro-batches close the window in work") {
    auto const result = run({.limit = {.micro_batches = 7}, .per_device_batch_size = 2, .gradient_accumulation = 3});
    CHECK(result.micro_batches == tacit::MicroBatches{7});
    CHECK(result.updates == tacit::Updates{3});
  }
  SECTION("samples") {
    auto const result = run({.limit = {.samples = 25}, .per_device_batch_size = 4});
    CHECK(result.samples == tacit::Samples{28});
    CHECK(result.updates == tacit::Updates{7});
  }
  SECTION("time") {
    auto const result = run({.epochs = 1000000000, .limit = {.duration = std::chrono::milliseconds{20}}, .per_device_batch_size = 2});
    CHECK(result.reason == StopReason::limit);
    CHECK(result.duration >= std::chrono::milliseconds{20});
  }
}

TEST_CASE("options without a meaning are refused with their own number") {
  auto code_of = [](tacit::TrainOptions const& options) -> std::string {
    auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{});
    try {
      trainer.train(fake::Line{4}, options);
    } catch (tacit::ConfigError const& error) {
      CHECK(std::string{error.what()}.find("TrainOptions::") != std::string::npos);
      CHECK_FALSE(error.fix().empty());
      CHECK(trainer.history().runs().empty());
      return error.code();
    }
    return "accepted";
  };
  double const nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(code_of({}) == "TACIT-RC40");
  CHECK(code_of({.epochs = 0}) == "TACIT-RC41");
  CHECK(code_of({.limit = {.updates = 0}}) == "TACIT-RC42");
  CHECK(code_of({.limit = {.micro_batches = 0}}) == "TACIT-RC43");
  CHECK(code_of({.limit = {.samples = 0}}) == "TACIT-RC44");
  CHECK(code_of({.limit = {.tokens = 0}}) == "TACIT-RC45");
  CHECK(code_of({.limit = {.duration = std::chrono::seconds{-1}}}) == "TACIT-RC46");
  CHECK(code_of({.epochs = 1, .per_device_batch_size = 0}) == "TACIT-RC47");
  CHECK(code_of({.epochs = 1, .eval_per_device_batch_size = 0}) == "TACIT-RC48");
  CHECK(code_of({.epochs = 1, .gradient_accumulation = 0}) == "TACIT-RC49");
  CHECK(code_of({.epochs = 1, .clip = {.norm = -1.0}}) == "TACIT-RC50");
  CHECK(code_of({.epochs = 1, .clip = {.norm = nan}}) == "TACIT-RC50");
  CHECK(code_of({.epochs = 1, .evaluation = {.every_updates = 0}}) == "TACIT-RC51");
  CHECK(code_of({.epochs = 1, .log_every = 0}) == "TACIT-RC52");
  CHECK(code_of({.limit = {.tokens = 5}}) == "TACIT-RC62");
  CHECK(code_of({.epochs = 1, .eval_per_device_batch_size = 2}) == "TACIT-RC147");
  CHECK(code_of({.epochs = 1, .evaluation = {.every_epochs = 2}}) == "TACIT-RC147");
  CHECK(code_of({.epochs = 1, .evaluation = {.every_updates = 2}}) == "TACIT-RC147");
  CHECK(code_of({.epochs = 1, .evaluation = {.every_epochs = 0}}) == "accepted");
  CHECK_THROWS_AS(tacit::TrainOptions{.epochs = -1}, tacit::ConfigError);
  auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{});
  auto eval_code = [&](tacit::EvalOptions const& options) {
    try {
      trainer.evaluate(fake::Line{4}, options);
    } catch (tacit::ConfigError const& error) {
      return error.code();
    }
    return std::string{"accepted"};
  };
  CHECK(eval_code({.per_device_batch_size = 0}) == "TACIT-RC53");
  CHECK(eval_code({.limit = 0}) == "TACIT-RC54");
  auto own = tacit::data::loader(fake::Line{4}, {.batch_size = 2});
  try {
    trainer.train(own, {.epochs = 1, .per_device_batch_size = 2});
    FAIL("a loader and a batch size");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC60");
  }

  tacit::Trainer sets{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                      tacit::eval_sets<"a", "b">{}, CallbackPack{}};
  auto const train = [&](auto&& a, auto&& b) {
    sets.train(fake::Line{4}, {.epochs = 1, .eval_per_device_batch_size = 2, .sink = tacit::Sink::none()},
               tacit::eval_data<"a">(a), tacit::eval_data<"b">(b));
  };
  fake::Line const four{4};
  CHECK_NOTHROW(train(own, four));
  CHECK_NOTHROW(sets.train(four, own, {.epochs = 1, .eval_per_device_batch_size = 2, .sink = tacit::Sink::none()},
                           tacit::eval_data<"a">(own), tacit::eval_data<"b">(four)));
  CHECK_THROWS_WITH(train(own, own),
                    Catch::Matchers::ContainsSubstring("TACIT-RC60"));
}

namespace {
/// A module holder as LibTorch's: what it holds may be asked for only where there is something.
class Holder {
 public:
  using ContainedType = fake::Linear;
  explicit Holder(std::shared_ptr<fake::Linear> module = nullptr) : module_{std::move(module)} {}
  bool is_empty() const noexcept { return module_ == nullptr; }
  std::shared_ptr<fake::Linear> const& ptr() const {
    if (is_empty()) throw std::logic_error{"Accessing empty ModuleHolder"};
    return module_;
  }

 private:
  std::shared_ptr<fake::Linear> module_;
};
struct Derived : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  auto forward(fake::Tensor const& input, auto&) { return model->forward(input); }
};
struct WithHolder {
  using slot = tacit::slot::task;
  using tensor_type = fake::Tensor;
  std::shared_ptr<fake::Linear> model;
  fake::Sgd optimizer;
  auto train_step(fake::Batch const& batch, auto&) {
    return tacit::StepResult<fake::Tensor, int>{fake::MeanSquaredError{}(model->forward(batch.input), batch.target), 0};
  }
};
struct Frozen : fake::Module {
  fake::Tensor forward(fake::Tensor const& x) const { return x; }
};

std::string refusal(auto const& make) {
  try {
    make();
    return "accepted";
  } catch (tacit::ConfigError const& error) {
    return std::string{error.code()} + " " + std::string{error.problem()};
  }
}
}  // namespace

TEST_CASE("a null pointer for a model is refused in every form of a task") {
  std::shared_ptr<fake::Linear> const none;
  auto const model = std::make_shared<fake::Linear>();
  auto const step = [](fake::Linear& net, fake::Batch const& batch, auto&) {
    return tacit::StepResult<fake::Tensor, int>{fake::MeanSquaredError{}(net.forward(batch.input), batch.target), 0};
  };
  fake::MeanSquaredError const loss;
  fake::Sgd const optimizer;
  CallbackPack<> const pack;
  std::string const text = "TACIT-RC61 the model is a null pointer";
  CHECK(refusal([&] { tacit::Trainer{none, loss, optimizer, pack}; }) == text);
  CHECK(refusal([&] { tacit::Trainer{Holder{}, loss, optimizer, pack}; }) == text);
  CHECK(refusal([&] { tacit::Trainer{Holder{model}, loss, optimizer, pack}; }) == "accepted");
  CHECK(refusal([&] { tacit::Trainer{tacit::Task{none, optimizer, step}, pack}; }) == text);
  CHECK(refusal([&] { tacit::Trainer{tacit::Task{Holder{}, optimizer, step}, pack}; }) == text);
  CHECK(refusal([&] { tacit::Trainer{Derived{}, pack}; }) == text);
  CHECK(refusal([&] { tacit::Trainer{Derived{{model, loss, optimizer}}, pack}; }) == "accepted");
  CHECK(refusal([&] { tacit::Trainer{WithHolder{}, pack}; }) == text);
  auto const first = tacit::phase<"one">(model, optimizer, step);
  auto const second = tacit::phase<"two">(Holder{}, optimizer, step);
  std::string const of_phase = "TACIT-RC61 the model of phase two is a null pointer";
  CHECK(refusal([&] { tacit::Trainer{tacit::Task{first, second}, pack}; }) == of_phase);
}

TEST_CASE("a model without parameters that train is refused, whatever the optimizer") {
  std::string const text =
      "TACIT-RC20 there are no parameters to update: the model has none, or all of them are frozen";
  fake::MeanSquaredError const loss;
  auto const frozen = std::make_shared<Frozen>();
  CHECK(refusal([&] { tacit::Trainer{frozen, loss, fake::Sgd{}, CallbackPack{}}; }) == text);
  CHECK(refusal([&] { tacit::Trainer{frozen, loss, tacit::optim::Groups<fake::Sgd>{}, CallbackPack{}}; }) == text);
  frozen->register_parameter("x", fake::Tensor{{1.0}}, false);
  CHECK(refusal([&] { tacit::Trainer{frozen, loss, fake::Sgd{}, CallbackPack{}}; }) == text);
}

namespace {
struct CountEverything {
  int epochs = 0;
  int updates = 0;
  int steps = 0;
  int ends = 0;
  int stops = 0;
  void on(event::TrainEpochEnd const&, auto&) { ++epochs; }
  void on(event::UpdateEnd const&, auto&) { ++updates; }
  void on(event::TrainStepEnd const&, auto&) { ++steps; }
  void on(event::TrainingRunEnd const&, auto&) { ++ends; }
  void on(event::StopRequested const&, auto&) { ++stops; }
};
struct StopAt {
  std::int64_t update;
  Flow request = Flow::stop_run;
  Flow on(event::UpdateEnd const& e, auto&) { return e.update.value() == update ? request : Flow::proceed; }
};
}  // namespace

namespace {
struct Ask {
  std::function<void()> stop;
  void on(event::UpdateEnd const& e, auto&) {
    if (e.update.value() == 4) std::thread{stop}.join();
  }
};
struct Norms {
  std::vector<double> values;
  void on(event::UpdateStart const&, auto& context) { values.push_back(context.gradient_norm()->read(*context.log_point())); }
};
struct Again {
  std::function<void()> train;
  std::string code;
  void on(event::UpdateEnd const&, auto&) {
    try {
      train();
    } catch (tacit::UsageError const& error) {
      code = error.code();
    }
  }
};
}  // namespace

TEST_CASE("a request to stop ends the run after the update, and every callback still sees every event") {
  CountEverything count;
  auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{StopAt{6}, std::ref(count)});
  auto const result = trainer.train(fake::Line{20}, {.epochs = 9, .per_device_batch_size = 4, .sink = quiet()});
  CHECK(result.updates == tacit::Updates{7});
  CHECK(result.reason == StopReason::callback);
  CHECK(count.updates == 7);
  CHECK(count.epochs == 2);
  CHECK(count.ends == 1);
  CHECK(count.stops == 1);
  CHECK(trainer.history().runs().back().reason == StopReason::callback);
  SECTION("the next run starts without the request") {
    CHECK(trainer.train(fake::Line{20}, {.limit = {.updates = 3}, .per_device_batch_size = 4, .sink = quiet()}).updates == tacit::Updates{3});
  }
}

TEST_CASE("a request to end the epoch ends this one only") {
  CountEverything count;
  auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{StopAt{2, Flow::end_epoch}, std::ref(count)});
  auto const result = trainer.train(fake::Line{20}, {.epochs = 2, .per_device_batch_size = 4, .sink = quiet()});
  CHECK(result.updates == tacit::Updates{3 + 5});
  CHECK(result.reason == StopReason::completed);
}

TEST_CASE("request_stop works from another thread") {
  Ask ask;
  auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{std::ref(ask)});
  ask.stop = [&] { trainer.request_stop(); };
  auto const result = trainer.train(fake::Line{20}, {.epochs = 9, .per_device_batch_size = 4, .sink = quiet()});
  CHECK(result.updates == tacit::Updates{5});
  CHECK(result.reason == StopReason::requested);
}

namespace {
struct SkipOdd {
  Flow on(event::TrainStepStart const& e, auto&) { return e.step.value() % 2 == 1 ? Flow::skip_batch : Flow::proceed; }
};
struct SkipAll {
  Flow on(event::TrainStepStart const&, auto&) { return Flow::skip_batch; }
};
struct SkipWrongly {
  Flow on(event::UpdateEnd const&, auto&) { return Flow::skip_batch; }
};
struct LossSum {
  double weighted = 0.0;
  int count = 0;
  void on(event::TrainLossComputed const&, auto& context) {
    weighted += context.loss().read(*context.log_point());
    ++count;
  }
};
}  // namespace

TEST_CASE("a skipped batch has weight 0") {
  SECTION("in a window with others") {
    auto skipping = std::make_shared<fake::Linear>();
    auto plain = std::make_shared<fake::Linear>();
    std::vector<fake::Batch> all;
    std::vector<fake::Batch> kept;
    for (int i = 0; i < 6; ++i) {
      double const x = 0.1 * i;
      fake::Batch batch{fake::Tensor{{x, x + 0.5}}, fake::Tensor{{1.0, x}}};
      all.push_back(batch);
      if (i % 2 == 0) kept.push_back(batch);
    }
    make_trainer(skipping, CallbackPack{SkipOdd{}}).train(all, {.epochs = 1, .gradient_accumulation = 6, .sink = quiet()});
    make_trainer(plain, CallbackPack{}).train(kept, {.epochs = 1, .gradient_accumulation = 3, .sink = quiet()});
    CHECK(close(parameters_of(*skipping).weight, parameters_of(*plain).weight));
    CHECK(close(parameters_of(*skipping).bias, parameters_of(*plain).bias));
  }
  SECTION("a window of skipped batches makes no update") {
    auto model = std::make_shared<fake::Linear>();
    auto trainer = make_trainer(model, CallbackPack{SkipAll{}});
    auto const result = trainer.train(fake::Line{8}, {.epochs = 2, .per_device_batch_size = 2, .sink = quiet()});
    CHECK(result.updates == tacit::Updates{0});
    CHECK(result.samples == tacit::Samples{0});
    CHECK(parameters_of(*model).weight == 0.5);
  }
  SECTION("skipping means nothing elsewhere") {
    auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{SkipWrongly{}});
    try {
      trainer.train(fake::Line{8}, {.epochs = 1, .sink = quiet()});
      FAIL("accepted");
    } catch (tacit::UsageError const& error) {
      CHECK(error.code() == "TACIT-RU02");
      CHECK(error.problem().find("UpdateEnd") != std::string::npos);
    }
  }
}

TEST_CASE("data of unknown length flush the last window") {
  struct Endless {  // an input range that does not know its size
    std::vector<fake::Batch> batches;
    auto begin() { return batches.begin(); }
    auto end() { return batches.end(); }
  };
  Endless data;
  std::vector<double> xs;
  for (int i = 0; i < 7; ++i) data.batches.push_back({fake::Tensor{{0.1 * i}}, fake::Tensor{{1.0}}});
  auto model = std::make_shared<fake::Linear>();
  auto trainer = make_trainer(model, CallbackPack{});
  auto const result = trainer.train(data, {.epochs = 2, .gradient_accumulation = 3, .sink = quiet()});
  CHECK(result.updates == tacit::Updates{6});
  CHECK(result.micro_batches == tacit::MicroBatches{14});
  Parameters p{0.5, 0.0};
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (int first = 0; first < 7; first += 3) {
      int const end = std::min(first + 3, 7);
      double dw = 0.0;
      double db = 0.0;
      for (int i = first; i < end; ++i) {
        double const error = p.weight * 0.1 * i + p.bias - 1.0;
        dw += 2.0 * error * 0.1 * i;
        db += 2.0 * error;
      }
      p.weight -= 0.1 * dw / (end - first);
      p.bias -= 0.1 * db / (end - first);
    }
  }
  CHECK(close(parameters_of(*model).weight, p.weight));
  CHECK(close(parameters_of(*model).bias, p.bias));
}

namespace {
struct EvaluateInside {
  void on(event::UpdateEnd const& e, auto& context) {
    if (e.update.value() % 2 == 1) context.evaluate();
  }
};
struct CountEvaluations {
  int intermediate = 0;
  int at_end = 0;
  void on(event::EvalEpochEnd const& e, auto&) { ++(e.intermediate ? intermediate : at_end); }
};
}  // namespace

TEST_CASE("evaluation inside an epoch restores the mode at once") {
  auto model = std::make_shared<fake::Linear>();
  CountEvaluations count;
  auto trainer = make_trainer(model, CallbackPack{EvaluateInside{}, std::ref(count)});
  model->train(true);
  auto const result = trainer.train(fake::Line{12}, fake::Line{6}, {.epochs = 1, .per_device_batch_size = 3, .eval_per_device_batch_size = 6, .sink = quiet()});
  CHECK(result.updates == tacit::Updates{4});
  CHECK(count.intermediate == 2);
  CHECK(count.at_end == 1);
  CHECK(model->forwards == std::vector<bool>{true, true, false, true, true, false, false});
  CHECK(model->is_training());
  CHECK(trainer.history().values(tag::eval_loss{}).size() == 3);
  SECTION("asked for by the options") {
    auto plain = std::make_shared<fake::Linear>();
    CountEvaluations again;
    auto second = make_trainer(plain, CallbackPack{std::ref(again)});
    second.train(fake::Line{12}, fake::Line{6}, {.epochs = 2, .per_device_batch_size = 3, .evaluation = {.every_epochs = 2, .every_updates = 3}, .sink = quiet()});
    CHECK(again.intermediate == 2);
    CHECK(again.at_end == 1);
  }
  SECTION("without an eval set it is an error that says so") {
    auto third = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{EvaluateInside{}});
    try {
      third.train(fake::Line{12}, {.epochs = 1, .per_device_batch_size = 3, .sink = quiet()});
      FAIL("accepted");
    } catch (tacit::UsageError const& error) {
      CHECK(error.code() == "TACIT-RU03");
    }
  }
}

TEST_CASE("an evaluation leaves the training history alone") {
  auto model = std::make_shared<fake::Linear>();
  model->train(true);
  auto trainer = make_trainer(model, CallbackPack{});
  trainer.train(fake::Line{8}, {.epochs = 1, .sink = quiet()});
  tacit::History const before = trainer.history();
  auto const result = trainer.evaluate(fake::Line{8}, {.per_device_batch_size = 3, .sink = quiet()});
  CHECK(trainer.history() == before);
  CHECK(model->is_training());
  double expected = 0.0;
  for (int i = 0; i < 8; ++i) {
    double const x = i / 8.0;
    expected += std::pow(model->weight.item() * x + model->bias.item() - 2.0 * x - 1.0, 2) / 8.0;
  }
  CHECK(close(result[tag::eval_loss{}], expected));
  CHECK_THROWS_AS(result[tag::train_loss{}], tacit::UsageError);
  CHECK(trainer.evaluate(fake::Line{8}, {.per_device_batch_size = 2, .limit = 1, .sink = quiet()})[tag::eval_loss{}] != expected);
}

TEST_CASE("clipping is once per update, on the whole gradient") {
  Norms norms;
  auto model = std::make_shared<fake::Linear>();
  auto trainer = make_trainer(model, CallbackPack{std::ref(norms)});
  trainer.train(fake::Line{8}, {.limit = {.updates = 1}, .per_device_batch_size = 2, .gradient_accumulation = 4, .clip = {.norm = 0.5}, .sink = quiet()});
  double dw = 0.0;
  double db = 0.0;
  for (int i = 0; i < 8; ++i) {
    double const x = i / 8.0;
    double const error = 0.5 * x - 2.0 * x - 1.0;
    dw += 2.0 * error * x / 8.0;
    db += 2.0 * error / 8.0;
  }
  double const norm = std::hypot(dw, db);
  REQUIRE(norms.values.size() == 1);
  CHECK(close(norms.values[0], norm));
  double const factor = 0.5 / (norm + 1e-6);
  CHECK(close(parameters_of(*model).weight, 0.5 - 0.1 * factor * dw));
  CHECK(close(parameters_of(*model).bias, -0.1 * factor * db));
}

namespace {
struct Freeze {
  int changes = 0;
  void on(event::UpdateEnd const& e, auto& context) {
    if (e.update.value() == 1) context.change_parameters([](auto& parameters) { parameters.remove("weight"); });
    if (e.update.value() == 3) {
      context.change_parameters([&](auto& parameters) { parameters.add("weight", context.trainer().model().weight); });
    }
  }
  void on(event::ParametersChanged const&, auto&) { ++changes; }
};
}  // namespace

TEST_CASE("changing parameters keeps the state of those that stay") {
  auto model = std::make_shared<fake::Linear>();
  Freeze freeze;
  auto trainer = make_trainer(model, CallbackPack{std::ref(freeze)}, 0.1, 0.9);
  trainer.train(fake::Line{8}, {.limit = {.updates = 5}, .per_device_batch_size = 8, .sink = quiet()});
  double w = 0.5;
  double b = 0.0;
  double vw = 0.0;
  double vb = 0.0;
  for (int update = 0; update < 5; ++update) {
    double dw = 0.0;
    double db = 0.0;
    for (int i = 0; i < 8; ++i) {
      double const x = i / 8.0;
      double const error = w * x + b - 2.0 * x - 1.0;
      dw += 2.0 * error * x / 8.0;
      db += 2.0 * error / 8.0;
    }
    if (update == 4) vw = 0.0;  // removed and added again: a new parameter
    if (update < 2 || update == 4) {
      vw = 0.9 * vw + dw;
      w -= 0.1 * vw;
    }
    vb = 0.9 * vb + db;
    b -= 0.1 * vb;
  }
  CHECK(freeze.changes == 2);
  CHECK(close(model->weight.item(), w));
  CHECK(close(model->bias.item(), b));
}

namespace {
struct Milestone {
  std::int64_t update;
};
struct Sender {
  void on(event::UpdateEnd const& e, auto& context) { context.emit(Milestone{e.update.value()}); }
};
struct Receiver {
  using events = event::list<Milestone>;
  std::vector<std::int64_t> seen;
  bool can_emit = true;
  Flow on(Milestone const& e, auto& context) {
    seen.push_back(e.update);
    can_emit = requires { context.emit(e); };
    return e.update == 2 ? Flow::stop_run : Flow::proceed;
  }
};
}  // namespace

TEST_CASE("a user's event reaches its handlers, which may stop the run but not emit") {
  Receiver receiver;
  auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{Sender{}, std::ref(receiver)});
  auto const result = trainer.train(fake::Line{8}, {.epochs = 9, .per_device_batch_size = 2, .sink = quiet()});
  CHECK(receiver.seen == std::vector<std::int64_t>{0, 1, 2});
  CHECK_FALSE(receiver.can_emit);
  CHECK(result.updates == tacit::Updates{3});
}

namespace {
struct ReadOften {
  void on(event::TrainLossComputed const&, auto& context) {
    if (auto const* log_point = context.log_point()) sum += context.loss().read(*log_point);
  }
  double sum = 0.0;
};
}  // namespace

TEST_CASE("between log points nothing is read from the device") {
  auto run = [](std::int64_t updates, auto pack) {
    auto model = std::make_shared<fake::Linear>();
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, fake::Gpu{}, std::move(pack)};
    fake::device_reads = 0;
    trainer.train(fake::Line{1000}, {.limit = {.updates = updates}, .per_device_batch_size = 1, .clip = {.norm = 1.0}, .sink = quiet()});
    return fake::device_reads;
  };
  CHECK(run(300, CallbackPack{}) == 1);  // the epoch's loss
  CHECK(run(300, CallbackPack{ReadOften{}}) == 1 + 300 / 50);
}

namespace {
struct step_loss : tacit::Metric<"step_loss"> {};
struct RecordEveryStep {
  using records = tacit::records<step_loss>;
  void on(event::TrainStepEnd const&, auto& context) { context.record(step_loss{}, context.loss()); }
};
struct ReadEvaluation {
  void on(event::EvalStepEnd const&, auto& context) {
    if (auto const* log_point = context.log_point()) sum += context.loss().read(*log_point);
  }
  double sum = 0.0;
};
}  // namespace

TEST_CASE("evaluation on a device reads once, at its end; recording between log points is refused") {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, fake::Gpu{}, CallbackPack{ReadEvaluation{}}};
  fake::device_reads = 0;
  trainer.evaluate(fake::Line{100}, {.per_device_batch_size = 1, .sink = quiet()});
  CHECK(fake::device_reads == 1);
  tacit::Trainer hasty{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, fake::Gpu{}, CallbackPack{RecordEveryStep{}}};
  try {
    hasty.train(fake::Line{4}, {.epochs = 1, .per_device_batch_size = 1, .sink = quiet()});
    FAIL("accepted");
  } catch (tacit::UsageError const& error) {
    CHECK(error.code() == "TACIT-RU04");
  }
  tacit::Trainer host{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{RecordEveryStep{}}};
  host.train(fake::Line{4}, {.epochs = 1, .per_device_batch_size = 1, .sink = quiet()});
  CHECK(host.history().values(step_loss{}).size() == 4);
}

TEST_CASE("one trainer, one thread, one run at a time") {
  auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{});
  SECTION("another thread") {
    std::string code;
    std::thread{[&] {
      try {
        trainer.train(fake::Line{4}, {.epochs = 1, .sink = quiet()});
      } catch (tacit::UsageError const& error) {
        code = error.code();
      }
    }}.join();
    CHECK(code == "TACIT-RU11");
  }
  SECTION("from inside a callback") {
    Again again;
    auto outer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{std::ref(again)});
    again.train = [&] { outer.evaluate(fake::Line{4}, {.sink = quiet()}); };
    outer.train(fake::Line{4}, {.limit = {.updates = 1}, .sink = quiet()});
    CHECK(again.code == "TACIT-RU10");
    again.train = [&] { trainer.train(fake::Line{4}, {.limit = {.updates = 1}, .sink = quiet()}); };
    outer.train(fake::Line{4}, {.limit = {.updates = 1}, .sink = quiet()});
    CHECK(again.code == "TACIT-RU12");
  }
  CHECK_NOTHROW(trainer.train(fake::Line{4}, {.limit = {.updates = 1}, .sink = quiet()}));
}

namespace {
template <class Event>
struct ThrowAt {
  bool armed = true;
  void on(Event const&, auto&) {
    if (armed) throw std::runtime_error{"broken on purpose"};
  }
};
struct Log {
  std::vector<std::string> lines;
  void on(auto const& event, auto&) {
    std::string name = tacit::type_name<std::remove_cvref_t<decltype(event)>>();
    if (name.find("Aborted") != std::string::npos) lines.push_back(name);
  }
};
struct OtherLog : Log {};
struct ThrowWhenAborted {
  void on(event::Aborted<tacit::stage::TrainStep> const&, auto&) { throw 1; }
};
}  // namespace

TEST_CASE("an exception aborts the phases it leaves, inner first, and comes out as it was") {
  Log before;
  OtherLog after;
  std::ostringstream out;
  auto model = std::make_shared<fake::Linear>();
  SECTION("thrown in a step") {
    auto trainer = make_trainer(model, CallbackPack{std::ref(before), ThrowWhenAborted{}, ThrowAt<event::TrainLossComputed>{}});
    try {
      trainer.train(fake::Line{8}, {.epochs = 1, .per_device_batch_size = 2, .sink = out});
      FAIL("nothing thrown");
    } catch (std::runtime_error const& error) {
      CHECK(std::string{error.what()} == "broken on purpose");
    }
    CHECK(before.lines == std::vector<std::string>{"event::Aborted<stage::TrainStep>", "event::Aborted<stage::TrainEpoch>",
                                                   "event::Aborted<stage::TrainingRunEpoch>", "event::Aborted<stage::TrainingRun>"});
    CHECK(out.str().find("a second error") != std::string::npos);
    auto const& run = trainer.history().runs().back();
    CHECK_FALSE(run.finished);
    CHECK(run.error.find("ThrowAt") != std::string::npos);
    CHECK(run.error.find("TrainLossComputed") != std::string::npos);
    CHECK(run.error.find("update 0") != std::string::npos);
    CHECK(run.error.find("broken on purpose") != std::string::npos);
  }
  SECTION("thrown by a start handler: only callbacks before it saw the start") {
    auto trainer = make_trainer(model, CallbackPack{std::ref(before), ThrowAt<event::TrainEpochStart>{}, std::ref(after)});
    CHECK_THROWS_AS(trainer.train(fake::Line{8}, {.epochs = 1, .sink = out}), std::runtime_error);
    CHECK(before.lines == std::vector<std::string>{"event::Aborted<stage::TrainEpoch>", "event::Aborted<stage::TrainingRunEpoch>",
                                                   "event::Aborted<stage::TrainingRun>"});
    CHECK(after.lines == std::vector<std::string>{"event::Aborted<stage::TrainingRunEpoch>", "event::Aborted<stage::TrainingRun>"});
  }
  SECTION("the trainer is as before: mode restored, gradients dropped, the next run works") {
    ThrowAt<event::TrainStepEnd> once;
    auto trainer = make_trainer(model, CallbackPack{std::ref(once)});
    model->train(false);
    CHECK_THROWS(trainer.train(fake::Line{8}, {.epochs = 1, .sink = out}));
    CHECK_FALSE(model->is_training());
    CHECK_FALSE(model->weight->grad.defined());
    once.armed = false;
    CHECK(trainer.train(fake::Line{8}, {.epochs = 1, .per_device_batch_size = 2, .sink = out}).updates == tacit::Updates{4});
  }
}

TEST_CASE("every hook's exception names callback and event") {
  auto check_hook = []<class Event>(tacit::type<Event>, std::string const& name) {
    auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{ThrowAt<Event>{}});
    CHECK_THROWS_AS(trainer.train(fake::Line{8}, fake::Line{4}, {.epochs = 1, .per_device_batch_size = 2, .sink = quiet()}), std::runtime_error);
    INFO(name);
    REQUIRE(trainer.history().runs().size() == 1);
    CHECK(trainer.history().runs()[0].error.find("ThrowAt") != std::string::npos);
    CHECK(trainer.history().runs()[0].error.find(name) != std::string::npos);
  };
  check_hook(tacit::type<event::TrainingRunStart>{}, "TrainingRunStart");
  check_hook(tacit::type<event::TrainingRunEpochStart>{}, "TrainingRunEpochStart");
  check_hook(tacit::type<event::TrainEpochStart>{}, "TrainEpochStart");
  check_hook(tacit::type<event::DataFetchStart>{}, "DataFetchStart");
  check_hook(tacit::type<event::DataFetchEnd>{}, "DataFetchEnd");
  check_hook(tacit::type<event::TrainStepStart>{}, "TrainStepStart");
  check_hook(tacit::type<event::TrainLossComputed>{}, "TrainLossComputed");
  check_hook(tacit::type<event::TrainStepEnd>{}, "TrainStepEnd");
  check_hook(tacit::type<event::UpdateStart>{}, "UpdateStart");
  check_hook(tacit::type<event::UpdateEnd>{}, "UpdateEnd");
  check_hook(tacit::type<event::TrainEpochEnd>{}, "TrainEpochEnd");
  check_hook(tacit::type<event::EvalEpochStart>{}, "EvalEpochStart");
  check_hook(tacit::type<event::EvalStepStart>{}, "EvalStepStart");
  check_hook(tacit::type<event::EvalStepEnd>{}, "EvalStepEnd");
  check_hook(tacit::type<event::EvalEpochEnd>{}, "EvalEpochEnd");
  check_hook(tacit::type<event::TrainingRunEpochEnd>{}, "TrainingRunEpochEnd");
  check_hook(tacit::type<event::TrainingRunEnd>{}, "TrainingRunEnd");
}

TEST_CASE("the plan states what the run does in sound units") {
  auto trainer = make_trainer(std::make_shared<fake::Linear>(), CallbackPack{});
  trainer.train(fake::Line{20}, fake::Line{7}, {.epochs = 3, .per_device_batch_size = 3, .eval_per_device_batch_size = 5, .gradient_accumulation = 2, .clip = {.norm = 2.0}, .seed = 9, .sink = quiet()});
  tacit::RunPlan const plan = trainer.plan();
  CHECK(plan.micro_batches_per_epoch == tacit::MicroBatches{7});
  CHECK(plan.updates_per_epoch == tacit::Updates{4});
  CHECK(plan.updates == tacit::Updates{12});
  CHECK(plan.per_device_batch_size == tacit::Samples{3});
  CHECK(plan.total_batch_size == tacit::Samples{6});
  CHECK(plan.eval_per_device_batch_size == tacit::Samples{5});
  CHECK(plan.eval_total_batch_size == tacit::Samples{5});
  CHECK(plan.eval_batches == tacit::MicroBatches{2});
  CHECK(plan.clip_norm == 2.0);
  CHECK(plan.seed == 9);
  CHECK(plan.world_size == 1);
  CHECK_FALSE(plan.is_distributed);
  CHECK(plan.device == "cpu");
  trainer.evaluate(fake::Line{7}, {.per_device_batch_size = 7, .sink = quiet()});
  CHECK_FALSE(trainer.plan().per_device_batch_size.is_set());
  CHECK(trainer.plan().eval_per_device_batch_size == tacit::Samples{7});
  tacit::PrintingVisitor printed;
  tacit::RunPlan::visit_config(plan, printed);
  CHECK(printed.text().find("total_batch_size = 6\n") != std::string::npos);
}

TEST_CASE("what the caller names stays the caller's: lvalues are copied, rvalues moved") {
  using Base = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;
  Base const task{std::make_shared<fake::Linear>(), {}, {.lr = 0.25}};
  CallbackPack pack{StopAt{0}};
  tacit::Trainer first{task, pack};
  tacit::Trainer second{task, pack};
  CHECK(task.model != nullptr);
  CHECK(first.train(fake::Line{4}, {.epochs = 2, .sink = quiet()}).updates == tacit::Updates{1});
  CHECK(second.train(fake::Line{4}, {.epochs = 2, .sink = quiet()}).updates == tacit::Updates{1});
}

namespace {
/// Sets the rows of micro-batches once the batch is there: the window has begun.
struct LateRows {
  std::vector<std::int64_t> rows;  // by batch, 0: whole
  tacit::Samples now{tacit::unset};
  std::size_t batches = 0;
  tacit::Samples micro_batch_rows() const { return now; }
  void halved(tacit::Samples most, tacit::Sink const&, tacit::Progress const&) { now = most; }
  void on(event::DataFetchEnd const& end, auto&) {
    if (end.exhausted) return;
    std::int64_t const next = rows[batches++ % rows.size()];
    now = next == 0 ? tacit::Samples{tacit::unset} : tacit::Samples{next};
  }
};
struct LeavesNothingOut {
  Flow on(event::TrainStepStart const&, auto&) { return Flow::proceed; }
};
}  // namespace

TEST_CASE("rows of micro-batches that come after the window began: the update is that of the whole batch") {
  auto const train = [](std::int64_t accumulation, auto... callbacks) {
    auto model = std::make_shared<fake::Linear>();
    auto trainer = make_trainer(model, CallbackPack{callbacks...}, 0.1, 0.5);
    trainer.train(fake::Line{26}, {.epochs = 2,
                                   .per_device_batch_size = 8,
                                   .gradient_accumulation = accumulation,
                                   .clip = {.norm = 2.0},
                                   .sink = quiet()});
    return std::array{model->weight.item(), model->bias.item()};
  };
  for (std::int64_t const accumulation : {1, 2}) {
    auto const whole = train(accumulation);
    for (auto const& rows : std::vector<std::vector<std::int64_t>>{{4}, {3}, {1}, {0, 3}, {3, 0, 0}, {0}}) {
      CAPTURE(accumulation, rows);
      auto const in_parts = train(accumulation, LateRows{rows});
      auto const unplanned = train(accumulation, LateRows{rows}, LeavesNothingOut{});  // weights are not known before
      for (std::size_t i = 0; i < 2; ++i) {
        CHECK(close(in_parts[i], whole[i]));
        CHECK(close(unplanned[i], whole[i]));
      }
    }
  }
}

}  // namespace loop_tests
