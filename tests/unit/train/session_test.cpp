#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/tensor.hpp"
#include "tacit/task/optim/lookahead.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;
using tacit::StopReason;

namespace session_tests {
namespace {

struct Again {
  std::function<void()>* again;
  void on(event::UpdateEnd const&, auto&) { (*again)(); }
};

/// Every event of a run but the fetches, which say whether data are left.
struct Log {
  std::vector<std::string> lines{};
  void on(auto const& event, auto&) {
    std::string const name = tacit::type_name<std::remove_cvref_t<decltype(event)>>();
    if (name.find("DataFetch") == std::string::npos) lines.push_back(name);
  }
};
struct ThrowAtUpdate {
  bool armed = true;
  std::int64_t at = 1;
  void on(event::UpdateStart const& update, auto&) {
    if (armed && update.update.value() == at) throw std::runtime_error{"broken on purpose"};
  }
};
struct ThrowWhenAborted {
  void on(event::Aborted<tacit::stage::TrainingRun> const&, auto&) { throw std::runtime_error{"thrown at Aborted"}; }
};
struct ThrowAtEpochStart {
  void on(event::TrainEpochStart const&, auto&) { throw std::runtime_error{"broken on purpose"}; }
};
struct StopAtUpdate {
  tacit::Updates at{};
  tacit::Flow on(event::UpdateEnd const& update, auto&) {
    return update.update.value() + 1 == at.value() ? tacit::Flow::stop_run : tacit::Flow::proceed;
  }
};

std::vector<fake::Batch> batches(int count) {
  std::vector<fake::Batch> all;
  for (int i = 0; i < count; ++i) {
    double const x = 0.25 * i;
    all.push_back({fake::Tensor{{x, x + 0.5}}, fake::Tensor{{2.0 * x + 1.0, 2.0 * x + 2.0}}});
  }
  return all;
}

template <class... C>
auto trainer_of(std::shared_ptr<fake::Linear> model, C... callbacks) {
  return tacit::Trainer{std::move(model), fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1, .momentum = 0.5}, CallbackPack{callbacks...}};
}
tacit::TrainOptions const options{.epochs = 2, .gradient_accumulation = 2, .clip = {.norm = 0.5}, .sink = tacit::Sink::none()};

}  // namespace

TEST_CASE("a session does what train does, batch by batch") {
  auto const data = batches(5);  // the last window is cut short
  auto whole_model = std::make_shared<fake::Linear>();
  auto stepped_model = std::make_shared<fake::Linear>();
  Log whole_log;
  Log stepped_log;
  auto whole = trainer_of(whole_model, std::ref(whole_log));
  auto stepped = trainer_of(stepped_model, std::ref(stepped_log));

  auto const expected = whole.train(data, options);
  stepped_model->train(false);
  {
    auto session = stepped.session<fake::Batch>(options);
    while (session.is_running()) {
      for (fake::Batch const& batch : data) session.step(batch);
      CHECK(stepped_model->is_training());
      session.end_epoch();
      CHECK_FALSE(stepped_model->is_training());
    }
    auto const result = session.finish();
    CHECK(result.reason == expected.reason);
    CHECK(result.epochs == expected.epochs);
    CHECK(result.updates == expected.updates);
    CHECK(result.micro_batches == expected.micro_batches);
    CHECK(result.samples == expected.samples);
    CHECK(result.metrics == expected.metrics);
  }
  CHECK(stepped_log.lines == whole_log.lines);
  CHECK(stepped_model->weight.item() == whole_model->weight.item());
  CHECK(stepped_model->bias.item() == whole_model->bias.item());
  CHECK(stepped.history() == whole.history());
  CHECK_FALSE(stepped_model->is_training());
}

TEST_CASE("a session needs no limit, and takes every limit") {
  auto trainer = trainer_of(std::make_shared<fake::Linear>());
  auto const data = batches(3);
  {
    auto session = trainer.session<fake::Batch>();
    for (int i = 0; i < 10; ++i) CHECK(session.step(data[static_cast<std::size_t>(i % 3)]));
    CHECK(session.progress().updates == tacit::Updates{10});
    auto const result = session.finish();
    CHECK(result.reason == StopReason::completed);
    CHECK(result.updates == tacit::Updates{10});
    CHECK(result.epochs == tacit::Epochs{1});
  }
  {
    auto session = trainer.session<fake::Batch>({.limit = {.updates = 2}});
    CHECK(session.step(data[0]));
    CHECK_FALSE(session.step(data[1]));
    CHECK_FALSE(session.is_running());
    CHECK_FALSE(session.step(data[2]));  // left unused
    auto const result = session.finish();
    CHECK(result.updates == tacit::Updates{2});
    CHECK(result.reason == StopReason::limit);
  }
  auto stopping = trainer_of(std::make_shared<fake::Linear>(), StopAtUpdate{.at = 3});
  auto session = stopping.session<fake::Batch>();
  int steps = 1;
  while (session.step(data[0])) ++steps;
  CHECK(steps == 3);
  CHECK(session.finish().reason == StopReason::callback);
}

