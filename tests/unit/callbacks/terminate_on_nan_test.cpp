#include "tacit/callbacks/terminate_on_nan.hpp"

#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "fake/group.hpp"
#include "support.hpp"
#include "tacit/callbacks/adapters.hpp"

namespace event = tacit::event;
namespace tag = tacit::tag;
using Catch::Matchers::ContainsSubstring;
using tacit::CallbackPack;
using tacit::StopReason;
using tacit::TerminateOnNaN;
using namespace support;

namespace terminate_on_nan_tests {
namespace {

struct StepLoss {
  fake::Tensor loss;
};

struct Ends {
  int* count;
  void on(event::TrainEpochEnd const&, auto&) { ++*count; }
  void on(event::TrainingRunEpochEnd const&, auto&) { ++*count; }
  void on(event::TrainingRunEnd const& event, auto&) {
    ++*count;
    reason = event.reason;
  }
  StopReason reason = StopReason::completed;
};

/// The parameters after so many updates on good batches alone.
Parameters after_updates(std::int64_t updates, std::int64_t accumulation) {
  auto model = std::make_shared<fake::Linear>();
  auto plain = trainer(model, CallbackPack{});
  if (updates > 0) plain.train(batches(12), {.limit = {.updates = updates}, .gradient_accumulation = accumulation, .sink = tacit::Sink::none()});
  return parameters_of(*model);
}

}  // namespace

TEST_CASE("a loss that is no number ends the run on a host, and nothing of its update happens") {
  double const value = GENERATE(not_a_number, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity());
  int const bad = GENERATE(0, 1, 4, 5, 11);
  std::int64_t const accumulation = GENERATE(1, 2, 3);
  CAPTURE(value, bad, accumulation);
  auto model = std::make_shared<fake::Linear>();
  int ends = 0;
  Ends last{&ends};
  auto one = trainer(model, CallbackPack{TerminateOnNaN{}, std::ref(last)});
  std::ostringstream text;
  auto const result = one.train(batches(12, bad, value), {.epochs = 3, .gradient_accumulation = accumulation, .sink = text});
  std::int64_t const update = bad / accumulation;
  CHECK(result.reason == StopReason::non_finite);
  CHECK(result.updates == tacit::Updates{update + 1});
  CHECK(parameters_of(*model) == after_updates(update, accumulation));
  // The callbacks behind it see every end event.
  CHECK(ends == 3);
  CHECK(last.reason == StopReason::non_finite);
  CHECK(text.str() == "[tacit] loss is " + std::string{std::isnan(value) ? "nan" : "inf"} + " at epoch 0, step " + std::to_string(bad) + ", update " +
                          std::to_string(update) + ", counted from 0: that update changes nothing, the run stops\n");
}

TEST_CASE("a good run is left alone") {
  auto model = std::make_shared<fake::Linear>();
  auto one = trainer(model, CallbackPack{TerminateOnNaN{}});
  std::ostringstream text;
  auto const result = one.train(batches(12), batches(3), {.epochs = 1, .gradient_accumulation = 2, .sink = text});
  CHECK(result.reason == StopReason::completed);
  CHECK(parameters_of(*model) == after_updates(6, 2));
  CHECK(text.str().empty());
}

TEST_CASE("on a device nobody waits between log points, and every update from the bad one on is masked") {
  int const bad = GENERATE(0, 3, 6, 7, 11);
  std::int64_t const accumulation = GENERATE(1, 2);
  std::int64_t const log_every = GENERATE(1, 4, 50);
  CAPTURE(bad, accumulation, log_every);
  auto model = std::make_shared<fake::Linear>();
  auto one = trainer(model, fake::Gpu{}, CallbackPack{TerminateOnNaN{}});
  std::ostringstream text;
  fake::device_reads = 0;
  auto const result = one.train(batches(12, bad), {.epochs = 3, .gradient_accumulation = accumulation, .log_every = log_every, .sink = text});
  std::int64_t const update = bad / accumulation;
  CHECK(result.reason == StopReason::non_finite);
  CHECK(parameters_of(*model) == after_updates(update, accumulation));
  std::int64_t const updates_per_epoch = 12 / accumulation;
  CHECK(result.updates == tacit::Updates{std::min((update / log_every + 1) * log_every, updates_per_epoch)});
  CHECK_THAT(text.str(), ContainsSubstring("[tacit] loss is not finite at epoch 0, step " + std::to_string(bad) + ", update " + std::to_string(update) + ","));
  CHECK(count_of(text.str(), "\n") == 1);
}

TEST_CASE("a bad loss that is found out after the run's limit was reached is the reason of its end") {
  auto model = std::make_shared<fake::Linear>();
  auto one = trainer(model, fake::Gpu{}, CallbackPack{TerminateOnNaN{}});
  auto const result = one.train(batches(12, 3), {.limit = {.updates = 6}, .log_every = 50, .sink = tacit::Sink::none()});
  CHECK(result.reason == StopReason::non_finite);
  CHECK(result.updates == tacit::Updates{6});
  CHECK(parameters_of(*model) == after_updates(3, 1));
}

TEST_CASE("the flag of a device is read at log points only") {
  auto run = [](auto pack) {
    auto one = trainer(std::make_shared<fake::Linear>(), fake::Gpu{}, std::move(pack));
    fake::device_reads = 0;
    one.train(batches(100), {.epochs = 2, .log_every = 10, .sink = tacit::Sink::none()});
    return fake::device_reads;
  };
  // The loop itself reads the loss once an epoch, and its weight where updates may be skipped; the flag once each 10 updates, and once
  // more at the end of an epoch, for the gradients of its last updates.
  CHECK(run(CallbackPack{}) == 2);
  CHECK(run(CallbackPack{TerminateOnNaN{}}) == 2 * 2 + 20 + 2);
  auto one = trainer(std::make_shared<fake::Linear>(), fake::Gpu{}, CallbackPack{TerminateOnNaN{}});
  fake::device_reads = 0;
  one.train(batches(15), {.epochs = 2, .log_every = 10, .sink = tacit::Sink::none()});
  CHECK(fake::device_reads == 2 * 2 + 3 + 2);
}

TEST_CASE("an evaluation loss that is no number ends the run, whichever phase has it") {
  bool const on_device = GENERATE(false, true);
  int const bad_phase = GENERATE(0, 1);
  CAPTURE(on_device, bad_phase);
  auto step = [&](int phase) {
    return [=](fake::Linear& model, fake::Batch const& batch, auto& context) {
      fake::Tensor loss = fake::MeanSquaredError{}(model.forward(batch.input), batch.target);
      if (!context.is_training() && phase == bad_phase) {
        for (double& value : loss->values) value = not_a_number;
      }
      return StepLoss{loss};
    };
  };
  auto train = [&](auto... device) {
    std::ostringstream text;
    tacit::Trainer one{tacit::Task{tacit::phase<"a">(std::make_shared<fake::Linear>(), fake::Sgd{.lr = 0.05}, step(0)),
                                   tacit::phase<"b">(std::make_shared<fake::Linear>(), fake::Sgd{.lr = 0.05}, step(1))},
                       device..., CallbackPack{TerminateOnNaN{}}};
    CHECK(one.train(batches(4), batches(2), {.epochs = 3, .sink = text}).reason == StopReason::non_finite);
    CHECK_THAT(text.str(), ContainsSubstring("evaluation loss"));
    if (!on_device) CHECK_THAT(text.str(), ContainsSubstring(bad_phase == 0 ? "loss of a is nan" : "loss of b is nan"));
  };
  if (on_device) {
    train(fake::Gpu{});
  } else {
    train();
  }
}

TEST_CASE("an evaluation loss that is no number ends the run") {
  auto model = std::make_shared<fake::Linear>();
  std::ostringstream text;
  SECTION("after an epoch, on a host") {
    auto one = trainer(model, CallbackPack{TerminateOnNaN{}});
    auto const result = one.train(batches(4), batches(5, 2), {.epochs = 3, .sink = text});
    CHECK(result.reason == StopReason::non_finite);
    CHECK(result.updates == tacit::Updates{4});
    CHECK(text.str() == "[tacit] evaluation loss is nan at epoch 0, step 2, counted from 0: the run stops\n");
  }
  SECTION("inside an epoch: the update in work changes nothing") {
    auto one = trainer(model, CallbackPack{TerminateOnNaN{}});
    auto const result = one.train(batches(12), batches(5, 2), {.epochs = 3, .evaluation = {.every_updates = 4}, .sink = text});
    CHECK(result.reason == StopReason::non_finite);
    CHECK(parameters_of(*model) == after_updates(4, 1));
    CHECK(count_of(text.str(), "evaluation loss is nan at epoch 0, step 2,") == 1);
  }
  SECTION("on a device") {
    auto one = trainer(model, fake::Gpu{}, CallbackPack{TerminateOnNaN{}});
    auto const result = one.train(batches(12), batches(5, 2), {.epochs = 3, .evaluation = {.every_updates = 4}, .sink = text});
    CHECK(result.reason == StopReason::non_finite);
    CHECK(parameters_of(*model) == after_updates(4, 1));
    CHECK(count_of(text.str(), "evaluation loss is not finite at epoch 0, step 2,") == 1);
  }
  SECTION("on its own") {
    auto one = trainer(model, CallbackPack{TerminateOnNaN{}});
    auto const result = one.evaluate(batches(5, 3), {.sink = text});
    CHECK(std::isnan(result[tag::eval_loss{}]));
    CHECK(count_of(text.str(), "evaluation loss is nan") == 1);
    // And the next run is a new one.
    CHECK(one.train(batches(4), {.epochs = 1, .sink = text}).reason == StopReason::completed);
  }
  SECTION("on its own, on a device") {
    auto one = trainer(model, fake::Gpu{}, CallbackPack{TerminateOnNaN{}});
    fake::device_reads = 0;
    one.evaluate(batches(5, 3), {.sink = text});
    CHECK(fake::device_reads == 2);
    CHECK(count_of(text.str(), "step 3,") == 1);
  }
}

TEST_CASE("after a run that ended so the next one starts anew") {
  auto model = std::make_shared<fake::Linear>();
  std::ostringstream text;
  SECTION("host") {
    auto one = trainer(model, CallbackPack{TerminateOnNaN{}});
    CHECK(one.train(batches(4, 1), {.epochs = 1, .sink = text}).reason == StopReason::non_finite);
    CHECK(one.train(batches(4), {.epochs = 1, .sink = text}).reason == StopReason::completed);
    CHECK(one.train(batches(4, 1), {.epochs = 1, .sink = text}).reason == StopReason::non_finite);
  }
  SECTION("device") {
    auto one = trainer(model, fake::Gpu{}, CallbackPack{TerminateOnNaN{}});
    CHECK(one.train(batches(4, 1), {.epochs = 1, .sink = text}).reason == StopReason::non_finite);
    CHECK(one.train(batches(4), {.epochs = 1, .sink = text}).reason == StopReason::completed);
    CHECK(one.train(batches(4, 1), {.epochs = 1, .sink = text}).reason == StopReason::non_finite);
  }
  CHECK(count_of(text.str(), "\n") == 2);
}

TEST_CASE("behind a When that holds back the start of runs, the next run starts anew") {
  auto const late = [](auto const&, auto& context) { return context.progress().epoch.value() >= 1; };
  auto model = std::make_shared<fake::Linear>();
  auto one = trainer(model, CallbackPack{tacit::When{.predicate = late, .inner = TerminateOnNaN{}}});
  tacit::TrainOptions const two_epochs{.epochs = 2, .sink = tacit::Sink::none()};
  CHECK(one.train(batches(4), batches(2, 1), two_epochs).reason == StopReason::non_finite);
  auto other = std::make_shared<fake::Linear>();
  auto plain = trainer(other, CallbackPack{});
  plain.train(batches(4), two_epochs);
  CHECK(parameters_of(*model) == parameters_of(*other));
  CHECK(one.train(batches(4), two_epochs).reason == StopReason::completed);
  plain.train(batches(4), two_epochs);
  CHECK(parameters_of(*model) == parameters_of(*other));
}

TEST_CASE("a phase is called by its name") {
  auto first = std::make_shared<fake::Linear>();
  auto second = std::make_shared<fake::Linear>();
  struct Output {
    fake::Tensor loss;
  };
  auto good = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input))}; };
  auto bad = [](fake::Linear& net, fake::Batch const& batch, auto& context) {
    fake::Tensor const loss = fake::mean(net.forward(batch.input));
    return Output{context.progress().updates.value() == 2 ? loss * fake::Tensor{std::vector<double>{not_a_number}} : loss};
  };
  auto run = [&](auto... policies) {
    tacit::Trainer one{tacit::Task{tacit::phase<"critic">(first, fake::Sgd{}, good), tacit::phase<"actor">(second, fake::Sgd{}, bad)}, policies...,
                       CallbackPack{TerminateOnNaN{}}};
    std::ostringstream text;
    auto const result = one.train(batches(6), {.epochs = 1, .log_every = 1, .sink = text});
    CHECK(result.reason == StopReason::non_finite);
    CHECK(result.updates == tacit::Updates{3});
    return text.str();
  };
  CHECK_THAT(run(), ContainsSubstring("[tacit] loss of actor is nan at epoch 0, step 2, update 2,"));
  CHECK_THAT(run(fake::Gpu{}), ContainsSubstring("[tacit] loss of actor is not finite at epoch 0, step 2, update 2,"));
}

