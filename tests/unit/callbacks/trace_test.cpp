#include "tacit/callbacks/trace.hpp"

#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "fake/group.hpp"
#include "support.hpp"

namespace event = tacit::event;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using tacit::CallbackPack;
using tacit::Flow;
using tacit::Trace;
using namespace support;

namespace trace_tests {
namespace {

template <class... Callbacks>
std::string traced(Callbacks... callbacks) {
  std::ostringstream text;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{Trace{.sink = text}, std::move(callbacks)...});
  try {
    one.train(batches(2), batches(1), {.epochs = 1, .sink = tacit::Sink::none()});
  } catch (std::runtime_error const&) {
  }
  return text.str();
}

struct Spike {
  tacit::UpdateIndex update;
  double size;
  std::string where;
  bool first;
};
struct Emit {
  void on(event::UpdateEnd const& event, auto& context) {
    if (event.update.value() == 0) context.emit(Spike{event.update, 2.5, "here", true});
  }
};
struct HighSpike : Spike {
  double limit;
};
struct EmitDerived {
  void on(event::UpdateEnd const& event, auto& context) {
    if (event.update.value() == 0) context.emit(HighSpike{{event.update, 2.5, "here", true}, 2.0});
  }
};
struct SkipFirst {
  Flow on(event::TrainStepStart const& event, auto&) { return event.step.value() == 0 ? Flow::skip_batch : Flow::proceed; }
  Flow on(event::EvalStepStart const&, auto&) { return Flow::skip_batch; }
};
struct Stop {
  void on(event::UpdateEnd const&, auto& context) { context.request_stop(); }
};
struct Throw {
  void on(event::TrainLossComputed const& event, auto&) {
    if (event.step.value() == 1) throw std::runtime_error{"broken"};
  }
};

}  // namespace

TEST_CASE("what lies between a start and its end is indented") {
  CHECK(traced() ==
        "InitEnd\n"
        "TrainingRunStart batches_per_epoch=2 has_evaluation=true\n"
        "  TrainingRunEpochStart epoch=0\n"
        "    TrainEpochStart epoch=0 batches=2\n"
        "      DataFetchStart step=0\n"
        "      DataFetchEnd step=0 exhausted=false\n"
        "      TrainStepStart epoch=0 step=0 update=0\n"
        "        TrainLossComputed epoch=0 step=0 update=0\n"
        "      TrainStepEnd epoch=0 step=0 update=0\n"
        "      UpdateStart epoch=0 update=0\n"
        "      UpdateEnd epoch=0 update=0\n"
        "      DataFetchStart step=1\n"
        "      DataFetchEnd step=1 exhausted=false\n"
        "      TrainStepStart epoch=0 step=1 update=1\n"
        "        TrainLossComputed epoch=0 step=1 update=1\n"
        "      TrainStepEnd epoch=0 step=1 update=1\n"
        "      UpdateStart epoch=0 update=1\n"
        "      UpdateEnd epoch=0 update=1\n"
        "      DataFetchStart step=2\n"
        "      DataFetchEnd step=2 exhausted=true\n"
        "    TrainEpochEnd epoch=0 steps=2 updates=2\n"
        "    EvalEpochStart epoch=0 intermediate=false batches=1 set=\"\"\n"
        "      DataFetchStart step=0\n"
        "      DataFetchEnd step=0 exhausted=false\n"
        "      EvalStepStart step=0\n"
        "      EvalStepEnd step=0\n"
        "      DataFetchStart step=1\n"
        "      DataFetchEnd step=1 exhausted=true\n"
        "    EvalEpochEnd epoch=0 intermediate=false set=\"\"\n"
        "  TrainingRunEpochEnd epoch=0\n"
        "TrainingRunEnd updates=2 reason=\"completed\"\n");
}

TEST_CASE("events of the user's own show their fields") {
  CHECK_THAT(traced(Emit{}), ContainsSubstring("      UpdateEnd epoch=0 update=0\n      Spike 0 2.5 \"here\" true\n      DataFetchStart"));
}

TEST_CASE("events with a base class, whose fields nobody can walk, show their names") {
  CHECK_THAT(traced(EmitDerived{}), ContainsSubstring("      UpdateEnd epoch=0 update=0\n      HighSpike\n      DataFetchStart"));
}

TEST_CASE("a skipped batch has no end, and the lines after it stand where they should") {
  std::string const text = traced(SkipFirst{});
  CHECK_THAT(text, ContainsSubstring("      TrainStepStart epoch=0 step=0 update=0\n      DataFetchStart step=1\n"));
  CHECK_THAT(text, ContainsSubstring("      EvalStepStart step=0\n      DataFetchStart step=1\n"));
  CHECK_THAT(text, EndsWith("\n  TrainingRunEpochEnd epoch=0\nTrainingRunEnd updates=1 reason=\"completed\"\n"));
}

TEST_CASE("a stop is told with its reason") {
  CHECK_THAT(traced(Stop{}), ContainsSubstring("      UpdateEnd epoch=0 update=0\n      StopRequested reason=\"stopped by a callback\"\n    TrainEpochEnd"));
}

TEST_CASE("an exception closes stage by stage") {
  CHECK_THAT(traced(Throw{}), EndsWith("        TrainLossComputed epoch=0 step=1 update=1\n"
                                       "      Aborted<TrainStep> what=\"broken\"\n"
                                       "    Aborted<TrainEpoch> what=\"broken\"\n"
                                       "  Aborted<TrainingRunEpoch> what=\"broken\"\n"
                                       "Aborted<TrainingRun> what=\"broken\"\n"));
}

TEST_CASE("phases are named, and updates of the earlier ones lie inside the step") {
  struct Output {
    fake::Tensor loss;
  };
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input))}; };
  std::ostringstream text;
  tacit::Trainer one{tacit::Task{tacit::phase<"d">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
                                 tacit::phase<"g">(std::make_shared<fake::Linear>(), fake::Sgd{}, step)},
                     CallbackPack{Trace{}}};
  one.train(batches(1), {.epochs = 1, .sink = text});
  CHECK_THAT(text.str(), ContainsSubstring("      TrainStepStart epoch=0 step=0 update=0\n"
                                           "        TrainLossComputed of d epoch=0 step=0 update=0\n"
                                           "        UpdateStart of d epoch=0 update=0\n"
                                           "        UpdateEnd of d epoch=0 update=0\n"
                                           "        TrainLossComputed of g epoch=0 step=0 update=0\n"
                                           "      TrainStepEnd epoch=0 step=0 update=0\n"
                                           "      UpdateStart of g epoch=0 update=0\n"
                                           "      UpdateEnd of g epoch=0 update=0\n"
                                           "      DataFetchStart step=1\n"));
}

TEST_CASE("it writes to the run's sink where it has none, with the rank's number where there are several") {
  std::vector<std::string> texts(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    auto one = trainer(std::make_shared<fake::Linear>(), rank, CallbackPack{Trace{}});
    std::ostringstream text;
    one.evaluate(batches(2), {.sink = text});
    texts[static_cast<std::size_t>(rank.number)] = text.str();
  });
  CHECK_THAT(texts[1], StartsWith("1: InitEnd\n1: EvaluationRunStart\n1:   EvalEpochStart epoch=0 intermediate=false batches=1 set=\"\"\n1:     DataFetchStart step=0\n"));
  CHECK_THAT(texts[0], ContainsSubstring("0:   EvalEpochEnd") && EndsWith("0: EvaluationRunEnd\n"));
}

}  // namespace trace_tests
