#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/any_callback.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/callbacks/default_callbacks.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/callbacks/event_text.hpp"
#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/callbacks/swa.hpp"
#include "tacit/callbacks/trace.hpp"
#include "tacit/train/trainer.hpp"
#include "unit/callbacks/support.hpp"

// The laws of adapters: what reaches a callback behind adapters is what reaches it alone, as far as every adapter's
// rule lets it through. The rule is written down here once more, over plain lines; which events the callback handles
// changes nothing.

namespace event = tacit::event;
using tacit::CallbackPack;

namespace {

/// An event as the rules see it.
struct Line {
  std::string name;
  std::int64_t index = -1;  // its own step or update
  bool in_evaluation = false;
  std::string set{};
  std::int64_t updates = 0;
  bool operator==(Line const&) const = default;
  friend std::ostream& operator<<(std::ostream& out, Line const& line) {
    return out << line.name << ' ' << line.index << (line.in_evaluation ? " on '" + line.set + "'" : "") << " after "
               << line.updates << '\n';
  }
};
using Lines = std::vector<Line>;

template <class Event>
Line line_of(Event const& event, auto& context) {
  Line line{std::string{tacit::detail::event_text<Event>::name}};
  if constexpr (requires { event.step.value(); }) {
    line.index = event.step.value();
  } else if constexpr (requires { event.update.value(); }) {
    line.index = event.update.value();
  }
  if constexpr (requires { context.eval_set(); }) {
    line.in_evaluation = true;
    line.set = context.eval_set();
  }
  line.updates = context.progress().updates.value();
  return line;
}

/// Handles everything.
struct All {
  Lines* seen;
  void on(auto const& event, auto& context) { seen->push_back(line_of(event, context)); }
};
/// Handles neither start nor end of an evaluation.
struct Steps {
  Lines* seen;
  void on(event::EvalStepEnd const& event, auto& context) { seen->push_back(line_of(event, context)); }
  void on(event::UpdateEnd const& event, auto& context) { seen->push_back(line_of(event, context)); }
};
/// Handles the start of an evaluation, and not its end.
struct Starts {
  Lines* seen;
  void on(event::EvalEpochStart const& event, auto& context) { seen->push_back(line_of(event, context)); }
  void on(event::TrainEpochEnd const& event, auto& context) { seen->push_back(line_of(event, context)); }
  void on(event::TrainStepEnd const& event, auto& context) { seen->push_back(line_of(event, context)); }
};
template <class Recorder>
bool handles(Line const& line) {
  if constexpr (std::same_as<Recorder, All>) {
    return true;
  } else if constexpr (std::same_as<Recorder, Steps>) {
    return line.name == "EvalStepEnd" || line.name == "UpdateEnd";
  } else {
    return line.name == "EvalEpochStart" || line.name == "TrainEpochEnd" || line.name == "TrainStepEnd";
  }
}

/// Fails at a step of one eval set, once.
struct Fails {
  bool* armed;
  std::string set;
  void on(event::EvalStepEnd const& event, auto& context) {
    if (*armed && context.eval_set() == set && event.step.value() == 1) {
      *armed = false;
      throw std::runtime_error{"no"};
    }
  }
};

// The adapters, each with its rule.
struct None {
  static auto around(auto inner) { return inner; }
  static bool passes(Line const&) { return true; }
};
struct EverySecond {
  static auto around(auto inner) { return tacit::EveryN{.n = 2, .inner = std::move(inner)}; }
  static bool passes(Line const& line) { return line.index < 0 || (line.index + 1) % 2 == 0; }
};
struct Main {
  static auto around(auto inner) { return tacit::OnMainProcess{.inner = std::move(inner)}; }
  static bool passes(Line const&) { return true; }
};
struct OnClean {
  static auto around(auto inner) { return tacit::on_eval_set<"clean">(std::move(inner)); }
  static bool passes(Line const& line) { return !line.in_evaluation || line.set == "clean"; }
};
struct OnNoisy {
  static auto around(auto inner) { return tacit::on_eval_set<"noisy">(std::move(inner)); }
  static bool passes(Line const& line) { return !line.in_evaluation || line.set == "noisy"; }
};
struct OnEma {
  static auto around(auto inner) { return tacit::on_eval_set<"ema">(std::move(inner)); }
  static bool passes(Line const& line) { return !line.in_evaluation || line.set == "ema"; }
};
struct EvenUpdates {
  static auto around(auto inner) {
    return tacit::When{
        .predicate = [](auto const&, auto& context) { return context.progress().updates.value() % 2 == 0; },
        .inner = std::move(inner)};
  }
  static bool passes(Line const& line) { return line.updates % 2 == 0; }
};
struct NoStarts {  // keeps the starts of evaluations back
  static auto around(auto inner) {
    auto const rule = []<class Event>(Event const&, auto&) { return !std::same_as<Event, event::EvalEpochStart>; };
    return tacit::When{.predicate = rule, .inner = std::move(inner)};
  }
  static bool passes(Line const& line) { return line.name != "EvalEpochStart"; }
};
struct Name {
  static auto around(auto inner) { return tacit::named<"inner">(std::move(inner)); }
  static bool passes(Line const&) { return true; }
};

template <class... Ts>
struct types {
  using indices = std::index_sequence_for<Ts...>;
};
using outer = types<EverySecond, Main, OnClean, OnEma, EvenUpdates, NoStarts, Name>;

constexpr tacit::eval_sets<"clean", "noisy"> sets{};

/// Runs a pack, once or, where an evaluation of `failing` fails at first, twice; what the last run showed.
template <class... Callbacks>
void run(std::string const& failing, auto const& clear, Callbacks... callbacks) {
  bool armed = !failing.empty();
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{.lr = 1e-3}, sets,
                         CallbackPack{tacit::Ema{}, std::move(callbacks)..., Fails{&armed, failing}}};
  fake::Line const data{10};
  fake::Line const clean{4};
  fake::Line const noisy{6};
  auto const once = [&] {
    trainer.train(data, fake::Line{8}, {.epochs = 2, .per_device_batch_size = 2, .sink = tacit::Sink::none()},
                  tacit::eval_data<"clean">(clean), tacit::eval_data<"noisy">(noisy));
  };
  if (armed) CHECK_THROWS(once());
  clear();
  once();
}