TEST_CASE("one rank's bad loss ends the run of all at the same update, with the same parameters") {
  std::int64_t const log_every = GENERATE(1, 3, 50);
  bool const on_device = GENERATE(false, true);
  CAPTURE(log_every, on_device);
  // Ranks take every other batch: the bad one is rank 1's in update 4.
  auto outcome = [&](int bad, std::int64_t updates) {
    struct Outcome {
      Parameters parameters{};
      StopReason reason{};
      tacit::Updates updates{};
      std::string text{};
    };
    std::vector<Outcome> outcomes(2);
    fake::run_ranks(2, [&](fake::Rank rank) {
      Outcome& mine = outcomes[static_cast<std::size_t>(rank.number)];
      auto model = std::make_shared<fake::Linear>();
      std::ostringstream text;
      auto run = [&](auto... device) {
        auto one = trainer(model, rank, device..., CallbackPack{TerminateOnNaN{}});
        tacit::TrainOptions options{.epochs = 1, .log_every = log_every, .sink = text};
        if (updates > 0) options.limit.updates = updates;
        auto const result = one.train(batches(24, bad), options);
        mine = {parameters_of(*model), result.reason, result.updates, text.str()};
      };
      if (on_device) {
        run(fake::Gpu{});
      } else {
        run();
      }
    });
    return outcomes;
  };
  auto const outcomes = outcome(9, 0);
  auto const expected = outcome(-1, 4);
  CHECK(outcomes[0].reason == StopReason::non_finite);
  CHECK(outcomes[1].reason == StopReason::non_finite);
  CHECK(outcomes[0].updates == outcomes[1].updates);
  CHECK(outcomes[0].parameters == expected[0].parameters);
  CHECK(outcomes[1].parameters == expected[0].parameters);
  // On a device rank 0 knows no more than that the gradients of all are bad.
  if (on_device) {
    CHECK_THAT(outcomes[0].text, ContainsSubstring("[tacit] gradient of 'weight' is not finite at epoch 0, update 4,"));
  } else {
    CHECK(outcomes[0].text.empty());
  }
  CHECK_THAT(outcomes[1].text, ContainsSubstring("[tacit] rank 1: loss is"));
  CHECK_THAT(outcomes[1].text, ContainsSubstring("at epoch 0, step 4, update 4,"));
}

