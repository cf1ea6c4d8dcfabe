#include <catch2/catch_test_macros.hpp>

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/any_callback.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/callbacks/swa.hpp"
#include "tacit/train/trainer.hpp"

using namespace tacit;

namespace watched_tests {
namespace {

struct hits : Metric<"hits"> {};
struct share : Metric<"share", higher_is_better> {
  static constexpr bool needs_evaluation = true;
};
/// Records a metric of evaluations, another value each time.
struct Share {
  using records = tacit::records<share>;
  double value = 0.0;
  void on(event::EvalEpochEnd const&, auto& context) { context.record(share{}, value += 1.0); }
};
struct Hits {
  using records = tacit::records<hits>;
  std::int64_t from = 0;
  void on(event::TrainEpochEnd const& event, auto& context) {
    if (event.epoch.value() >= from) context.record(hits{}, 0.5);
  }
};
struct Late {
  using records = tacit::records<hits>;
  void on(event::EvalEpochEnd const&, auto& context) { context.record(hits{}, 0.5); }
};

auto trainer_of_parts(auto... parts) { return Trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, parts...}; }
Sink into(std::string& text) {
  return Sink{[](void* target, std::string_view line) { *static_cast<std::string*>(target) += line; }, &text};
}
template <class Body>
std::string code_of(Body const& body) {
  try {
    body();
  } catch (Error const& error) {
    return std::string{error.code()};
  }
  return "";
}
std::size_t warnings(std::string const& text) {
  std::size_t count = 0;
  for (std::size_t at = text.find("warning: a callback watches"); at != std::string::npos; at = text.find("warning: a callback watches", at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("T5: a watched metric that never comes is told once, at the end of the first epoch that should have it") {
  fake::Line data{8};
  std::string text;
  SECTION("evaluations are switched off") {  // b
    auto trainer = trainer_of_parts(CallbackPack{EarlyStopping<tag::eval_loss>{.patience = 1}});
    CHECK(trainer.train(data, data, {.epochs = 3, .evaluation = {.every_epochs = 0}, .sink = into(text)}).epochs == Epochs{3});
    CHECK(text == "[tacit] warning: a callback watches 'eval_loss', but nothing recorded it by the end of epoch 1\n");
    trainer.train(data, data, {.epochs = 1, .evaluation = {.every_epochs = 0}, .sink = into(text)});
    CHECK(warnings(text) == 2);  // once a run
  }
  SECTION("its callback never records it") {  // e
    auto trainer = trainer_of_parts(CallbackPack{Hits{.from = 99}, ReduceOnPlateau<hits>{}});
    trainer.train(data, {.epochs = 3, .sink = into(text)});
    CHECK(text == "[tacit] warning: a callback watches 'hits', but nothing recorded it by the end of epoch 1\n");
  }
  SECTION("it does not say that it needs evaluations, and there are none") {  // f
    auto trainer = trainer_of_parts(CallbackPack{Late{}, EarlyStopping<hits>{}});
    trainer.train(data, {.epochs = 2, .sink = into(text)});
    CHECK(warnings(text) == 1);
  }
  SECTION("the first evaluation is in a later epoch") {
    auto trainer = trainer_of_parts(CallbackPack{Share{}, EarlyStopping<share>{.patience = 9}});
    trainer.train(data, data, {.epochs = 4, .evaluation = {.every_epochs = 2}, .sink = into(text)});
    CHECK(text.empty());
  }
  SECTION("evaluations inside epochs alone") {
    auto trainer = trainer_of_parts(CallbackPack{EarlyStopping<tag::eval_loss>{.patience = 9}});
    trainer.train(data, data, {.epochs = 3, .per_device_batch_size = 2, .evaluation = {.every_epochs = 0, .every_updates = 6}, .sink = into(text)});
    CHECK(text.empty());
  }
  SECTION("the average begins later than the run ends") {
    auto trainer = trainer_of_parts(CallbackPack{Swa{.start = 5}, EarlyStopping<on<"swa", tag::eval_loss>>{}});
    trainer.train(data, data, {.epochs = 2, .sink = into(text)});
    CHECK(text == "[tacit] warning: a callback watches 'swa/eval_loss', but nothing recorded it in this run\n");
  }
  SECTION("a session") {
    auto trainer = trainer_of_parts(CallbackPack{Hits{.from = 99}, EarlyStopping<hits>{}});
    auto session = trainer.session<fake::Batch>({.sink = into(text)});
    session.step(fake::Batch{fake::Tensor{std::vector<double>{1.0}}, fake::Tensor{std::vector<double>{1.0}}});
    session.end_epoch();
    CHECK(warnings(text) == 1);
    session.finish();
    CHECK(warnings(text) == 1);
  }
  SECTION("metrics that come") {
    auto trainer = trainer_of_parts(CallbackPack{Share{}, Ema{}, EarlyStopping<share>{.patience = 9}, ReduceOnPlateau<on<"ema", share>>{},
                                                 named<"loss">(EarlyStopping<tag::train_loss>{.patience = 9})});
    trainer.train(data, data, {.epochs = 2, .sink = into(text)});
    CHECK(text.empty());
  }
}

TEST_CASE("T5: an average that is watched and never evaluated is refused") {  // d
  auto refuse = [](auto average, auto stop) { return code_of([&] { trainer_of_parts(CallbackPack{average, stop}); }); };
  CHECK(refuse(Ema{.evaluate_every = 0}, EarlyStopping<on<"ema", tag::eval_loss>>{}) == "TACIT-RC150");
  CHECK(refuse(Swa{.evaluates = false}, EarlyStopping<on<"swa", tag::eval_loss>>{}) == "TACIT-RC150");
  CHECK(refuse(Ema{.evaluate_every = 0}, EarlyStopping<tag::eval_loss>{}).empty());
}

namespace {
/// Reads what evaluations recorded, wherever it is told to.
struct Reader {
  using runs_after = tacit::runs_after<Share>;
  std::vector<double> read{};
  std::vector<std::string> codes{};
  void on(event::EvalEpochStart const&, auto& context) {
    codes.push_back(code_of([&] { context.latest(share{}); }));
    CHECK(code_of([&] { context.latest(tag::eval_loss{}); }) == "TACIT-RU32");
  }
  void on(event::EvalEpochEnd const& event, auto& context) {
    read.push_back(context.latest(share{}));
    CHECK(context.latest(dynamic{"share"}) == read.back());
    CHECK(context.latest(tag::train_loss{}) == context.history().latest(tag::train_loss{}));
    if (event.set == "ema") CHECK(context.latest(tacit::on<"ema", share>{}) == read.back());
    if (event.set == "clean") CHECK(context.latest(tacit::on<"ema", share>{}) == read[0]);  // that of another evaluation, by its name
  }
};
}  // namespace

TEST_CASE("U3: in an evaluation `latest` reads that evaluation's value, and none that is older") {
  fake::Line data{8};
  Reader reader;
  auto trainer = trainer_of_parts(eval_sets<"clean">{}, CallbackPack{Ema{}, Share{}, std::ref(reader), EarlyStopping<on<"ema", share>>{.patience = 9}});
  trainer.train(data, data, {.epochs = 1, .sink = Sink::none()}, eval_data<"clean">(data));
  // ema, ema/clean, plain, clean
  CHECK(reader.read == std::vector<double>{1, 2, 3, 4});
  CHECK(reader.codes == std::vector<std::string>(4, "TACIT-RU32"));
  History const& history = trainer.history();
  CHECK(history.latest(on<"ema", share>{}) == 1.0);
  CHECK(history.latest(on<"ema", on<"clean", share>>{}) == 2.0);
  CHECK(history.latest(share{}) == 3.0);
  CHECK(history.latest(on<"clean", share>{}) == 4.0);
}

TEST_CASE("U3: a callback that knows names only at run time reads the evaluation in work, too") {
  fake::Line data{8};
  std::vector<double> read;
  AnyCallback any{"reader", [&read](AnyEvent const& event, AnyContext const& context) {
    if (event.name == "EvalEpochEnd") read.push_back(context.latest("share"));
  }};
  auto trainer = trainer_of_parts(eval_sets<"clean">{}, CallbackPack{Ema{}, Share{}, std::ref(any)});
  trainer.train(data, data, {.epochs = 2, .sink = Sink::none()}, eval_data<"clean">(data));
  CHECK(read == std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8});
}

namespace {
struct Writes {
  std::string name;
  std::string code{};
  void on(event::TrainEpochEnd const&, auto& context) { code = code_of([&] { context.record(dynamic{name}, 1.0); }); }
  void on(event::EvalEpochEnd const&, auto&) {}
};
struct Other {
  std::string code{};
  void on(event::TrainEpochEnd const&, auto& context) { code = code_of([&] { context.record(dynamic{"mine"}, 2.0); }); }
};
}  // namespace

TEST_CASE("T6: one column has one writer") {
  fake::Line data{8};
  SECTION("a dynamic name that a tag has") {
    for (char const* const name : {"train_loss", "eval_loss", "share", "clean/share", "ema/share"}) {
      Writes writes{name};
      auto trainer = trainer_of_parts(eval_sets<"clean">{}, CallbackPack{Ema{}, Share{}, std::ref(writes)});
      trainer.train(data, data, {.epochs = 1, .sink = Sink::none()}, eval_data<"clean">(data));
      CHECK(writes.code == "TACIT-RU33");
    }
  }
  SECTION("two callbacks under one dynamic name") {
    Writes writes{"mine"};
    Other other;
    auto trainer = trainer_of_parts(CallbackPack{Ema{}, std::ref(writes), std::ref(other)});
    trainer.train(data, data, {.epochs = 2, .sink = Sink::none()});
    CHECK(writes.code.empty());
    CHECK(other.code == "TACIT-RU34");
    CHECK(trainer.history().values(dynamic{"mine"}).size() == 2);
  }
}

namespace {
struct EvaluatesTwice {
  std::string code{};
  void on(event::TrainEpochEnd const&, auto& context) {
    context.evaluate("b");
    code = code_of([&] { context.evaluate("b/a"); });
  }
};
struct Evaluates {
  std::string name;
  std::string code{};
  void on(event::TrainEpochEnd const&, auto& context) { code = code_of([&] { context.evaluate(name); }); }
};
}  // namespace

TEST_CASE("one column has the metrics of one evaluation") {
  fake::Line data{8};
  auto const code_beside = [&](std::string name, auto const& sets, auto const&... eval_data) {
    Evaluates evaluates{std::move(name)};
    auto trainer = trainer_of_parts(sets, CallbackPack{Ema{}, std::ref(evaluates)});
    trainer.train(data, data, {.epochs = 2, .sink = Sink::none()}, eval_data...);
    return evaluates.code;
  };
  SECTION("a name under which another evaluation records a set") {
    EvaluatesTwice both;
    auto trainer = trainer_of_parts(eval_sets<"a">{}, CallbackPack{std::ref(both)});
    trainer.train(data, {.epochs = 1, .sink = Sink::none()}, eval_data<"a">(data));
    CHECK(both.code == "TACIT-RU35");
  }
  SECTION("the name of a named eval set") {
    CHECK(code_beside("clean", eval_sets<"clean">{}, eval_data<"clean">(data)) == "TACIT-RU35");
    CHECK(code_beside("a", eval_sets<"a/b", "b">{}, eval_data<"a/b">(data), eval_data<"b">(data)) == "TACIT-RU35");
    CHECK(code_beside("a", eval_sets<"a/b">{}, eval_data<"a/b">(data)).empty());
    CHECK(code_beside("", eval_sets<"clean">{}, eval_data<"clean">(data)).empty());
  }
  SECTION("the name of another callback's evaluation") { CHECK(code_beside("ema", eval_sets<>{}) == "TACIT-RU36"); }
  SECTION("one callback under one name, also in a second run") {
    Evaluates evaluates{"mine"};
    auto trainer = trainer_of_parts(CallbackPack{Ema{}, std::ref(evaluates)});
    for (int run = 0; run < 2; ++run) trainer.train(data, data, {.epochs = 2, .sink = Sink::none()});
    CHECK(evaluates.code.empty());
    CHECK(trainer.history().values(dynamic{"mine/eval_loss"}).size() == 4);
    CHECK(trainer.history().values(dynamic{"ema/eval_loss"}).size() == 4);
  }
}

namespace {
struct Told {
  std::vector<std::string>* log;
  std::string name;
  void on(event::TrainingRunStart const&, auto&) { log->push_back(name + " run"); }
  void on(event::TrainEpochStart const&, auto&) { log->push_back(name + " epoch"); }
  void on(event::UpdateStart const&, auto&) { log->push_back(name + " update"); }
  void on(event::Aborted<stage::TrainingRun> const&, auto&) { log->push_back(name + " no run"); }
  void on(event::Aborted<stage::TrainEpoch> const&, auto&) { log->push_back(name + " no epoch"); }
  void on(event::Aborted<stage::Update> const&, auto&) { log->push_back(name + " no update"); }
};
template <class Event>
struct Skips {
  Flow on(Event const&, auto&) { return Flow::skip_batch; }
};
struct Throws {
  void on(event::TrainEpochStart const&, auto&) { throw std::runtime_error{"mine"}; }
};
using Log = std::vector<std::string>;
}  // namespace

TEST_CASE("T9: all that saw a start are told that its stage is aborted") {
  fake::Line data{8};
  Log log;
  Told first{&log, "a"}, last{&log, "b"};
  auto const fails = [&](auto between, auto use) {
    log.clear();
    auto trainer = trainer_of_parts(CallbackPack{named<"first">(first), between, named<"last">(last)});
    CHECK_THROWS(use(trainer));
    return log;
  };
  auto const train = [&](auto& trainer) { trainer.train(data, {.epochs = 1, .sink = Sink::none()}); };
  auto const step = [&](auto& trainer) {
    auto session = trainer.template session<fake::Batch>({.sink = Sink::none()});
    session.step(fake::Batch{fake::Tensor{std::vector<double>{1.0}}, fake::Tensor{std::vector<double>{1.0}}});
  };
  Log const run{"a run", "b run", "a no run", "b no run"};
  Log const epoch{"a run", "b run", "a epoch", "b epoch", "a no epoch", "b no epoch", "a no run", "b no run"};
  Log const update{"a run",       "b run",       "a epoch",    "b epoch",    "a update", "b update",
                   "a no update", "b no update", "a no epoch", "b no epoch", "a no run", "b no run"};
  Log const thrown{"a run", "b run", "a epoch", "a no epoch", "a no run", "b no run"};
  CHECK(fails(Skips<event::TrainingRunStart>{}, train) == run);
  CHECK(fails(Skips<event::TrainEpochStart>{}, train) == epoch);
  CHECK(fails(Skips<event::UpdateStart>{}, train) == update);
  CHECK(fails(Throws{}, train) == thrown);
  CHECK(fails(Skips<event::TrainingRunStart>{}, step) == run);
  CHECK(fails(Skips<event::TrainEpochStart>{}, step) == epoch);
  CHECK(fails(Throws{}, step) == thrown);
  // A place that an earlier exception left behind tells nobody of a start that was not fired.
  auto trainer = trainer_of_parts(CallbackPack{named<"first">(first), Throws{}, named<"last">(last)});
  CHECK_THROWS(train(trainer));
  log.clear();
  CHECK_THROWS(train(trainer));
  CHECK(log == thrown);
}

}  // namespace watched_tests
