#include <chrono>
#include <memory>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "fake/group.hpp"
#include "fake/screen.hpp"
#include "support.hpp"
#include "tacit/callbacks/default_callbacks.hpp"
#include "tacit/callbacks/early_stopping.hpp"

// What a person sees of a run: PrintProgress, ProgressBar and LogMetrics, together and each on its own.

namespace event = tacit::event;
namespace tag = tacit::tag;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using tacit::CallbackPack;
using namespace support;

namespace console_tests {
namespace {

/// The text with every duration and rate replaced: they differ from run to run.
std::string masked(std::string const& text) {
  std::string const duration = std::regex_replace(text, std::regex{R"( *\b[0-9]+(\.[0-9]+)? m?s\b)"}, " TIME");
  return std::regex_replace(duration, std::regex{R"( *\b[0-9.]+[kMG]? (samples|steps)/s)"}, " RATE");
}

template <class... Callbacks>
std::string output(CallbackPack<Callbacks...> pack, tacit::TrainOptions options = {.epochs = 2}) {
  auto one = trainer(std::make_shared<fake::Linear>(), std::move(pack));
  std::ostringstream text;
  options.sink = text;
  one.train(batches(4), batches(2), options);
  return masked(text.str());
}

}  // namespace

TEST_CASE("the default callbacks write a line for the start, a line an epoch and a line for the end") {
  CHECK(output(CallbackPack{tacit::default_callbacks}) ==
        "[tacit] training for 2 epochs of 4 updates, on cpu, fp32\n"
        "epoch 1/2  train_loss 1.7904  eval_loss 0.3805 TIME RATE\n"
        "epoch 2/2  train_loss 0.2319  eval_loss 0.0529 TIME RATE\n"
        "[tacit] trained 2 epochs, 8 updates in TIME\n");
}

TEST_CASE("an evaluation inside an epoch has a line of its own, and one on its own too") {
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{tacit::default_callbacks});
  std::ostringstream text;
  one.train(fake::Line{20}, fake::Line{4}, {.epochs = 1, .per_device_batch_size = 4, .evaluation = {.every_updates = 2}, .sink = text});
  one.evaluate(fake::Line{4}, {.sink = text});
  CHECK(masked(text.str()) ==
        "[tacit] training for 1 epoch of 5 updates, 4 samples an update, on cpu, fp32\n"
        "epoch 1/1, update 2  eval_loss 1.2141 TIME\n"
        "epoch 1/1, update 4  eval_loss 0.3783 TIME\n"
        "epoch 1/1  train_loss 1.6931  eval_loss 0.1802 TIME RATE\n"
        "[tacit] trained 1 epoch, 5 updates in TIME\n"
        "evaluation  eval_loss 0.1802 TIME\n");
}

TEST_CASE("an early end says why") {
  CHECK(output(CallbackPack{tacit::default_callbacks, tacit::EarlyStopping<tag::eval_loss>{.threshold = 10.0}}, {.epochs = 9}) ==
        "[tacit] training for 9 epochs of 4 updates, on cpu, fp32\n"
        "epoch 1/9  train_loss 1.7904  eval_loss 0.3805 TIME RATE\n"
        "epoch 2/9  train_loss 0.2319  eval_loss 0.0529 TIME RATE\n"
        "[tacit] early stopping: eval_loss did not improve on 0.3805 by more than 10 for 1 epoch\n"
        "[tacit] stopped after 2 epochs, 8 updates in TIME: stopped by a callback\n");
  CHECK_THAT(output(CallbackPack{tacit::PrintProgress{}}, {.epochs = 9, .limit = {.updates = 6}}),
             StartsWith("[tacit] training for 9 epochs of 4 updates, at most 6 updates, on cpu, fp32\n"));
  CHECK(output(CallbackPack{tacit::PrintProgress{}, tacit::LogMetrics{}}, {.limit = {.updates = 6}}) ==
        "[tacit] training for 6 updates, on cpu, fp32\n"
        "epoch 1  train_loss 1.7904  eval_loss 0.3805 TIME\n"
        "epoch 2  train_loss 0.2786  eval_loss 0.1124 TIME\n"
        "[tacit] stopped after 2 epochs, 6 updates in TIME: limit reached\n");
}