TEST_CASE("a rank without a batch in the last step takes part in the mask of the others") {
  bool const bad = GENERATE(false, true);
  std::vector<Parameters> parameters(2);
  std::vector<StopReason> reasons(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    auto model = std::make_shared<fake::Linear>();
    auto one = trainer(model, rank, fake::Gpu{}, CallbackPack{TerminateOnNaN{}});
    // Rank 0 alone has the ninth batch.
    auto const result = one.train(batches(9, bad ? 8 : -1), {.epochs = 1, .sink = tacit::Sink::none()});
    parameters[static_cast<std::size_t>(rank.number)] = parameters_of(*model);
    reasons[static_cast<std::size_t>(rank.number)] = result.reason;
  });
  CHECK(parameters[0] == parameters[1]);
  CHECK(reasons[0] == reasons[1]);
  CHECK((reasons[0] == StopReason::non_finite) == bad);
}

// --- gradients: faults F5 and T4 ---

namespace {

/// The finite loss of a prediction, whose gradient is NaN where the target says so.
struct RootLoss {
  fake::Tensor operator()(fake::Tensor const& prediction, fake::Tensor const& target) const {
    bool const bad = std::isnan(target->values[0]);
    fake::Tensor clean{target->values};
    if (bad) clean->values[0] = 1.0;
    clean->on_device = target->on_device;
    fake::Tensor const difference = prediction - clean;
    fake::Tensor const loss = fake::mean(difference * difference);
    if (!bad) return loss;
    // As a square root at 0: the value is finite, its derivative is not.
    return fake::make(loss->values, {loss.ptr()}, [](fake::Node& self) { fake::add_adjoint(*self.parents[0], 0, self.adjoint[0] * not_a_number); });
  }
};

template <class... Arguments>
auto root_trainer(std::shared_ptr<fake::Linear> model, Arguments... arguments) {
  return tacit::Trainer{std::move(model), RootLoss{}, fake::Sgd{.lr = 0.05, .momentum = 0.5}, std::move(arguments)...};
}
/// The mean of the losses of the first `updates` updates, and the parameters after them.
struct Good {
  Parameters parameters;
  double loss;
};
Good good_updates(std::int64_t updates, std::int64_t accumulation, tacit::Clip clip) {
  auto model = std::make_shared<fake::Linear>();
  auto plain = root_trainer(model, CallbackPack{});
  if (updates == 0) return {parameters_of(*model), not_a_number};
  auto const result = plain.train(batches(12), {.limit = {.updates = updates}, .gradient_accumulation = accumulation, .clip = clip, .sink = tacit::Sink::none()});
  return {parameters_of(*model), result[tag::train_loss{}]};
}
bool same_number(double a, double b) { return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) < 1e-12; }

}  // namespace

