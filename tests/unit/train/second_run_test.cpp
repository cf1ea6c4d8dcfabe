#include <cstdint>
#include <forward_list>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/tensor.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/lookahead.hpp"
#include "tacit/train/trainer.hpp"

using namespace tacit;

namespace second_run_tests {
namespace {

/// The inputs of every batch that is trained on.
struct See {
  std::vector<double>* seen;
  void on(event::TrainStepStart const&, auto& context) {
    auto const& values = context.batch().input->values;
    seen->insert(seen->end(), values.begin(), values.end());
  }
};

auto make_trainer(auto... callbacks) {
  return trainer_of<fake::Linear, fake::MeanSquaredError, fake::Sgd, CallbackPack<decltype(callbacks)...>>{
      std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{callbacks...}};
}

struct Break {
  bool* armed;
  void on(event::TrainStepEnd const& event, auto& context) {
    if (!*armed || event.step.value() != 1) return;
    context.request_stop();
    throw std::runtime_error{"on purpose"};
  }
};
/// What a run leaves behind if it is broken off in the middle of a window whose update was to be skipped.
struct Dirty {
  bool* armed;
  void on(event::TrainLossComputed const&, auto& context) {
    if (*armed) context.mask_update();
  }
};
struct Seen {
  std::vector<bool> skipped;
  std::vector<double> norms;
  std::vector<std::int64_t> epochs;
};
struct Watch {
  Seen* seen;
  void on(event::UpdateEnd const& event, auto& context) {
    seen->skipped.push_back(context.update_mask() != nullptr);
    seen->norms.push_back(context.gradient_norm() == nullptr ? -1.0 : 1.0);
    seen->epochs.push_back(event.epoch.value());
  }
};

/// Leaves every batch out, but in the epochs that it is told of.
struct LeaveOut {
  std::int64_t every;
  Flow on(event::TrainStepStart const& event, auto&) {
    return every > 0 && event.epoch.value() % every == 0 ? Flow::proceed : Flow::skip_batch;
  }
};

struct CountEvaluations {
  int* intermediate;
  int* whole;
  void on(event::EvalEpochEnd const& event, auto&) { ++*(event.intermediate ? intermediate : whole); }
};

/// Asks at the end of a step of an evaluation.
struct AskInEvaluation {
  std::int64_t step;
  Flow flow;
  Flow on(event::EvalStepEnd const& event, auto&) { return event.step.value() == step ? flow : Flow::proceed; }
};
/// Calls a function in the second step of an evaluation.
struct AskOnce {
  std::function<void()>* ask;
  void on(event::EvalStepStart const& event, auto&) {
    if (event.step.value() == 1) (*ask)();
  }
};

}  // namespace

TEST_CASE("U5, F16: a second run goes on with the next epochs of the data's order") {
  std::vector<double> both, one_by_one, again;
  TrainOptions const options{.epochs = 1, .per_device_batch_size = 4};
  make_trainer(See{&both}).train(fake::Line{16}, {.epochs = 2, .per_device_batch_size = 4});
  auto trainer = make_trainer(See{&one_by_one});
  trainer.train(fake::Line{16}, options);
  trainer.train(fake::Line{16}, options);
  CHECK(both == one_by_one);
  std::vector<double> const first{both.begin(), both.begin() + 16};
  CHECK(first != std::vector<double>(both.begin() + 16, both.end()));

  one_by_one.clear();
  TrainOptions from_start = options;
  from_start.first_epoch = 0;
  trainer.train(fake::Line{16}, from_start);
  CHECK(one_by_one == first);
  one_by_one.clear();
  trainer.train(fake::Line{16}, options);  // goes on after the epoch that was named
  CHECK(one_by_one == std::vector<double>(both.begin() + 16, both.end()));
}

TEST_CASE("U5: an evaluation does not count as an epoch, and a session does") {
  std::vector<double> both, seen;
  make_trainer(See{&both}).train(fake::Line{16}, {.epochs = 2, .per_device_batch_size = 4});
  auto trainer = make_trainer(See{&seen});
  trainer.evaluate(fake::Line{16});
  {
    auto session = trainer.session<fake::Batch>();
    session.step(fake::Batch{fake::Tensor{{1.0}}, fake::Tensor{{1.0}}});
    session.finish();
  }
  seen.clear();
  trainer.train(fake::Line{16}, {.epochs = 1, .per_device_batch_size = 4});
  CHECK(seen == std::vector<double>(both.begin() + 16, both.end()));
}

TEST_CASE("C14: a run after one that was broken off is as on a new trainer") {
  for (std::int64_t const accumulation : {1, 2, 3}) {
    bool armed = true;
    Seen seen, fresh;
    auto trainer = make_trainer(Dirty{&armed}, Break{&armed}, Watch{&seen});
    TrainOptions const options{.epochs = 1, .per_device_batch_size = 2, .gradient_accumulation = accumulation, .first_epoch = 0};
    CHECK_THROWS_AS(trainer.train(fake::Line{12}, options), std::runtime_error);
    armed = false;
    seen = {};
    auto other = make_trainer(Dirty{&armed}, Break{&armed}, Watch{&fresh});
    // An update that was skipped changes nothing: both models begin alike.
    auto const result = trainer.train(fake::Line{12}, options);
    auto const wanted = other.train(fake::Line{12}, options);
    CHECK(result.reason == wanted.reason);
    CHECK(result.updates == wanted.updates);
    CHECK(result.samples == wanted.samples);
    CHECK(result[tag::train_loss{}] == wanted[tag::train_loss{}]);
    CHECK(trainer.model().weight.item() == other.model().weight.item());
    CHECK(seen.skipped == fresh.skipped);
    CHECK(seen.norms == fresh.norms);
    CHECK(seen.epochs == fresh.epochs);
  }
}

TEST_CASE("the norm of a run that clips is not that of the next, which does not") {
  Seen seen;
  auto trainer = make_trainer(Watch{&seen});
  trainer.train(fake::Line{4}, {.epochs = 1, .per_device_batch_size = 2, .clip = {.norm = 1.0}});
  CHECK(seen.norms == std::vector{1.0, 1.0});
  seen = {};
  trainer.train(fake::Line{4}, {.epochs = 1, .per_device_batch_size = 2});
  CHECK(seen.norms == std::vector{-1.0, -1.0});
}

TEST_CASE("a call that is refused while a run is under way leaves its plan alone") {
  auto trainer = make_trainer();
  auto session = trainer.session<fake::Batch>({.clip = {.norm = 2.0}});
  CHECK(trainer.plan().clip_norm == 2.0);
  CHECK_THROWS_AS(trainer.session<fake::Batch>({.clip = {.norm = 3.0}}), UsageError);
  CHECK_THROWS_AS(trainer.train(fake::Line{4}, {.epochs = 1}), UsageError);
  CHECK_THROWS_AS(trainer.evaluate(fake::Line{4}), UsageError);
  CHECK(trainer.plan().clip_norm == 2.0);
  session.finish();
}

TEST_CASE("F29: the epoch's last update is not evaluated twice") {
  int intermediate = 0, whole = 0;
  auto trainer = make_trainer(CountEvaluations{&intermediate, &whole});
  fake::Line const data{8};
  trainer.train(data, data, {.epochs = 2, .per_device_batch_size = 2, .evaluation = {.every_updates = 2}});
  CHECK(intermediate == 2);
  CHECK(whole == 2);
  intermediate = whole = 0;
  trainer.train(data, data, {.epochs = 2, .per_device_batch_size = 2, .evaluation = {.every_epochs = 0, .every_updates = 2}});
  CHECK(intermediate == 4);
  CHECK(whole == 0);
}

TEST_CASE("bad input: a run that no epoch brings nearer to its end") {
  auto run = [](std::int64_t every, TrainOptions options) -> std::string {
    auto trainer = make_trainer(LeaveOut{every});
    options.per_device_batch_size = 2;
    options.sink = Sink::none();
    try {
      trainer.train(fake::Line{4}, options);
    } catch (DataError const& error) {
      return error.code();
    }
    return {};
  };
  CHECK(run(0, {.limit = {.updates = 3}}) == "TACIT-RD17");
  CHECK(run(0, {.limit = {.samples = 3}}) == "TACIT-RD17");
  CHECK(run(0, {.epochs = 12, .limit = {.updates = 3}}).empty());
  CHECK(run(0, {.limit = {.updates = 3, .micro_batches = 30}}).empty());
  CHECK(run(8, {.limit = {.updates = 9}}).empty());
  CHECK(run(11, {.limit = {.updates = 9}}) == "TACIT-RD17");
}

namespace {

/// Weights after runs of four updates each, which `between` may change before each run but the first.
std::vector<double> after_runs(int runs, Epochs epochs, Updates every, auto const& between) {
  auto const model = std::make_shared<fake::Linear>();
  optim::Lookahead<fake::Sgd> const optimizer{.inner = {.lr = 0.1}, .every = every};
  Trainer trainer{model, fake::MeanSquaredError{}, optimizer, CallbackPack{}};
  std::vector<fake::Batch> batches;
  for (std::int64_t i = 0; i < 4; ++i) batches.push_back(fake::Line{8}.get_batch(std::vector<std::int64_t>{i, i + 4}));
  for (int run = 0; run < runs; ++run) {
    if (run > 0) between(*model);
    trainer.train(batches, {.epochs = epochs, .sink = Sink::none()});
  }
  return {model->weight.item(), model->bias.item()};
}

}  // namespace

TEST_CASE("Lookahead's slow weights follow weights that are loaded between two runs, and stay where none are") {
  auto const load = [](fake::Linear& model) {
    model.weight->values = {0.5};
    model.bias->values = {0.0};
  };
  auto const nothing = [](fake::Linear&) {};
  std::vector<double> const once = after_runs(1, 1, 2, nothing);
  CHECK(after_runs(2, 1, 2, load) == once);  // the weights that a model begins with
  CHECK(after_runs(3, 1, 2, load) == once);
  CHECK(after_runs(2, 1, 3, nothing) == after_runs(1, 2, 3, nothing));
}

namespace {
/// Loads weights at the start or the end of each run.
struct LoadsAt {
  std::shared_ptr<fake::Linear> model;
  bool start = false;
  void load() {
    model->weight->values = {5.0};
    model->bias->values = {5.0};
  }
  void on(event::TrainingRunStart const&, auto&) {
    if (start) load();
  }
  void on(event::TrainingRunEnd const&, auto&) {
    if (!start) load();
  }
};
}  // namespace

TEST_CASE("Lookahead's slow weights follow weights that a callback loads at the start or the end of a run") {
  for (bool const start : {false, true}) {
    auto const model = std::make_shared<fake::Linear>();
    optim::Lookahead<fake::Sgd> const optimizer{.inner = {.lr = 0.1}, .every = 5};
    Trainer trainer{model, fake::MeanSquaredError{}, optimizer, CallbackPack{LoadsAt{model, start}}};
    trainer.train(fake::Line{6}, {.epochs = 1, .per_device_batch_size = 2, .sink = Sink::none()});
    trainer.train(fake::Line{6}, {.limit = {.updates = 1}, .per_device_batch_size = 2, .sink = Sink::none()});
    CHECK(trainer.view().parameters().begin()->slots.back().item() == 5.0);
  }
}

TEST_CASE("slow weights that are loaded with the others stay, in a wrapper and in groups") {
  using Set = basic_parameter_set<fake::Tensor>;
  auto const check = [](auto const& recipe) {
    Set set;
    set.add("p", fake::Tensor{{1.0}});
    auto bound = recipe.bind(set);
    auto const slow = [&set] { return set.find("p")->slots.back().item(); };
    bound.run_begins(set);
    bound.run_ends(set);
    set.find("p")->model->values = {2.0};
    bound.run_begins(set);
    CHECK(slow() == 2.0);
    bound.run_ends(set);
    set.find("p")->model->values = {3.0};
    set.find("p")->slots.back()->values = {2.5};
    bound.state_loaded();
    bound.run_begins(set);
    CHECK(slow() == 2.5);
  };
  check(optim::Lookahead<fake::Sgd>{});
  check(optim::Groups<optim::Lookahead<fake::Sgd>>{});
  check(optim::Lookahead<optim::Lookahead<fake::Sgd>>{});
}

TEST_CASE("an evaluation that a stop request cuts short says so") {
  auto const evaluate = [](std::int64_t step, Flow flow, EvalOptions options = {}) {
    options.per_device_batch_size = 2;
    return make_trainer(AskInEvaluation{step, flow}).evaluate(fake::Line{8}, options);
  };
  auto const text = [](EvalResult const& result) {
    std::ostringstream out;
    out << result;
    return out.str();
  };
  EvalResult const whole = evaluate(9, Flow::stop_run);
  CHECK(whole.is_complete());
  CHECK(whole.reason() == StopReason::completed);
  CHECK(whole.metrics().runs().back().reason == StopReason::completed);
  CHECK(text(whole).find("cut short") == std::string::npos);

  EvalResult const stopped = evaluate(1, Flow::stop_run);
  CHECK_FALSE(stopped.is_complete());
  CHECK(stopped.reason() == StopReason::callback);
  CHECK(stopped.metrics().runs().back().reason == StopReason::callback);
  CHECK(text(stopped).ends_with(" (cut short: stopped by a callback)"));
  CHECK(evaluate(1, Flow::end_epoch).reason() == StopReason::callback);

  // What asks in the last step cuts nothing off.
  CHECK(evaluate(3, Flow::stop_run).is_complete());
  CHECK(evaluate(1, Flow::stop_run, {.limit = 2}).is_complete());
}

TEST_CASE("request_stop() between two runs ends the next run, though an evaluation comes before it") {
  auto trainer = make_trainer();
  TrainOptions const options{.epochs = 1, .per_device_batch_size = 2, .sink = Sink::none()};
  trainer.request_stop();
  CHECK(trainer.evaluate(fake::Line{8}).is_complete());
  CHECK_THROWS_AS(trainer.evaluate(fake::Line{0}), DataError);
  RunResult const stopped = trainer.train(fake::Line{8}, options);
  CHECK(stopped.reason == StopReason::requested);
  CHECK(stopped.updates == Updates{1});
  CHECK(trainer.train(fake::Line{8}, options).reason == StopReason::completed);

  // In the last step it comes too late for the evaluation; a callback's own request ends with it.
  std::function<void()> ask;
  auto asked = make_trainer(AskOnce{&ask});
  ask = [&] { asked.request_stop(); };
  CHECK(asked.evaluate(fake::Line{4}, {.per_device_batch_size = 2}).is_complete());
  ask = [] {};
  CHECK(asked.train(fake::Line{8}, options).reason == StopReason::requested);
  auto ends = make_trainer(AskInEvaluation{3, Flow::stop_run});
  CHECK(ends.evaluate(fake::Line{8}, {.per_device_batch_size = 2}).is_complete());
  CHECK(ends.train(fake::Line{8}, options).reason == StopReason::completed);
}

TEST_CASE("an evaluation's plan knows its limit") {
  auto trainer = make_trainer();
  trainer.evaluate(fake::Line{8}, {.per_device_batch_size = 2, .limit = 3});
  CHECK(trainer.plan().eval_batches == MicroBatches{3});
}

TEST_CASE("an evaluation that request_stop() cuts short says so, on data of unknown size too") {
  std::function<void()> ask;
  auto trainer = make_trainer(AskOnce{&ask});
  ask = [&] { trainer.request_stop(); };
  CHECK(trainer.evaluate(fake::Line{8}, {.per_device_batch_size = 2}).reason() == StopReason::requested);
  std::forward_list<fake::Batch> const data(4, fake::Batch{fake::Tensor{std::vector<double>{1.0}}, fake::Tensor{std::vector<double>{1.0}}});
  CHECK(trainer.evaluate(data).reason() == StopReason::requested);
  CHECK(trainer.evaluate(data, {.limit = 2}).is_complete());
  ask = [] {};
  CHECK(trainer.evaluate(data).is_complete());
}

}  // namespace second_run_tests
