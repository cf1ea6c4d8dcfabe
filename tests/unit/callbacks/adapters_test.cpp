#include "tacit/callbacks/adapters.hpp"

#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "fake/group.hpp"
#include "support.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/callbacks/log_metrics.hpp"
#include "tacit/callbacks/progress_bar.hpp"
#include "tacit/callbacks/trace.hpp"

namespace event = tacit::event;
using Catch::Matchers::ContainsSubstring;
using tacit::CallbackPack;
using tacit::EveryN;
using tacit::Flow;
using tacit::OnMainProcess;
using tacit::When;
using namespace support;

namespace adapters_tests {
namespace {

std::vector<std::string> trace(auto&& make_pack, tacit::TrainOptions options = {.epochs = 2}) {
  std::ostringstream text;
  auto one = trainer(std::make_shared<fake::Linear>(), make_pack(text));
  options.sink = tacit::Sink::none();
  one.train(batches(5), batches(3), options);
  std::vector<std::string> lines = lines_of(text.str());
  for (std::string& line : lines) line.erase(0, line.find_first_not_of(' '));
  return lines;
}

std::vector<std::string> starting_with(std::vector<std::string> const& lines, std::string const& start) {
  std::vector<std::string> found;
  for (std::string const& line : lines) {
    if (line.starts_with(start)) found.push_back(line);
  }
  return found;
}

struct Marker {
  std::vector<std::string>* lines;
  void on(event::UpdateEnd const& event, auto&) { lines->push_back(std::to_string(event.update.value())); }
};

}  // namespace

TEST_CASE("EveryN filters the events of steps and updates by their own index, and no others") {
  auto const lines = trace([](std::ostringstream& text) { return CallbackPack{EveryN{.n = 2, .inner = tacit::Trace{.sink = text}}}; });
  // Five updates an epoch: steps are counted within it, updates over the run.
  CHECK(starting_with(lines, "UpdateEnd") == std::vector<std::string>{"UpdateEnd epoch=0 update=1", "UpdateEnd epoch=0 update=3", "UpdateEnd epoch=1 update=5",
                                                                     "UpdateEnd epoch=1 update=7", "UpdateEnd epoch=1 update=9"});
  CHECK(starting_with(lines, "TrainStepEnd") ==
        std::vector<std::string>{"TrainStepEnd epoch=0 step=1 update=1", "TrainStepEnd epoch=0 step=3 update=3", "TrainStepEnd epoch=1 step=1 update=6",
                                 "TrainStepEnd epoch=1 step=3 update=8"});
  CHECK(starting_with(lines, "EvalStepEnd").size() == 2);
  CHECK(starting_with(lines, "TrainEpochEnd").size() == 2);
  CHECK(starting_with(lines, "InitEnd").size() == 1);
  CHECK(starting_with(lines, "TrainingRunEnd").size() == 1);
}

TEST_CASE("EveryN of 1 filters nothing") {
  auto const plain = trace([](std::ostringstream& text) { return CallbackPack{tacit::Trace{.sink = text}}; });
  auto const every = trace([](std::ostringstream& text) { return CallbackPack{EveryN{.n = 1, .inner = tacit::Trace{.sink = text}}}; });
  CHECK(plain == every);
}

namespace {
struct ThrowAtStep {
  std::int64_t step;
  void on(event::TrainStepEnd const& event, auto&) {
    if (event.step.value() == step) throw std::runtime_error{"broken"};
  }
};
}  // namespace

TEST_CASE("EveryN tells of an aborted step to whom it told of its start") {
  for (std::int64_t step : {1, 2}) {
    std::ostringstream text;
    auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{EveryN{.n = 2, .inner = tacit::Trace{.sink = text}}, ThrowAtStep{step}});
    CHECK_THROWS(one.train(batches(5), {.epochs = 1, .sink = tacit::Sink::none()}));
    CHECK(count_of(text.str(), "Aborted<TrainStep>") == (step == 1 ? 1 : 0));
    CHECK(count_of(text.str(), "Aborted<TrainEpoch>") == 1);
  }
}

TEST_CASE("n = 0 is refused when the trainer is made") {
  std::vector<std::string> lines;
  auto make = [&](tacit::Occurrences n) -> std::string {
    try {
      auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{EveryN{.n = n, .inner = Marker{&lines}}});
    } catch (tacit::ConfigError const& error) {
      return error.code() + " " + error.where();
    }
    return "accepted";
  };
  CHECK(make(0) == "TACIT-RC83 EveryN::n");
  CHECK(make(tacit::unset) == "TACIT-RC83 EveryN::n");
  CHECK(make(1) == "accepted");
}