/// What `check_nestings` puts around the adapter that it looks at, and the recorder within it.
template <class Recorder, class Outside>
struct Nested {
  static auto around(auto inner) { return Outside::around(std::move(inner)); }
  static Recorder recorder(Lines& seen) { return {&seen}; }
  static bool passes(Line const& line) { return handles<Recorder>(line) && Outside::passes(line); }
};
using nestings = types<Nested<Steps, None>, Nested<Starts, None>, Nested<All, None>, Nested<Steps, EverySecond>,
                       Nested<Steps, Main>, Nested<Steps, OnClean>, Nested<Steps, OnEma>, Nested<Steps, EvenUpdates>,
                       Nested<Steps, NoStarts>, Nested<Steps, Name>, Nested<Starts, OnClean>, Nested<Starts, NoStarts>,
                       Nested<All, EverySecond>>;

template <class Inside, class... Nesting, std::size_t... I>
void check_nestings(std::string const& failing, types<Nesting...>, std::index_sequence<I...>) {
  Lines alone;
  std::array<Lines, sizeof...(Nesting)> seen;
  auto const clear = [&] {
    alone.clear();
    for (Lines& lines : seen) lines.clear();
  };
  run(failing, clear, All{&alone},
      tacit::named<"nested">(Nesting::around(Inside::around(Nesting::recorder(seen[I]))))...);
  REQUIRE(alone.size() > 100);
  auto const check = [&](std::size_t index, auto const& passes) {
    INFO("nesting " << index);
    Lines expected;
    for (Line const& line : alone) {
      // The trainer was made before the lines that are compared were cleared.
      if (line.name != "InitEnd" && passes(line) && Inside::passes(line)) expected.push_back(line);
    }
    CHECK(seen[index] == expected);
  };
  (check(I, Nesting::passes), ...);
}

