#include "tacit/callbacks/limit_batches.hpp"

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/group.hpp"
#include "support.hpp"
#include "tacit/callbacks/adapters.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;
using tacit::LimitBatches;
using namespace support;

namespace limit_batches_tests {
namespace {

struct Counts {
  std::int64_t announced = 0;
  std::int64_t train_steps = 0;
  std::int64_t eval_announced = 0;
  std::int64_t eval_steps = 0;
  std::int64_t evaluations = 0;
  std::int64_t last_update = -1;
};
struct Count {
  Counts* counts;
  void on(event::TrainEpochStart const& event, auto&) { counts->announced = event.batches; }
  void on(event::TrainStepEnd const&, auto&) { ++counts->train_steps; }
  void on(event::UpdateEnd const& event, auto&) { counts->last_update = event.update.value(); }
  void on(event::EvalEpochStart const& event, auto&) {
    counts->eval_announced = event.batches;
    ++counts->evaluations;
  }
  void on(event::EvalStepEnd const&, auto&) { ++counts->eval_steps; }
};

/// A callback of a user's own, with a limit that is 0 where unset was meant.
struct OwnLimits {
  tacit::BatchLimits limits;
  tacit::BatchLimits batch_limits() const { return limits; }
  void on(event::TrainingRunStart const&, auto&) {}
};

/// A loader's order without shuffling, so that a shorter data set has the same batches.
auto in_order(fake::Line const& data, std::int64_t batch) { return tacit::data::loader(data, {.batch_size = batch}); }

/// The first samples of a line.
struct Head {
  fake::Line line;
  std::int64_t count;
  std::int64_t size() const { return count; }
  fake::Batch get_batch(std::span<std::int64_t const> indices) const { return line.get_batch(indices); }
};

}  // namespace

TEST_CASE("a limited run is the run over the first batches, to the last bit") {
  std::int64_t const limit = GENERATE(1, 2, 3, 4, 5, 7, 8, 9, 100);
  std::int64_t const accumulation = GENERATE(1, 2, 3, 4);
  CAPTURE(limit, accumulation);
  std::int64_t const batches = std::min<std::int64_t>(limit, 8);
  fake::Line const line{30};  // 8 batches, the last one of 2 samples
  Head const head{line, std::min<std::int64_t>(30, 4 * batches)};

  Counts counts;
  auto model = std::make_shared<fake::Linear>();
  auto limited = trainer(model, CallbackPack{LimitBatches{.train = limit}, Count{&counts}});
  auto const result = limited.train(in_order(line, 4), {.epochs = 3, .gradient_accumulation = accumulation, .clip = {.norm = 0.5}, .sink = tacit::Sink::none()});

  auto expected_model = std::make_shared<fake::Linear>();
  auto whole = trainer(expected_model, CallbackPack{});
  auto const expected = whole.train(tacit::data::loader(head, {.batch_size = 4}),
                                    {.epochs = 3, .gradient_accumulation = accumulation, .clip = {.norm = 0.5}, .sink = tacit::Sink::none()});

  CHECK(parameters_of(*model) == parameters_of(*expected_model));
  CHECK(result.updates == expected.updates);
  CHECK(result.micro_batches == tacit::MicroBatches{3 * batches});
  CHECK(result.samples == expected.samples);
  CHECK(result[tacit::tag::train_loss{}] == expected[tacit::tag::train_loss{}]);
  CHECK(result.reason == tacit::StopReason::completed);
  // The plan knows: whatever is made from it ends where the run ends.
  CHECK(counts.announced == batches);
  CHECK(counts.train_steps == 3 * batches);
  CHECK(limited.plan().micro_batches_per_epoch == tacit::MicroBatches{batches});
  CHECK(limited.plan().updates_per_epoch == whole.plan().updates_per_epoch);
  CHECK(limited.plan().updates == result.updates);
  CHECK(counts.last_update == result.updates.value() - 1);
}

TEST_CASE("data of unknown length are limited too") {
  std::int64_t const accumulation = GENERATE(1, 2, 3);
  struct Endless {
    struct iterator {
      int at = 0;
      fake::Batch operator*() const { return {fake::Tensor{{0.1 * at}}, fake::Tensor{{1.0}}}; }
      iterator& operator++() {
        ++at;
        return *this;
      }
      bool operator!=(iterator const&) const { return true; }
    };
    iterator begin() const { return {}; }
    iterator end() const { return {}; }
  };
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{LimitBatches{.train = 5}});
  auto const result = one.train(Endless{}, {.epochs = 2, .gradient_accumulation = accumulation, .sink = tacit::Sink::none()});
  CHECK(result.micro_batches == tacit::MicroBatches{10});
  CHECK(result.updates == tacit::Updates{2 * ((5 + accumulation - 1) / accumulation)});
}