TEST_CASE("F5, T4: a NaN that begins in a gradient leaves model, optimizer and mean as after the last good update") {
  int const bad = GENERATE(0, 1, 6, 10, 11);
  std::int64_t const accumulation = GENERATE(1, 2, 3);
  std::int64_t const log_every = GENERATE(1, 5, 50);
  int const clip_kind = GENERATE(0, 1, 2);
  bool const on_device = GENERATE(false, true);
  CAPTURE(bad, accumulation, log_every, clip_kind, on_device);
  tacit::Clip const clip{.norm = clip_kind == 1 ? 0.5 : 0.0, .value = clip_kind == 2 ? 0.2 : 0.0};
  auto model = std::make_shared<fake::Linear>();
  std::ostringstream text;
  auto run = [&](auto... device) {
    auto one = root_trainer(model, device..., CallbackPack{TerminateOnNaN{}});
    return one.train(batches(12, bad), {.epochs = 1, .gradient_accumulation = accumulation, .clip = clip, .log_every = log_every, .sink = text});
  };
  auto const result = on_device ? run(fake::Gpu{}) : run();
  std::int64_t const update = bad / accumulation;
  Good const good = good_updates(update, accumulation, clip);
  CHECK(result.reason == StopReason::non_finite);
  CHECK(parameters_of(*model) == good.parameters);
  CHECK(same_number(result[tag::train_loss{}], good.loss));
  if (!on_device) CHECK(result.updates == tacit::Updates{update + 1});
  bool const has_name = !(on_device && clip_kind == 1);
  std::string const what = has_name ? "gradient of 'weight'" : "norm of the gradients";
  CHECK(text.str() == "[tacit] " + what + " is not finite at epoch 0, update " + std::to_string(update) +
                          ", counted from 0: that update changes nothing, the run stops\n");
}