TEST_CASE("each alone tells of an epoch, and together they do not tell it twice") {
  CHECK(output(CallbackPack{tacit::PrintProgress{}}) ==
        "[tacit] training for 2 epochs of 4 updates, on cpu, fp32\n"
        "epoch 1/2 done in TIME\n"
        "epoch 2/2 done in TIME\n"
        "[tacit] trained 2 epochs, 8 updates in TIME\n");
  CHECK(output(CallbackPack{tacit::ProgressBar{}}) ==
        "epoch 1/2  4 steps in TIME RATE  loss 1.7904\n"
        "evaluation  2 steps in TIME RATE  loss 0.3805\n"
        "epoch 2/2  4 steps in TIME RATE  loss 0.2319\n"
        "evaluation  2 steps in TIME RATE  loss 0.0529\n");
  CHECK(output(CallbackPack{tacit::LogMetrics{}}) ==
        "epoch 1/2  train_loss 1.7904  eval_loss 0.3805 TIME\n"
        "epoch 2/2  train_loss 0.2319  eval_loss 0.0529 TIME\n");
  CHECK(output(CallbackPack{tacit::PrintProgress{}, tacit::ProgressBar{}}) ==
        "[tacit] training for 2 epochs of 4 updates, on cpu, fp32\n"
        "epoch 1/2  4 steps in TIME RATE  loss 1.7904\n"
        "evaluation  2 steps in TIME RATE  loss 0.3805\n"
        "epoch 2/2  4 steps in TIME RATE  loss 0.2319\n"
        "evaluation  2 steps in TIME RATE  loss 0.0529\n"
        "[tacit] trained 2 epochs, 8 updates in TIME\n");
}

TEST_CASE("on a terminal the bar is gone when its epoch is over") {
  fake::Screen screen;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{tacit::default_callbacks});
  one.train(batches(4), batches(2), {.epochs = 2, .evaluation = {.every_updates = 3}, .sink = screen.sink(70)});
  std::string text;
  for (std::string const& line : screen.lines) text += line + "\n";
  CHECK(masked(text) ==
        "[tacit] training for 2 epochs of 4 updates, on cpu, fp32\n"
        "epoch 1/2, update 3  eval_loss 0.7571 TIME\n"
        "epoch 1/2  train_loss 1.7904  eval_loss 0.3805 TIME RATE\n"
        "epoch 2/2, update 6  eval_loss 0.1124 TIME\n"
        "epoch 2/2  train_loss 0.2319  eval_loss 0.0529 TIME RATE\n"
        "[tacit] trained 2 epochs, 8 updates in TIME\n\n");
}

namespace {
struct ThrowAtStep {
  std::int64_t step;
  void on(event::TrainStepEnd const& event, auto&) {
    if (event.step.value() == step) throw std::runtime_error{"broken"};
  }
  void on(event::EvalStepEnd const& event, auto&) {
    if (event.step.value() == step) throw std::runtime_error{"broken"};
  }
};
}  // namespace

TEST_CASE("after an exception the cursor stands at the start of a line") {
  fake::Screen screen;
  SECTION("in training") {
    auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{tacit::default_callbacks, ThrowAtStep{2}});
    CHECK_THROWS_AS(one.train(batches(4), batches(2), {.epochs = 2, .sink = screen.sink(70)}), std::runtime_error);
  }
  SECTION("in an evaluation inside training") {
    auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{tacit::default_callbacks, ThrowAtStep{2}});
    CHECK_THROWS_AS(one.train(batches(2), batches(4), {.epochs = 2, .evaluation = {.every_updates = 1}, .sink = screen.sink(70)}), std::runtime_error);
  }
  REQUIRE(screen.lines.size() >= 3);
  CHECK(screen.lines.back().empty());
  CHECK_THAT(screen.lines[screen.lines.size() - 2], StartsWith("[tacit] failed after 1 epoch, "));
  CHECK_THAT(screen.lines[screen.lines.size() - 2], ContainsSubstring(": broken"));
}