namespace {
struct StopAt {
  std::int64_t update;
  Flow on(event::UpdateEnd const& event, auto&) {
    return event.update.value() >= update ? Flow::stop_run : Flow::proceed;
  }
};
}  // namespace

TEST_CASE("OnMainProcess calls on rank 0 only") {
  std::vector<std::vector<std::string>> lines(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    auto one = trainer(std::make_shared<fake::Linear>(), rank, CallbackPack{OnMainProcess{.inner = Marker{&lines[static_cast<std::size_t>(rank.number)]}}});
    one.train(batches(4), {.epochs = 1, .sink = tacit::Sink::none()});
  });
  CHECK(lines[0] == std::vector<std::string>{"0", "1"});
  CHECK(lines[1].empty());
}

TEST_CASE("a stop request of rank 0 alone ends the run of all ranks") {
  std::vector<std::int64_t> updates(3);
  std::vector<std::int64_t> epochs(3);
  fake::run_ranks(3, [&](fake::Rank rank) {
    auto at_update = trainer(std::make_shared<fake::Linear>(), rank, CallbackPack{OnMainProcess{.inner = StopAt{2}}});
    tacit::EarlyStopping<tacit::tag::train_loss> const stopping{.threshold = 100.0};
    auto at_epoch = trainer(std::make_shared<fake::Linear>(), rank, CallbackPack{OnMainProcess{.inner = stopping}});
    auto const here = static_cast<std::size_t>(rank.number);
    updates[here] = at_update.train(batches(18), {.epochs = 1, .sink = tacit::Sink::none()}).updates.value();
    epochs[here] = at_epoch.train(batches(18), {.epochs = 9, .sink = tacit::Sink::none()}).epochs.value();
  });
  CHECK(updates == std::vector<std::int64_t>(3, 4));  // asked for after update 2, heard of at the end of the next one
  CHECK(epochs == std::vector<std::int64_t>(3, 2));
}

TEST_CASE("what acts on all ranks may stand in OnMainProcess where there is one process") {
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{OnMainProcess{.inner = tacit::Ema{}}});
  CHECK(one.train(batches(2), {.epochs = 1, .sink = tacit::Sink::none()}).updates == tacit::Updates{2});
}

TEST_CASE("When asks a predicate at each event") {
  std::vector<std::string> lines;
  auto one = trainer(std::make_shared<fake::Linear>(),
                     CallbackPack{When{.predicate = [](auto const&, auto& context) { return context.progress().epoch.value() == 1; }, .inner = Marker{&lines}}});
  one.train(batches(2), {.epochs = 3, .sink = tacit::Sink::none()});
  CHECK(lines == std::vector<std::string>{"2", "3"});
}

TEST_CASE("what the inner callback returns goes through") {
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{EveryN{.n = 4, .inner = StopAt{1}}});
  CHECK(one.train(batches(9), {.epochs = 1, .sink = tacit::Sink::none()}).updates == tacit::Updates{4});
}

TEST_CASE("adapters nest, take names, references and callbacks that bind") {
  std::vector<std::string> lines;
  Marker marker{&lines};
  std::ostringstream text;
  auto one = trainer(std::make_shared<fake::Linear>(),
                     CallbackPack{EveryN{.n = 3, .inner = OnMainProcess{.inner = std::ref(marker)}}, tacit::named<"second">(EveryN{.n = 4, .inner = std::ref(marker)}),
                                  tacit::named<"bar">(tacit::ProgressBar{}), OnMainProcess{.inner = tacit::LogMetrics{}},
                                  tacit::named<"stop">(tacit::EarlyStopping<tacit::tag::train_loss>{.threshold = 100.0})});
  auto const result = one.train(batches(6), {.epochs = 3, .sink = text});
  CHECK(result.epochs == tacit::Epochs{2});
  CHECK(lines == std::vector<std::string>{"2", "3", "5", "7", "8", "11", "11"});
  CHECK_THAT(text.str(), ContainsSubstring("epoch 1/3  train_loss"));
  CHECK(one.history().has(tacit::tag::samples_per_second{}));
}

namespace {
struct MoveOnly {
  std::unique_ptr<int> count;
  int* out;
  void on(event::UpdateEnd const&, auto&) { *out = ++*count; }
};
}  // namespace

TEST_CASE("an inner callback that can only be moved is moved") {
  int count = 0;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{EveryN{.n = 2, .inner = MoveOnly{std::make_unique<int>(10), &count}}});
  one.train(batches(4), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(count == 12);
}