TEST_CASE("F5: gradients of a good run are asked with one reduction, and read at log points only") {
  auto model = std::make_shared<fake::Linear>();
  auto one = root_trainer(model, fake::Gpu{}, CallbackPack{TerminateOnNaN{}});
  fake::device_reads = 0;
  auto const result = one.train(batches(12), {.epochs = 1, .log_every = 4, .sink = tacit::Sink::none()});
  CHECK(result.reason == StopReason::completed);
  CHECK(fake::device_reads == 2 + 3 + 1);
  CHECK(parameters_of(*model) == good_updates(12, 1, {}).parameters);
}

TEST_CASE("F5: the bad gradient of a phase is called by its name, and the phases before it have had their update") {
  auto first = std::make_shared<fake::Linear>();
  auto second = std::make_shared<fake::Linear>();
  struct Output {
    fake::Tensor loss;
  };
  auto good = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input))}; };
  auto bad = [](fake::Linear& net, fake::Batch const& batch, auto& context) {
    fake::Batch mine = batch;
    mine.target = fake::Tensor{std::vector<double>{context.progress().updates.value() == 2 ? not_a_number : 1.0, 1.0}};
    mine.target->on_device = batch.input->on_device;
    return Output{RootLoss{}(net.forward(mine.input), mine.target)};
  };
  bool const is_first = GENERATE(false, true);
  auto run = [&](auto first_step, auto second_step, auto... policies) {
    tacit::Trainer one{tacit::Task{tacit::phase<"critic">(first, fake::Sgd{.lr = 0.01}, first_step), tacit::phase<"actor">(second, fake::Sgd{.lr = 0.01}, second_step)},
                       policies..., CallbackPack{TerminateOnNaN{}}};
    std::ostringstream text;
    auto const result = one.train(batches(6), {.epochs = 1, .log_every = 1, .sink = text});
    CHECK(result.reason == StopReason::non_finite);
    CHECK(std::isfinite(first->weight->values[0]));
    CHECK(std::isfinite(second->weight->values[0]));
    return text.str();
  };
  if (is_first) {
    CHECK_THAT(run(bad, good), ContainsSubstring("[tacit] gradient of 'weight' of critic is not finite at epoch 0, update 2,"));
    CHECK_THAT(run(bad, good, fake::Gpu{}), ContainsSubstring("[tacit] gradient of 'weight' of critic is not finite at epoch 0, update 2,"));
  } else {
    CHECK_THAT(run(good, bad), ContainsSubstring("[tacit] gradient of 'weight' of actor is not finite at epoch 0, update 2,"));
    CHECK_THAT(run(good, bad, fake::Gpu{}), ContainsSubstring("[tacit] gradient of 'weight' of actor is not finite at epoch 0, update 2,"));
  }
}

