#include "tacit/callbacks/lambda.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support.hpp"
#include "tacit/callbacks/adapters.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;
using tacit::Flow;
using tacit::stateful;
using tacit::stateless;
using namespace support;

namespace lambda_tests {
namespace {
auto run(auto pack, tacit::TrainOptions options = {.epochs = 1}) {
  auto one = trainer(std::make_shared<fake::Linear>(), std::move(pack));
  options.sink = tacit::Sink::none();
  return one.train(batches(4), batches(2), options);
}
}  // namespace

TEST_CASE("a lambda handles the event that it names, whatever it does with the context") {
  std::vector<double> losses;
  int evaluations = 0;
  run(CallbackPack{stateless([&](event::TrainLossComputed const&, auto& context) { losses.push_back(context.loss().read(*context.log_point())); }),
                   stateless([&](event::EvalEpochEnd const&, auto const& context) { evaluations += context.history().runs().empty() ? 100 : 1; }),
                   stateless([&](event::EvalStepEnd const&, auto&& context) { evaluations += context.output().prediction.values().size() == 2 ? 10 : 1000; })});
  CHECK(losses.size() == 4);
  CHECK(evaluations == 21);
}

TEST_CASE("a lambda for any event handles all") {
  int all = 0;
  int updates = 0;
  run(CallbackPack{stateless([&](auto const&, auto&) { ++all; }), stateless([&](auto const& event, auto&) {
                     if constexpr (requires { event.update; }) ++updates;
                   })});
  CHECK(all > 30);
  CHECK(updates == 4 * 5);
}

TEST_CASE("a lambda may return Flow") {
  auto const result = run(CallbackPack{stateless([](event::UpdateEnd const& event, auto&) { return event.update.value() == 1 ? Flow::stop_run : Flow::proceed; })});
  CHECK(result.updates == tacit::Updates{2});
  // Every other batch left out.
  int steps = 0;
  auto const skipping = run(CallbackPack{stateless([](event::TrainStepStart const& event, auto&) { return event.step.value() % 2 == 0 ? Flow::skip_batch : Flow::proceed; }),
                                         stateless([&](event::TrainStepEnd const&, auto&) { ++steps; })});
  CHECK(steps == 2);
  CHECK(skipping.updates == tacit::Updates{2});
}

TEST_CASE("a lambda for any event leaves the numbers as they are") {
  auto numbers = [](auto pack) {
    auto model = std::make_shared<fake::Linear>();
    auto one = trainer(model, std::move(pack));
    one.train(fake::Line{31}, {.epochs = 2, .per_device_batch_size = 3, .gradient_accumulation = 3, .sink = tacit::Sink::none()});
    return parameters_of(*model);
  };
  int count = 0;
  CHECK(numbers(CallbackPack{}) == numbers(CallbackPack{stateless([&](auto const&, auto&) { ++count; })}));
  CHECK(count > 0);
}

TEST_CASE("a lambda with its state") {
  auto counter = stateful([](event::UpdateEnd const&, auto&, std::int64_t& count) { ++count; }, std::int64_t{5});
  run(CallbackPack{std::ref(counter)});
  CHECK(counter.state() == 9);
  auto names = stateful([](event::TrainStepEnd const& event, auto& context, auto& state) { state.push_back(event.step.value() + context.rank()); }, std::vector<std::int64_t>{});
  run(CallbackPack{std::ref(names)});
  CHECK(names.state() == std::vector<std::int64_t>{0, 1, 2, 3});
  auto stops = stateful([](event::UpdateEnd const&, auto&, int& left) { return --left == 0 ? Flow::stop_run : Flow::proceed; }, 3);
  CHECK(run(CallbackPack{stops}, {.epochs = 5}).updates == tacit::Updates{3});
}

TEST_CASE("the state is visited, what is captured is not") {
  auto counter = stateful([](event::UpdateEnd const&, auto&, std::int64_t& count) { ++count; }, std::int64_t{5});
  auto const before = tacit::state_hash(counter);
  run(CallbackPack{std::ref(counter)});
  CHECK(tacit::state_hash(counter) != before);
  static_assert(tacit::visitable_state<decltype(counter)>);
  int captured = 0;
  auto promise = stateless([&captured](event::UpdateEnd const&, auto&) { ++captured; });
  static_assert(tacit::visitable_config<decltype(promise)> && !tacit::visitable_state<decltype(promise)>);
}

TEST_CASE("a lambda for one phase of a task, and for each") {
  struct Output {
    fake::Tensor loss;
  };
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input))}; };
  std::string text;
  tacit::Trainer one{tacit::Task{tacit::phase<"d">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
                                 tacit::phase<"g">(std::make_shared<fake::Linear>(), fake::Sgd{}, step)},
                     CallbackPack{stateless([&](event::UpdateEnd const&, auto&) { text += "u"; }),
                                  stateless([&](event::Of<"g", event::TrainLossComputed> const&, auto& context) { text += context.loss().tensor().defined() ? "g" : "?"; })}};
  one.train(batches(2), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(text == "uguugu");
}

TEST_CASE("a lambda in adapters") {
  int count = 0;
  run(CallbackPack{tacit::EveryN{.n = 2, .inner = stateless([&](event::UpdateEnd const&, auto& context) { count += context.is_main_process() ? 1 : 100; })},
                   tacit::named<"other">(stateless([&](event::TrainingRunEnd const&, auto&) { count += 10; }))});
  CHECK(count == 12);
}

}  // namespace lambda_tests