TEST_CASE("a session that was not used is a run without updates") {
  auto trainer = trainer_of(std::make_shared<fake::Linear>());
  CHECK(trainer.session<fake::Batch>().finish().updates == tacit::Updates{0});
  CHECK(trainer.history().runs().back().finished);
}

TEST_CASE("an exception ends a session like a run") {
  auto model = std::make_shared<fake::Linear>();
  Log log;
  ThrowAtUpdate once;
  auto trainer = trainer_of(model, std::ref(log), std::ref(once));
  auto const data = batches(3);
  {
    auto session = trainer.session<fake::Batch>();
    CHECK(session.step(data[0]));
    CHECK_THROWS_AS(session.step(data[1]), std::runtime_error);
    std::vector<std::string> const last(log.lines.end() - 4, log.lines.end());
    CHECK(last == std::vector<std::string>{"event::Aborted<stage::Update>", "event::Aborted<stage::TrainEpoch>",
                                           "event::Aborted<stage::TrainingRunEpoch>", "event::Aborted<stage::TrainingRun>"});
    CHECK_FALSE(session.is_running());
    CHECK_FALSE(model->weight->grad.defined());
    for (auto use : {+[](decltype(session)& s) { s.step(batches(1)[0]); }, +[](decltype(session)& s) { s.end_epoch(); },
                     +[](decltype(session)& s) { s.finish(); }}) {
      try {
        use(session);
        FAIL("nothing thrown");
      } catch (tacit::UsageError const& error) {
        CHECK(error.code() == "TACIT-RU13");
      }
    }
    CHECK_FALSE(trainer.history().runs().back().finished);
    CHECK(trainer.history().runs().back().error.find("broken on purpose") != std::string::npos);
  }
  once.armed = false;
  auto again = trainer.session<fake::Batch>();
  CHECK(again.step(data[0]));
  CHECK(again.finish().updates == tacit::Updates{1});

  Log early;
  auto refused = trainer_of(model, ThrowAtEpochStart{}, std::ref(early));
  auto session = refused.session<fake::Batch>();
  CHECK_THROWS(session.step(data[0]));
  CHECK(early.lines == std::vector<std::string>{"event::InitEnd", "event::TrainingRunStart", "event::TrainingRunEpochStart",
                                                "event::Aborted<stage::TrainingRunEpoch>", "event::Aborted<stage::TrainingRun>"});
}

TEST_CASE("Lookahead's slow weights follow weights that are loaded after a session broke") {
  auto const batch = [](double value) { return fake::Batch{fake::Tensor{{value}}, fake::Tensor{{value}}}; };
  auto const model = std::make_shared<fake::Linear>();
  tacit::optim::Lookahead<fake::Sgd> const optimizer{.inner = {.lr = 0.1}, .every = 2};
  auto const weights_after_loading = [&](auto& trainer) {
    model->weight->values = {0.5};
    model->bias->values = {0.25};
    trainer.train(std::vector<fake::Batch>(4, batch(1.0)), {.epochs = 1, .sink = tacit::Sink::none()});
    return std::vector{model->weight.item(), model->bias.item()};
  };
  tacit::Trainer fresh{model, fake::MeanSquaredError{}, optimizer, CallbackPack{}};
  std::vector<double> const expected = weights_after_loading(fresh);

  ThrowAtUpdate breaks{.at = 2};
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, optimizer, CallbackPack{std::ref(breaks)}};
  auto session = trainer.session<fake::Batch>({.sink = tacit::Sink::none()});
  session.step(batch(3.0));
  session.step(batch(4.0));
  REQUIRE_THROWS(session.step(batch(5.0)));
  breaks.armed = false;
  CHECK(weights_after_loading(trainer) == expected);
}