TEST_CASE("F5: a bad gradient of one rank ends the run of all, with the parameters of the last good update") {
  std::int64_t const log_every = GENERATE(1, 3, 50);
  bool const on_device = GENERATE(false, true);
  double const clip = GENERATE(0.0, 0.5);
  CAPTURE(log_every, on_device, clip);
  std::vector<Parameters> parameters(2);
  std::vector<StopReason> reasons(2);
  std::vector<std::string> texts(2);
  auto run = [&](int bad, std::int64_t updates) {
    fake::run_ranks(2, [&](fake::Rank rank) {
      auto const mine = static_cast<std::size_t>(rank.number);
      auto model = std::make_shared<fake::Linear>();
      std::ostringstream text;
      auto train = [&](auto... device) {
        auto one = root_trainer(model, rank, device..., CallbackPack{TerminateOnNaN{}});
        tacit::TrainOptions options{.epochs = 1, .clip = {.norm = clip}, .log_every = log_every, .sink = text};
        if (updates > 0) options.limit.updates = updates;
        reasons[mine] = one.train(batches(24, bad), options).reason;
      };
      if (on_device) {
        train(fake::Gpu{});
      } else {
        train();
      }
      parameters[mine] = parameters_of(*model);
      texts[mine] = text.str();
    });
    return parameters[0];
  };
  int const bad = GENERATE(9, 11);  // rank 1's in update 4; in 5, which may be a log point
  std::string const update = std::to_string(bad / 2);
  CAPTURE(update);
  Parameters const expected = run(-1, bad / 2);
  run(bad, 0);
  CHECK(reasons[0] == StopReason::non_finite);
  CHECK(reasons[1] == StopReason::non_finite);
  CHECK(parameters[0] == expected);
  CHECK(parameters[1] == expected);
  CHECK_THAT(texts[0], ContainsSubstring("is not finite at epoch 0, update " + update + ","));
  CHECK(texts[1].empty());
}

