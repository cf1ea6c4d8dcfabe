#include "tacit/callbacks/any_callback.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/group.hpp"
#include "support.hpp"
#include "tacit/callbacks/adapters.hpp"

namespace event = tacit::event;
using tacit::AnyCallback;
using tacit::AnyContext;
using tacit::AnyEvent;
using tacit::CallbackPack;
using namespace support;

namespace any_callback_tests {
TEST_CASE("a callable of run time sees every event with its name and place") {
  std::vector<std::string> seen;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{AnyCallback{"log", [&](AnyEvent const& event, AnyContext&) {
                                                                     seen.push_back(std::string{event.name} + " " + std::to_string(event.epoch.value()) +
                                                                                    std::to_string(event.step.value()) + std::to_string(event.update.value()));
                                                                   }}});
  one.train(batches(3), {.epochs = 1, .gradient_accumulation = 2, .sink = tacit::Sink::none()});
  CHECK(seen == std::vector<std::string>{"InitEnd 000",          "TrainingRunStart 000",   "TrainingRunEpochStart 000", "TrainEpochStart 000",
                                         "DataFetchStart 000",   "DataFetchEnd 000",       "TrainStepStart 000",        "TrainLossComputed 000",
                                         "TrainStepEnd 000",     "DataFetchStart 010",     "DataFetchEnd 010",          "TrainStepStart 010",
                                         "TrainLossComputed 010", "TrainStepEnd 010",      "UpdateStart 020",           "UpdateEnd 020",
                                         "DataFetchStart 021",   "DataFetchEnd 021",       "TrainStepStart 021",        "TrainLossComputed 021",
                                         "TrainStepEnd 021",     "UpdateStart 031",        "UpdateEnd 031",             "DataFetchStart 032",
                                         "DataFetchEnd 032",     "TrainEpochEnd 032",      "TrainingRunEpochEnd 032",   "TrainingRunEnd 132"});
}

TEST_CASE("several stand in one pack, and are made while the program runs") {
  std::string text;
  std::vector<std::function<void(AnyEvent const&, AnyContext&)>> functions;
  for (char letter : {'a', 'b'}) {
    functions.emplace_back([&text, letter](AnyEvent const& event, AnyContext&) {
      if (event.name == "UpdateEnd") text += letter;
    });
  }
  AnyCallback first{"first", functions[0]};
  CHECK(first.name() == "first");
  auto one = trainer(std::make_shared<fake::Linear>(),
                     CallbackPack{std::move(first), AnyCallback{"second", functions[1]}, tacit::EveryN{.n = 2, .inner = AnyCallback{"third", functions[0]}},
                                  tacit::EveryN{.n = 2, .inner = AnyCallback{"fourth", functions[1]}}});
  one.train(batches(2), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(text == "ababab");
}

TEST_CASE("the facade records, reads, stops and writes") {
  std::ostringstream text;
  std::vector<double> losses;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{AnyCallback{"all", [&](AnyEvent const& event, AnyContext& context) {
                                                                     if (auto const loss = context.loss()) losses.push_back(*loss);
                                                                     if (event.name == "UpdateEnd") context.record("sum", 2.0 * static_cast<double>(event.update.value()));
                                                                     if (event.name == "UpdateEnd" && context.latest("sum") == 4.0) context.request_stop();
                                                                     if (event.name == "TrainEpochEnd") {
                                                                       context.sink().write(std::to_string(context.rank()) + "/" + std::to_string(context.world_size()) +
                                                                                            (context.is_main_process() ? " main " : " ") + context.plan().device + " " +
                                                                                            std::to_string(context.progress().updates.value()));
                                                                     }
                                                                   }}});
  auto const result = one.train(batches(9), {.epochs = 2, .sink = text});
  CHECK(result.reason == tacit::StopReason::callback);
  CHECK(result.updates == tacit::Updates{3});
  CHECK(result[tacit::dynamic{"sum"}] == 4.0);
  CHECK(losses.size() == 6);  // where it is computed and where the step ends
  CHECK(text.str() == "0/1 main cpu 3");
}

TEST_CASE("no loss is read where that would wait for the device") {
  int given = 0;
  auto one = trainer(std::make_shared<fake::Linear>(), fake::Gpu{}, CallbackPack{AnyCallback{"loss", [&](AnyEvent const& event, AnyContext& context) {
                                                                                  if (event.name == "TrainStepEnd" && context.loss()) ++given;
                                                                                }}});
  fake::device_reads = 0;
  one.train(batches(20), {.epochs = 1, .log_every = 10, .sink = tacit::Sink::none()});
  CHECK(given == 2);
  CHECK(fake::device_reads == 3);
}

TEST_CASE("recording where nothing is recorded is an error that names event and metric") {
  auto make = [] {
    return trainer(std::make_shared<fake::Linear>(), CallbackPack{AnyCallback{"early", [](AnyEvent const& event, AnyContext& context) {
                                                       if (event.name == "DataFetchStart") context.record("x", 1.0);
                                                     }}});
  };
  auto one = make();
  try {
    one.train(batches(2), {.epochs = 1, .sink = tacit::Sink::none()});
    FAIL("accepted");
  } catch (tacit::UsageError const& error) {
    CHECK(error.code() == "TACIT-RU20");
    CHECK(error.problem() == "'x' cannot be recorded at DataFetchStart");
  }
}

namespace {
struct Signal {
  int number;
};
struct Emit {
  void on(event::UpdateEnd const&, auto& context) { context.emit(Signal{3}); }
};
}  // namespace

TEST_CASE("events of the user's own, phases and aborted stages have names too") {
  std::vector<std::string> seen;
  AnyCallback log{"log", [&](AnyEvent const& event, AnyContext&) {
                    if (event.name == "Signal" || !event.phase.empty() || event.name.starts_with("Aborted")) {
                      seen.push_back(std::string{event.name} + (event.phase.empty() ? "" : " of " + std::string{event.phase}));
                    }
                  }};
  struct Output {
    fake::Tensor loss;
  };
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto& context) {
    if (context.progress().updates.value() == 1) throw std::runtime_error{"broken"};
    return Output{fake::mean(net.forward(batch.input))};
  };
  tacit::Trainer one{tacit::Task{tacit::phase<"d">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
                                 tacit::phase<"g">(std::make_shared<fake::Linear>(), fake::Sgd{}, step)},
                     CallbackPack{Emit{}, std::move(log)}};
  CHECK_THROWS(one.train(batches(4), {.epochs = 1, .sink = tacit::Sink::none()}));
  CHECK(seen == std::vector<std::string>{"TrainLossComputed of d", "UpdateStart of d", "Signal", "UpdateEnd of d", "TrainLossComputed of g", "UpdateStart of g", "Signal",
                                         "UpdateEnd of g", "Aborted<TrainStep>", "Aborted<TrainEpoch>", "Aborted<TrainingRunEpoch>", "Aborted<TrainingRun>"});
}

}  // namespace any_callback_tests