TEST_CASE("a session that is left without finish() is aborted: callbacks are told, and nothing is thrown") {
  auto const aborted = [](Log const& log, std::size_t count) {
    return std::vector<std::string>(log.lines.end() - static_cast<std::ptrdiff_t>(count), log.lines.end());
  };
  Log log;
  auto trainer = trainer_of(std::make_shared<fake::Linear>(), std::ref(log), ThrowWhenAborted{});
  std::string text;
  tacit::Sink const sink{[](void* target, std::string_view line) { *static_cast<std::string*>(target) += line; }, &text};
  auto const in_epoch = std::vector<std::string>{"event::Aborted<stage::TrainEpoch>", "event::Aborted<stage::TrainingRunEpoch>", "event::Aborted<stage::TrainingRun>"};
  SECTION("inside an epoch") {
    {
      auto session = trainer.session<fake::Batch>({.sink = sink});
      session.step(batches(1)[0]);
    }
    CHECK(aborted(log, 3) == in_epoch);
    CHECK_FALSE(trainer.history().runs().back().finished);
    CHECK(trainer.history().runs().back().error.find("TACIT-RU37") != std::string::npos);
    CHECK(text.find("a second error: thrown at Aborted") != std::string::npos);
  }
  SECTION("between epochs") {
    {
      auto session = trainer.session<fake::Batch>({.sink = sink});
      session.step(batches(1)[0]);
      session.end_epoch();
    }
    CHECK(aborted(log, 2) == std::vector<std::string>{"event::TrainingRunEpochEnd", "event::Aborted<stage::TrainingRun>"});
  }
  SECTION("while another exception is on its way") {
    try {
      auto session = trainer.session<fake::Batch>({.sink = sink});
      session.step(batches(1)[0]);
      throw std::runtime_error{"of the caller"};
    } catch (std::runtime_error const& error) {
      CHECK(std::string{error.what()} == "of the caller");
    }
    CHECK(aborted(log, 3) == in_epoch);
  }
  SECTION("before its first step, and after finish(), nothing fires") {
    static_cast<void>(trainer.session<fake::Batch>({.sink = sink}));
    CHECK(log.lines == std::vector<std::string>{"event::InitEnd"});
    CHECK(trainer.history().runs().empty());
    {
      auto session = trainer.session<fake::Batch>({.sink = sink});
      session.step(batches(1)[0]);
      session.finish();
    }
    CHECK(log.lines.back() == "event::TrainingRunEnd");
  }
}

TEST_CASE("a session is not called from a callback of its own") {
  std::function<void()> again;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, CallbackPack{Again{&again}}};
  auto refused = [&](auto const& call) {
    auto session = trainer.session<fake::Batch>();
    again = [&] { call(session); };
    try {
      session.step(batches(1)[0]);
    } catch (tacit::UsageError const& error) {
      return error.code() == "TACIT-RU10";
    }
    return false;
  };
  CHECK(refused([](auto& session) { session.step(batches(1)[0]); }));
  CHECK(refused([](auto& session) { session.end_epoch(); }));
  CHECK(refused([](auto& session) { session.finish(); }));
  again = [] {};
  auto session = trainer.session<fake::Batch>();
  session.step(batches(1)[0]);
  CHECK(session.finish().updates == tacit::Updates{1});
}

TEST_CASE("a trainer is running while its session lives") {
  auto model = std::make_shared<fake::Linear>();
  auto trainer = trainer_of(model);
  {
    auto session = trainer.session<fake::Batch>();
    session.step(batches(1)[0]);
    try {
      trainer.train(fake::Line{4}, {.epochs = 1});
      FAIL("nothing thrown");
    } catch (tacit::UsageError const& error) {
      CHECK(error.code() == "TACIT-RU10");
    }
    model->train(true);
  }  // left without finish: the run counts as broken off
  CHECK_FALSE(trainer.history().runs().back().finished);
  CHECK(trainer.train(fake::Line{4}, {.epochs = 1, .per_device_batch_size = 2}).updates == tacit::Updates{2});
}

TEST_CASE("bad input: options that a session would ignore") {
  auto trainer = trainer_of(std::make_shared<fake::Linear>());
  auto const code_of = [&](tacit::TrainOptions options) -> std::string {
    options.sink = tacit::Sink::none();
    try {
      trainer.session<fake::Batch>(options).finish();
    } catch (tacit::ConfigError const& error) {
      return error.code() + " " + error.where();
    }
    return "accepted";
  };
  CHECK(code_of({}) == "accepted");
  CHECK(code_of({.evaluation = {.every_epochs = 0}}) == "accepted");
  CHECK(code_of({.first_epoch = 3}) == "accepted");
  CHECK(code_of({.per_device_batch_size = 4}) == "TACIT-RC60 TrainOptions::per_device_batch_size");
  CHECK(code_of({.seed = 1}) == "TACIT-RC148 TrainOptions::seed");
  CHECK(code_of({.eval_per_device_batch_size = 4}) == "TACIT-RC147 TrainOptions::eval_per_device_batch_size");
  CHECK(code_of({.evaluation = {.every_epochs = 2}}) == "TACIT-RC147 TrainOptions::evaluation.every_epochs");
  CHECK(code_of({.evaluation = {.every_updates = 2}}) == "TACIT-RC147 TrainOptions::evaluation.every_updates");
}

}  // namespace session_tests