TEST_CASE("the main process alone writes") {
  std::vector<std::string> texts(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    auto one = trainer(std::make_shared<fake::Linear>(), rank, CallbackPack{tacit::default_callbacks, tacit::EarlyStopping<tag::eval_loss>{.threshold = 10.0}});
    std::ostringstream text;
    one.train(batches(4), batches(2), {.epochs = 3, .sink = text});
    one.evaluate(batches(2), {.sink = text});
    texts[static_cast<std::size_t>(rank.number)] = masked(text.str());
    CHECK(one.history().values(tag::samples_per_second{}).size() == 2);
  });
  CHECK_THAT(texts[0], StartsWith("[tacit] training for 3 epochs of 2 updates, on cpu, fp32, 2 ranks\nepoch 1/3  train_loss"));
  CHECK(lines_of(texts[0]).size() == 6);
  CHECK(texts[1].empty());
}

TEST_CASE("a bar reads the device at log points only") {
  auto reads = [](auto pack, int columns) {
    auto one = trainer(std::make_shared<fake::Linear>(), fake::Gpu{}, std::move(pack));
    fake::device_reads = 0;
    one.train(batches(100), batches(10), {.epochs = 1, .log_every = 20, .sink = tacit::Sink::none().with_columns(columns)});
    return fake::device_reads;
  };
  CHECK(reads(CallbackPack{}, 80) == 2);
  tacit::ProgressBar eager{.drawing = {.redraw_every = std::chrono::milliseconds{0}, .line_every = std::chrono::milliseconds{0}}};
  CHECK(reads(CallbackPack{eager}, 80) == 2 + 5);
  CHECK(reads(CallbackPack{eager}, 0) == 2 + 5);
  CHECK(reads(CallbackPack{tacit::ProgressBar{}}, 0) == 2);
}

namespace {
struct Sleep {
  void on(event::EvalStepStart const&, auto&) { std::this_thread::sleep_for(std::chrono::milliseconds{20}); }
};
}  // namespace

TEST_CASE("throughput is a volatile metric of training alone") {
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{tacit::ProgressBar{}, Sleep{}});
  auto const result = one.train(batches(4), batches(2), {.epochs = 1, .evaluation = {.every_updates = 1}, .sink = tacit::Sink::none()});
  CHECK(result[tag::samples_per_second{}] > 8 / 0.1);  // the evaluations alone take longer
  auto const& columns = one.history().columns();
  auto const at = std::ranges::find(columns, "samples_per_second", &tacit::HistoryColumn::name);
  REQUIRE(at != columns.end());
  CHECK(at->is_volatile);
}

// --- LogMetrics ---

namespace {
struct constrained_iou : tacit::Metric<"constrained_iou", tacit::higher_is_better> {};
struct train_like : tacit::Metric<"train_like"> {};
struct late : tacit::Metric<"late"> {};
/// Records an eval metric whose name contains "train", a train metric, and one at the very end of an epoch, every other epoch.
struct Records {
  using records = tacit::records<late, constrained_iou, train_like>;
  void on(event::EvalEpochEnd const& event, auto& context) {
    context.record(constrained_iou{}, 0.5);
    context.record(tacit::dynamic{"eval_extra"}, static_cast<double>(event.epoch.value()));
  }
  void on(event::TrainEpochEnd const& event, auto& context) {
    if (event.epoch.value() % 2 == 0) context.record(train_like{}, 0.25);
    context.record(tacit::dynamic{"extra"}, 7.0);
  }
  void on(event::TrainingRunEpochEnd const&, auto& context) { context.record(late{}, 1.0); }
};
}  // namespace