template <class Inside>
void check_all() {
  for (std::string const failing : {"", "noisy", "ema", "clean"}) {
    INFO("an evaluation that failed before: " << failing);
    check_nestings<Inside>(failing, nestings{}, nestings::indices{});
  }
}

}  // namespace

TEST_CASE("T1: on_eval_set lets its set through, and all that is no evaluation, whatever the inner callback handles") {
  check_all<OnClean>();
  check_all<OnEma>();
  check_all<OnNoisy>();
}
TEST_CASE("an adapter around an adapter lets through what both let through") {
  check_all<EverySecond>();
  check_all<EvenUpdates>();
  check_all<Name>();
}

namespace {

/// What stands behind adapters is asked for its own members.
struct loss_copy : tacit::Metric<"loss_copy"> {};
struct Records {
  using records = tacit::records<loss_copy>;
  static constexpr bool saves_state = true;
  void on(event::UpdateEnd const& event, auto& context) {
    context.record(loss_copy{}, static_cast<double>(event.update.value()));
  }
  static void visit_config(auto&, auto&&) {}
};
template <class Adapted>
concept keeps_members =
    std::same_as<tacit::detail::innermost_t<Adapted>, Records> && tacit::detail::saves_state<Adapted> &&
    std::same_as<tacit::detail::recorded_tags_t<Adapted>, tacit::list<loss_copy>>;
template <class... Adapters>
consteval bool all_keep_members(types<Adapters...>) {
  return (keeps_members<decltype(Adapters::around(Records{}))> && ...) &&
         (keeps_members<decltype(Adapters::around(tacit::named<"a">(Records{})))> && ...);
}
static_assert(all_keep_members(outer{}));

}  // namespace