TEST_CASE("evaluations are limited: after an epoch, inside one, and on their own") {
  Counts counts;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{LimitBatches{.eval = 2}, Count{&counts}});
  one.train(batches(4), fake::Line{10}, {.epochs = 2, .eval_per_device_batch_size = 2, .evaluation = {.every_updates = 2}, .sink = tacit::Sink::none()});
  CHECK(counts.train_steps == 8);
  CHECK(counts.evaluations == 4);  // the one after the epoch's last update is that of the epoch
  CHECK(counts.eval_steps == 8);
  CHECK(counts.eval_announced == 2);
  CHECK(one.plan().eval_batches == tacit::MicroBatches{2});

  counts = {};
  one.evaluate(fake::Line{10}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(counts.eval_steps == 2);
  counts = {};
  one.evaluate(fake::Line{10}, {.per_device_batch_size = 2, .limit = 1, .sink = tacit::Sink::none()});
  CHECK(counts.eval_steps == 1);
  counts = {};
  one.evaluate(fake::Line{2}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(counts.eval_steps == 1);
}

namespace {
struct StopAtOnce {
  tacit::Flow on(event::TrainEpochStart const&, auto&) { return tacit::Flow::stop_run; }
};
}  // namespace

TEST_CASE("an evaluation is limited also when a stop was asked for before it") {
  Counts counts;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{LimitBatches{.eval = 2}, StopAtOnce{}, Count{&counts}});
  one.train(batches(4), batches(9), {.epochs = 2, .sink = tacit::Sink::none()});
  CHECK(counts.train_steps == 1);
  CHECK(counts.eval_steps == 2);
}

TEST_CASE("it works through adapters, and says what it does") {
  Counts counts;
  std::ostringstream text;
  auto one = trainer(std::make_shared<fake::Linear>(),
                     CallbackPack{tacit::named<"dry">(LimitBatches{.train = 3, .eval = 1}), tacit::EveryN{.n = 7, .inner = LimitBatches{.train = 2}}, Count{&counts}});
  one.train(batches(9), batches(9), {.epochs = 1, .sink = text});
  CHECK(counts.train_steps == 2);
  CHECK(counts.eval_steps == 1);
  CHECK(text.str() ==
        "[tacit] LimitBatches: limits training to 3 batches and evaluation to 1 batch an epoch\n"
        "[tacit] LimitBatches: limits training to 2 batches an epoch\n");
  text.str("");
  one.evaluate(batches(3), {.sink = text});
  CHECK(text.str() == "[tacit] LimitBatches: limits evaluation to 1 batch an epoch\n");
}

TEST_CASE("ranks are limited alike") {
  std::vector<Counts> counts(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    auto one = trainer(std::make_shared<fake::Linear>(), rank,
                       CallbackPack{LimitBatches{.train = 3, .eval = 1}, Count{&counts[static_cast<std::size_t>(rank.number)]}});
    one.train(fake::Line{40}, fake::Line{40}, {.epochs = 2, .per_device_batch_size = 2, .gradient_accumulation = 2, .sink = tacit::Sink::none()});
  });
  for (Counts const& one : counts) {
    CHECK(one.train_steps == 6);
    CHECK(one.eval_steps == 2);
    CHECK(one.last_update == 3);
  }
}

TEST_CASE("a limit of 0 is refused when the trainer is made") {
  auto make = [](LimitBatches const& limit) -> std::string {
    try {
      auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{limit});
    } catch (tacit::ConfigError const& error) {
      return error.code() + " " + error.where();
    }
    return "accepted";
  };
  CHECK(make({}) == "accepted");
  CHECK(make({.train = 0}) == "TACIT-RC82 LimitBatches::train");
  CHECK(make({.eval = 0}) == "TACIT-RC82 LimitBatches::eval");
}

TEST_CASE("bad input: 0 batches from a callback of a user's own") {
  auto run = [](tacit::BatchLimits limits) -> std::string {
    auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{OwnLimits{limits}});
    try {
      one.train(batches(3), batches(2), {.epochs = 1, .sink = tacit::Sink::none()});
    } catch (tacit::ConfigError const& error) {
      return error.code();
    }
    return {};
  };
  CHECK(run({.train = 0}) == "TACIT-RC82");
  CHECK(run({.train = 2, .eval = {}}) == "TACIT-RC82");
  CHECK(run({.train = 2}).empty());
}

}  // namespace limit_batches_tests