TEST_CASE("metrics are sorted by when they were recorded, in the order of the types, and never stale") {
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{tacit::LogMetrics{}, Records{}});
  std::ostringstream text;
  one.train(batches(4), batches(2), {.epochs = 3, .evaluation = {.every_epochs = 2}, .sink = text});
  CHECK(masked(text.str()) ==
        "epoch 1/3  train_loss 1.7904  late 1.0000  train_like 0.2500  extra 7.0000 TIME\n"
        "epoch 2/3  train_loss 0.2319  late 1.0000  extra 7.0000  eval_loss 0.0529  constrained_iou 0.5000  eval_extra 1.0000 TIME\n"
        "epoch 3/3  train_loss 0.0517  late 1.0000  train_like 0.2500  extra 7.0000 TIME\n");
  // A second run tells nothing of the first.
  text.str("");
  one.train(batches(4), batches(2), {.epochs = 1, .evaluation = {.every_epochs = 0, .every_updates = 4}, .sink = text});
  std::vector<std::string> const lines = lines_of(masked(text.str()));
  REQUIRE(lines.size() == 2);
  CHECK_THAT(lines[0], StartsWith("epoch 1/1, update 4  eval_loss ") && !ContainsSubstring("train_"));
  CHECK_THAT(lines[1], StartsWith("epoch 1/1  train_loss ") && !ContainsSubstring("eval"));
}

namespace {
struct Shrinks {
  using records = tacit::records<late>;
  void on(event::TrainingRunEpochEnd const& event, auto& context) { context.record(late{}, event.epoch.value() == 0 ? 123.0 : 1.0); }
};
}  // namespace

TEST_CASE("values stand below each other") {
  std::vector<std::string> const lines = lines_of(output(CallbackPack{tacit::LogMetrics{}, Shrinks{}}));
  CHECK_THAT(lines[0], ContainsSubstring("  late 123.00  eval_loss"));
  CHECK_THAT(lines[1], ContainsSubstring("  late 1.0000  eval_loss"));
}

TEST_CASE("metrics go elsewhere by a callable") {
  std::vector<std::string> seen;
  tacit::LogMetricsTo log{[&seen](tacit::MetricsReport const& report, auto& context) {
    std::string line = std::to_string(static_cast<int>(report.kind)) + " " + std::to_string(report.epoch.value()) + " " + std::to_string(report.updates.value());
    for (tacit::LoggedMetric const& metric : report.metrics) line.append(" ").append(metric.name).append(metric.of_evaluation ? "*" : "");
    seen.push_back(line + (context.is_main_process() ? "" : " not here"));
  }};
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{log, tacit::LogMetrics{}});
  one.train(batches(4), batches(2), {.epochs = 2, .evaluation = {.every_updates = 3}, .sink = tacit::Sink::none()});
  one.evaluate(batches(2), {.sink = tacit::Sink::none()});
  CHECK(seen == std::vector<std::string>{"1 0 3 eval_loss*", "0 0 4 train_loss eval_loss*", "1 1 6 eval_loss*", "0 1 8 train_loss eval_loss*", "2 0 0 eval_loss*"});
}

TEST_CASE("an evaluation on its own before a run changes nothing in the reports of the run") {
  std::vector<std::string> seen;
  tacit::LogMetricsTo log{[&seen](tacit::MetricsReport const& report, auto&) {
    std::string line;
    for (tacit::LoggedMetric const& metric : report.metrics) line.append(metric.name).append(metric.of_evaluation ? "* " : " ");
    seen.push_back(line);
  }};
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{log});
  one.evaluate(batches(2), {.sink = tacit::Sink::none()});
  one.train(batches(4), batches(2), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(seen == std::vector<std::string>{"eval_loss* ", "train_loss eval_loss* "});
}

}  // namespace console_tests