TEST_CASE("bad updates in a row are counted alike whether ranks tell each other at every update or not") {
  bool const on_device = GENERATE(false, true);
  std::int64_t const log_every = GENERATE(1, 2, 3, 50);
  CAPTURE(on_device, log_every);
  // Batches 2u and 2u + 1 are those of update u.
  auto outcome = [&](std::vector<std::size_t> const& bad, std::int64_t updates) {
    auto data = batches(24);
    for (std::size_t at : bad) data[at].target->values[0] = not_a_number;
    std::vector<Parameters> parameters(2);
    std::vector<StopReason> reasons(2);
    fake::run_ranks(2, [&](fake::Rank rank) {
      auto const mine = static_cast<std::size_t>(rank.number);
      auto model = std::make_shared<fake::Linear>();
      auto train = [&](auto... device) {
        auto one = trainer(model, rank, device..., CallbackPack{TerminateOnNaN{.bad_updates_in_a_row = 2}});
        tacit::TrainOptions options{.epochs = 1, .log_every = log_every, .sink = tacit::Sink::none()};
        if (updates > 0) options.limit.updates = updates;
        reasons[mine] = one.train(data, options).reason;
      };
      if (on_device) {
        train(fake::Gpu{});
      } else {
        train();
      }
      parameters[mine] = parameters_of(*model);
    });
    CHECK(parameters[0] == parameters[1]);
    CHECK(reasons[0] == reasons[1]);
    return std::pair{parameters[0], reasons[0]};
  };
  CHECK(outcome({1, 5, 9}, 0).second == StopReason::completed);  // updates 0, 2, 4
  auto const ended = outcome({5, 9, 11, 15}, 0);                 // 2, then 4 and 5
  CHECK(ended.second == StopReason::non_finite);
  CHECK(ended.first == outcome({5}, 4).first);
}

TEST_CASE("F5: bad updates are skipped until so many come in a row") {
  bool const on_device = GENERATE(false, true);
  bool const by_gradient = GENERATE(false, true);
  std::int64_t const log_every = GENERATE(1, 4);
  CAPTURE(on_device, by_gradient, log_every);
  auto data = batches(12);
  auto spoil = [&](int at) { data[static_cast<std::size_t>(at)].target->values[0] = not_a_number; };
  auto run = [&](auto loss) {
    auto model = std::make_shared<fake::Linear>();
    std::ostringstream text;
    auto train = [&](auto... device) {
      tacit::Trainer one{model, loss, fake::Sgd{.lr = 0.05, .momentum = 0.5}, device..., CallbackPack{TerminateOnNaN{.bad_updates_in_a_row = 3}}};
      return one.train(data, {.epochs = 1, .log_every = log_every, .sink = text});
    };
    auto const result = on_device ? train(fake::Gpu{}) : train();
    return std::tuple{result.reason, parameters_of(*model), result[tag::train_loss{}], text.str()};
  };
  auto outcome = [&] { return by_gradient ? run(RootLoss{}) : run(fake::MeanSquaredError{}); };
  // What is left of the data is what the model was trained on.
  auto left = [&](std::size_t end) {
    std::vector<fake::Batch> kept;
    for (std::size_t i = 0; i < end; ++i) {
      if (!std::isnan(data[i].target->values[0])) kept.push_back(data[i]);
    }
    auto model = std::make_shared<fake::Linear>();
    auto plain = trainer(model, CallbackPack{});
    double const loss = plain.train(kept, {.epochs = 1, .sink = tacit::Sink::none()})[tag::train_loss{}];
    return std::pair{parameters_of(*model), loss};
  };
  SECTION("two and two: the run goes on") {
    for (int at : {2, 3, 5, 6}) spoil(at);
    auto const [reason, parameters, loss, text] = outcome();
    CHECK(reason == StopReason::completed);
    CHECK(parameters == left(12).first);
    CHECK(same_number(loss, left(12).second));
    CHECK_THAT(text, ContainsSubstring("changes nothing") || ContainsSubstring("change nothing"));
    if (!on_device) CHECK(count_of(text, "2 of 3 in a row") == 2);
  }
  SECTION("three: it ends") {
    for (int at : {1, 5, 6, 7}) spoil(at);
    auto const [reason, parameters, loss, text] = outcome();
    CHECK(reason == StopReason::non_finite);
    CHECK(parameters == left(5).first);
    CHECK(same_number(loss, left(5).second));
    CHECK_THAT(text, ContainsSubstring("the run stops"));
  }
}

TEST_CASE("F5: a limit of bad updates below 1 is refused") {
  try {
    trainer(std::make_shared<fake::Linear>(), CallbackPack{TerminateOnNaN{.bad_updates_in_a_row = 0}});
    FAIL("nothing was thrown");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC113");
    CHECK_THAT(error.what(), ContainsSubstring("bad_updates_in_a_row is 0"));
  }
}