namespace {
struct mine : tacit::Metric<"mine"> {};
struct RecordsMine {
  using records = tacit::records<mine>;
  void on(event::UpdateEnd const& event, auto& context) { context.record(mine{}, static_cast<double>(event.update.value())); }
};
struct First {
  std::string* text;
  void on(event::TrainingRunStart const&, auto&) { *text += "first "; }
};
struct BeforeFirst {
  using runs_before = tacit::runs_before<First>;
  std::string* text;
  void on(event::TrainingRunStart const&, auto&) { *text += "before "; }
};
struct WithState {
  std::int64_t count = 0;
  void on(event::UpdateEnd const&, auto&) { ++count; }
  static void visit_state(auto& self, auto&& visit) { visit("count", self.count); }
};
struct WithoutVisitor {
  std::int64_t count = 0;
  void on(event::UpdateEnd const&, auto&) { ++count; }
};
template <class Callback>
using Bound = typename Callback::template bound<tacit::Composition<tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>, tacit::Cpu, tacit::Fp32,
                                                                   tacit::SingleProcess, CallbackPack<Callback>>>;
static_assert(tacit::visitable_state<Bound<EveryN<WithState>>>);
static_assert(tacit::visitable_config<Bound<EveryN<WithState>>>);
static_assert(tacit::visitable_state<Bound<OnMainProcess<EveryN<WithState>>>>);
static_assert(tacit::visitable_state<Bound<tacit::Named<"a", WithState>>>);
static_assert(!tacit::visitable_state<Bound<EveryN<WithoutVisitor>>>);
static_assert(!tacit::visitable_config<Bound<EveryN<WithoutVisitor>>>);
}  // namespace

TEST_CASE("metrics and order are those of the inner callback") {
  std::string text;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{EveryN{.n = 2, .inner = RecordsMine{}}, tacit::EarlyStopping<mine>{.patience = 5},
                                                                    OnMainProcess{.inner = First{&text}}, EveryN{.n = 3, .inner = OnMainProcess{.inner = BeforeFirst{&text}}}});
  one.train(batches(5), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(one.history().values(mine{}).size() == 2);
  CHECK(text == "before first ");
}

namespace {

struct Evaluations {
  std::vector<std::string>* seen;
  void on(event::TrainEpochStart const&, auto&) { seen->push_back("train"); }
  void on(event::EvalEpochStart const& event, auto&) { seen->push_back("start " + std::string{event.set}); }
  void on(event::EvalStepEnd const&, auto&) { seen->push_back("step"); }
  void on(event::EvalEpochEnd const& event, auto&) { seen->push_back("end " + std::string{event.set}); }
  void on(event::Aborted<tacit::stage::EvalEpoch> const&, auto&) { seen->push_back("aborted"); }
};
struct FailOutside {
  void on(event::EvalStepEnd const&, auto&) { throw std::runtime_error{"no"}; }
};

}  // namespace

TEST_CASE("a callback of one eval set sees the evaluations of that set, and the rest of the run") {
  using Seen = std::vector<std::string>;
  Seen average;
  Seen noisy;
  auto one = trainer(std::make_shared<fake::Linear>(), tacit::eval_sets<"clean", "noisy">{},
                     CallbackPack{tacit::Ema{}, tacit::on_eval_set<"ema">(Evaluations{&average}),
                                  tacit::named<"second">(tacit::on_eval_set<"noisy">(Evaluations{&noisy}))});
  auto const clean = batches(1);
  auto const wild = batches(2);
  one.train(batches(2), batches(1), {.epochs = 2, .sink = tacit::Sink::none()}, tacit::eval_data<"clean">(clean), tacit::eval_data<"noisy">(wild));
  CHECK(noisy == Seen{"train", "start noisy", "step", "step", "end noisy", "train", "start noisy", "step", "step", "end noisy"});
  CHECK(average == Seen{"train", "start ema", "step", "end ema", "train", "start ema", "step", "end ema"});
}

TEST_CASE("an evaluation that fails leaves an adapter of another set as it was") {
  std::vector<std::string> seen;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{tacit::Ema{.evaluate_every = 2}, FailOutside{}, tacit::on_eval_set<"ema">(Evaluations{&seen})});
  CHECK_THROWS(one.train(batches(1), batches(1), {.epochs = 1, .sink = tacit::Sink::none()}));
  CHECK(seen == std::vector<std::string>{"train"});
  CHECK_THROWS(one.train(batches(1), batches(1), {.epochs = 1, .sink = tacit::Sink::none()}));
  CHECK(seen == std::vector<std::string>{"train", "train"});
}

}  // namespace adapters_tests