TEST_CASE("limits and the size of micro-batches are those of the callback behind adapters that hold on all ranks") {
  tacit::AutoMicroBatch micro{.rows = 1};
  Lines seen;
  tacit::Trainer trainer{
      std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
      CallbackPack{tacit::EveryN{.n = 3, .inner = tacit::named<"micro">(std::ref(micro))},
                   tacit::named<"limit">(tacit::EveryN{.n = 2, .inner = tacit::LimitBatches{.train = 3}}), Steps{&seen},
                   All{&seen}}};
  auto const result =
      trainer.train(fake::Line{8}, {.epochs = 1, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(result.updates == tacit::Updates{3});
  std::int64_t parts = 0;
  for (Line const& line : seen) parts += line.name == "TrainStepEnd" ? 1 : 0;
  CHECK(parts == 6);  // of one row each
}

TEST_CASE("a callback whose type says nothing is filtered as any other, and counted over runs as over one") {
  std::vector<std::string> names;
  tacit::AnyCallback any{"any",
                         [&](tacit::AnyEvent const& event, tacit::AnyContext&) { names.emplace_back(event.name); }};
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, sets,
                         CallbackPack{tacit::EveryN{.n = 2, .inner = tacit::on_eval_set<"noisy">(std::ref(any))}}};
  fake::Line const four{4};
  auto const steps = [&] {
    names.clear();
    trainer.train(four, {.epochs = 1, .per_device_batch_size = 1, .sink = tacit::Sink::none()},
                  tacit::eval_data<"clean">(four), tacit::eval_data<"noisy">(four));
    return std::tuple{std::ranges::count(names, "EvalStepEnd"), std::ranges::count(names, "EvalEpochStart"),
                      std::ranges::count(names, "UpdateEnd")};
  };
  CHECK(steps() == std::tuple{2, 1, 2});
  CHECK(steps() == std::tuple{2, 1, 2});
}

// --- runs of one trainer: what a callback behind an adapter shows of a run is what it shows of a first one ---

namespace {

struct NoRunStarts {
  template <class Event>
  bool operator()(Event const&, auto&) const {
    return !std::same_as<Event, event::TrainingRunStart> && !std::same_as<Event, event::EvaluationRunStart>;
  }
};
struct NoRunEnds {
  template <class Event>
  bool operator()(Event const&, auto&) const {
    return !std::same_as<Event, event::TrainingRunEnd> && !std::same_as<Event, event::EvaluationRunEnd>;
  }
};
struct FromEpochOne {
  bool operator()(auto const&, auto& context) const { return context.progress().epoch.value() >= 1; }
};

/// What a run shows, without durations, rates and the event that is before the first run.
std::string shown(auto& trainer, fake::Linear& model, double weight, std::vector<fake::Batch> const& valid) {
  model.weight->values[0] = weight;
  model.bias->values[0] = 0.0;
  std::ostringstream text;
  auto const result = trainer.train(support::batches(4), valid,
                                    {.epochs = 4, .evaluation = {.every_epochs = 2}, .sink = text});
  text << to_string(result.reason) << ' ' << model.weight.item() << ' ' << model.bias.item() << '\n';
  auto const recorded = trainer.history().last_run();
  for (auto const& column : recorded.columns()) {
    for (auto const& entry : column.entries) {
      if (!column.is_volatile) text << column.name << ' ' << entry.updates.value() << ' ' << entry.value << '\n';
    }
  }
  std::regex const varying{R"( *\b[0-9]+(\.[0-9]+)? m?s\b| *\b[0-9.]+[kMG]? steps/s|InitEnd\n)"};
  return std::regex_replace(text.str(), varying, "");
}
template <class Predicate, class Callback>
void check_second_run(Callback const& callback) {
  tacit::When<Predicate, Callback> const late{.predicate = {}, .inner = callback};
  auto const trainer_of = [&](auto const& model) {
    return tacit::Trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.05}, CallbackPack{late}};
  };
  auto const fresh_model = std::make_shared<fake::Linear>();
  auto fresh = trainer_of(fresh_model);
  auto const model = std::make_shared<fake::Linear>();
  auto used = trainer_of(model);
  shown(used, *model, 9.0, support::batches(2));
  shown(used, *model, 9.0, support::batches(2, 1));  // with an evaluation loss that is no number
  used.evaluate(support::batches(2), {.sink = tacit::Sink::none()});
  CHECK(shown(used, *model, 0.25, support::batches(2)) == shown(fresh, *fresh_model, 0.25, support::batches(2)));
}
void check_second_runs(auto const& callback) {
  check_second_run<NoRunStarts>(callback);
  check_second_run<NoRunEnds>(callback);
  check_second_run<FromEpochOne>(callback);
}

}  // namespace

// Not here: When refuses LimitBatches and AutoMicroBatch; ReduceOnPlateau and AutoThreads carry over what they learnt.
TEST_CASE("behind a When that holds events back every callback begins anew with each run") {
  check_second_runs(tacit::Ema{.decay = 0.75, .leave_averaged = true});
  check_second_runs(tacit::Ema{.decay = 0.75});
  check_second_runs(tacit::Swa{});
  check_second_runs(tacit::TerminateOnNaN{});
  check_second_runs(tacit::TerminateOnNaN{.bad_updates_in_a_row = 2});
  check_second_runs(tacit::EarlyStopping<tacit::tag::eval_loss>{.threshold = 100.0});
  check_second_runs(tacit::LogMetrics{});
  check_second_runs(tacit::PrintProgress{});
  check_second_runs(tacit::ProgressBar{});
  check_second_runs(tacit::Trace{});
}