namespace {

/// Two steps an update, each after a closure of its own, as LBFGS.
struct TwoSteps {
  using slot = tacit::slot::optimizer;
  struct Bound {
    static constexpr bool maskable = false;
    static constexpr bool takes_closure = true;
    int* restarts;
    template <class Parameters, class Closure>
    void step(Parameters& parameters, Closure const& closure) {
      for (int i = 0; i < 2; ++i) {
        closure();
        for (auto& parameter : parameters) parameter.model->values[0] -= 0.05 * parameter.model->grad->values[0];
      }
    }
    template <class Parameters>
    void parameters_changed(Parameters&) {
      ++*restarts;
    }
  };
  int* restarts;
  template <class Parameters>
  Bound bind(Parameters&) const {
    return {restarts};
  }
};
/// Fine where the window is computed and in the first closure of update 3, bad in the second one.
struct BadLater {
  int* calls;
  bool in_gradient;
  fake::Tensor operator()(fake::Tensor const& prediction, fake::Tensor const& target) const {
    bool const bad = ++*calls == 3 * 3 + 3;
    fake::Tensor const difference = prediction - target;
    fake::Tensor const loss = fake::mean(difference * difference);
    if (!bad) return loss;
    if (!in_gradient) return loss * fake::Tensor{std::vector<double>{not_a_number}};
    return fake::make(loss->values, {loss.ptr()}, [](fake::Node& self) { fake::add_adjoint(*self.parents[0], 0, self.adjoint[0] * not_a_number); });
  }
};

}  // namespace

TEST_CASE("F5: an optimizer whose later closure is bad leaves the model of the last good update") {
  bool const in_gradient = GENERATE(false, true);
  int restarts = 0;
  auto run = [&](std::int64_t updates, int calls) {
    auto model = std::make_shared<fake::Linear>();
    std::ostringstream text;
    tacit::Trainer one{model, BadLater{&calls, in_gradient}, TwoSteps{&restarts}, CallbackPack{TerminateOnNaN{}}};
    auto const result = one.train(batches(12), {.limit = {.updates = updates}, .sink = text});
    return std::tuple{parameters_of(*model), result.reason, text.str(), result[tag::train_loss{}]};
  };
  auto const [good, reason_of_good, nothing, good_loss] = run(3, -1000);
  auto const [parameters, reason, text, loss] = run(12, 0);
  CHECK(reason_of_good == StopReason::limit);
  CHECK(reason == StopReason::non_finite);
  CHECK(parameters == good);
  CHECK(same_number(loss, good_loss));
  CHECK(restarts == 1);
  CHECK_THAT(text, ContainsSubstring("closure is not finite at epoch 0, update 3,"));
}

namespace {
struct Observe {
  int* seen;
  void on(event::TrainLossComputed const&, auto&) { ++*seen; }
  void on(event::UpdateStart const&, auto&) { ++*seen; }
};
}  // namespace

TEST_CASE("a callback that observes losses changes nothing of an update with a closure") {
  int restarts = 0;
  int seen = 0;
  auto run = [&](auto pack) {
    auto model = std::make_shared<fake::Linear>();
    int calls = 0;
    tacit::Trainer one{model, BadLater{&calls, true}, TwoSteps{&restarts}, std::move(pack)};
    one.train(batches(12), {.limit = {.updates = 5}, .sink = tacit::Sink::none()});
    return model->weight->values[0];
  };
  double const alone = run(CallbackPack{});
  CHECK(std::isnan(alone));
  CHECK(same_number(run(CallbackPack{Observe{&seen}}), alone));
  CHECK(seen == 10);
  CHECK(restarts == 0);
  CHECK_FALSE(std::isnan(run(CallbackPack{Observe{&seen}, TerminateOnNaN{}})));
  CHECK_FALSE(std::isnan(run(CallbackPack{tacit::named<"watch">(TerminateOnNaN{})})));
}

TEST_CASE("F5: the norm of an earlier run is not taken for that of a run without clipping") {
  auto model = std::make_shared<fake::Linear>();
  auto one = root_trainer(model, CallbackPack{TerminateOnNaN{}});
  one.train(batches(2), {.epochs = 1, .clip = {.norm = 1.0}, .sink = tacit::Sink::none()});
  auto const result = one.train(batches(2, 1), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(result.reason == StopReason::non_finite);
  CHECK(std::isfinite(model->weight->values[0]));
}

}  // namespace terminate_on_nan_tests
