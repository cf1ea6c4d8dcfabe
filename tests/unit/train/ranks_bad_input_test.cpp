// The rows of the bad-input table (docs/errors.md has the numbers) in worlds of 2: what is wrong on one rank or on both
// ends the run on both, with words, and no rank waits for ever.
#include <array>
#include <cmath>
#include <cstdint>
#include <forward_list>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/callbacks/terminate_on_nan.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;

namespace ranks_bad_input_tests {
namespace {

/// What each of two ranks ends with: "code text" of an error of Tacit, the text of another, or "none".
template <class Body>
std::array<std::string, 2> ends_of(Body const& body) {
  std::array<std::string, 2> ends{"none", "none"};
  try {
    fake::run_ranks(2, [&](fake::Rank rank) {
      std::string& end = ends[static_cast<std::size_t>(rank.number)];
      try {
        body(rank);
      } catch (tacit::Error const& error) {
        end = error.code() + " " + error.what();
        throw;
      } catch (std::exception const& error) {
        end = error.what();
        throw;
      }
    });
  } catch (std::exception const&) {
    // It is in `ends`.
  }
  return ends;
}
bool contains(std::string const& text, std::string_view part) { return text.find(part) != std::string::npos; }

tacit::TrainOptions options() {
  return {.epochs = 2, .per_device_batch_size = 2, .seed = 3, .sink = tacit::Sink::none()};
}
template <class... Callbacks>
auto trainer_on(fake::Rank rank, Callbacks... callbacks) {
  return tacit::Trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, rank,
                        CallbackPack{callbacks...}};
}

/// Throws for one sample; or that sample is NaN.
struct Spoilt : fake::Line {
  enum class How { throws, is_nan };
  Spoilt(std::int64_t size, std::int64_t sample_, How how_) : Line{size}, sample{sample_}, how{how_} {}
  auto get_batch(std::span<std::int64_t const> indices) const {
    auto batch = Line::get_batch(indices);
    for (std::int64_t const index : indices) {
      if (index != sample) continue;
      if (how == How::throws) throw std::runtime_error{"sample " + std::to_string(index) + " cannot be read"};
      for (double& value : batch.input->values) value = std::numeric_limits<double>::quiet_NaN();
    }
    return batch;
  }
  std::int64_t sample;
  How how;
};

/// Throws at the event of that name.
struct ThrowAt {
  bool is_on;
  std::string name;
  void on(auto const& given, auto&) {
    if (is_on && tacit::type_name<std::remove_cvref_t<decltype(given)>>().ends_with("::" + name))
      throw std::runtime_error{"a callback fails"};
  }
};

}  // namespace

TEST_CASE("A5 on two ranks: data without a batch are an error on both, on one of them and on both") {
  bool const on_both = GENERATE(true, false);
  auto const ends = ends_of(
      [&](fake::Rank rank) { trainer_on(rank).train(fake::Line{on_both || rank.number == 1 ? 0 : 8}, options()); });
  CAPTURE(on_both, ends[0], ends[1]);
  CHECK(ends[1].starts_with("TACIT-R"));
  CHECK(ends[0] != "none");
  if (on_both) CHECK(ends[0] == ends[1]);
  auto const evaluated =
      ends_of([&](fake::Rank rank) { trainer_on(rank).evaluate(fake::Line{on_both || rank.number == 1 ? 0 : 8}); });
  CHECK(evaluated[1].starts_with("TACIT-R"));
  CHECK(evaluated[0] != "none");
}

TEST_CASE("A5 on two ranks: options out of range are refused on the rank that has them, and the other does not wait") {
  struct Row {
    char const* name;
    void (*change)(tacit::TrainOptions&);
  };
  for (Row const& row : std::vector<Row>{{"batch size", [](auto& o) { o.per_device_batch_size = 0; }},
                                         {"accumulation", [](auto& o) { o.gradient_accumulation = -1; }},
                                         {"epochs", [](auto& o) { o.epochs = -3; }},
                                         {"clip", [](auto& o) { o.clip.norm = std::nan(""); }},
                                         {"updates", [](auto& o) { o.limit.updates = -1; }}}) {
    for (bool on_both : {true, false}) {
      auto const ends = ends_of([&](fake::Rank rank) {
        auto own = options();
        if (on_both || rank.number == 1) row.change(own);
        trainer_on(rank).train(fake::Line{8}, own);
      });
      CAPTURE(row.name, on_both, ends[0], ends[1]);
      CHECK(ends[1].starts_with("TACIT-RC"));
      CHECK(ends[0] != "none");
      if (on_both) CHECK(ends[0] == ends[1]);
    }
  }
}

TEST_CASE("A5 on two ranks: a data set that throws on one rank") {
  std::int64_t const sample = GENERATE(0, 5, 7);
  auto const ends = ends_of([&](fake::Rank rank) {
    trainer_on(rank).train(Spoilt{8, sample, Spoilt::How::throws}, options());
  });
  CAPTURE(sample, ends[0], ends[1]);
  // The sample is one rank's; the other is told.
  std::string const text = "sample " + std::to_string(sample) + " cannot be read";
  CHECK((contains(ends[0], text) || contains(ends[1], text)));
  CHECK(ends[0] != "none");
  CHECK(ends[1] != "none");
}

TEST_CASE("A5 on two ranks: a loss of one rank that is NaN ends the run of both in the same state") {
  std::array<double, 2> weight{};
  std::array<tacit::StopReason, 2> reason{};
  std::array<std::int64_t, 2> updates{};
  auto const ends = ends_of([&](fake::Rank rank) {
    auto model = std::make_shared<fake::Linear>();
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, rank,
                           CallbackPack{tacit::TerminateOnNaN{}}};
    auto const result = trainer.train(Spoilt{16, 9, Spoilt::How::is_nan}, options());
    auto const at = static_cast<std::size_t>(rank.number);
    weight[at] = model->weight.item(), reason[at] = result.reason, updates[at] = result.updates.value();
  });
  CAPTURE(ends[0], ends[1]);
  CHECK(ends[0] == "none");
  CHECK(ends[1] == "none");
  CHECK(reason[0] == tacit::StopReason::non_finite);
  CHECK(reason[1] == tacit::StopReason::non_finite);
  CHECK(std::isfinite(weight[0]));
  CHECK(weight[0] == weight[1]);
  CHECK(updates[0] == updates[1]);
}

TEST_CASE("A5 on two ranks: a callback of one rank throws") {
  for (std::string const name :
       {"TrainingRunStart", "TrainingRunEpochStart", "TrainEpochStart", "DataFetchStart", "DataFetchEnd",
        "TrainStepStart", "TrainLossComputed", "TrainStepEnd", "UpdateStart", "UpdateEnd", "TrainEpochEnd",
        "EvalEpochStart", "EvalStepEnd", "EvalEpochEnd", "TrainingRunEpochEnd", "TrainingRunEnd"}) {
    for (int const thrower : {0, 1}) {
      auto const ends = ends_of([&](fake::Rank rank) {
        trainer_on(rank, ThrowAt{rank.number == thrower, name}).train(fake::Line{8}, fake::Line{6}, options());
      });
      CAPTURE(name, thrower, ends[0], ends[1]);
      CHECK(contains(ends[static_cast<std::size_t>(thrower)], "a callback fails"));
      // After the end of the run the other has nothing left to wait for.
      if (name != "TrainingRunEnd") CHECK(ends[static_cast<std::size_t>(1 - thrower)] != "none");
    }
  }
}

namespace {
struct TrainAgain {
  bool is_on;
  std::function<void()> train;
  void on(event::UpdateEnd const&, auto&) {
    if (is_on) train();
  }
};
}  // namespace

TEST_CASE(
    "A5 on two ranks: a trainer that is called from its own callback is refused, and the other rank does not wait") {
  auto const ends = ends_of([&](fake::Rank rank) {
    TrainAgain again{rank.number == 1, {}};
    auto trainer = trainer_on(rank, std::ref(again));
    again.train = [&] { trainer.evaluate(fake::Line{4}); };
    trainer.train(fake::Line{8}, options());
  });
  CAPTURE(ends[0], ends[1]);
  CHECK(ends[1].starts_with("TACIT-RU"));
  CHECK(ends[0] != "none");
}

TEST_CASE("A5 on two ranks: an optimizer with another rate on one rank") {
  auto const ends = ends_of([&](fake::Rank rank) {
    auto trainer = tacit::Trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{},
                                  fake::Sgd{.lr = rank.number == 0 ? 0.1 : 0.2}, rank, CallbackPack{}};
    trainer.train(fake::Line{8}, options());
  });
  CAPTURE(ends[0], ends[1]);
  for (std::string const& end : ends) CHECK(end.starts_with("TACIT-RX28"));
}

namespace {
struct EndOnOneRank {
  tacit::Flow on(event::EvalStepEnd const&, auto& context) {
    return context.rank() == 0 ? tacit::Flow::end_epoch : tacit::Flow::proceed;
  }
};
struct StopOnSecondRank {
  void on(event::EvalStepEnd const&, auto& context) {
    if (context.rank() == 1) context.request_stop();
  }
};
}  // namespace

TEST_CASE("two ranks: an evaluation that one of them asks to cut short is complete on neither") {
  std::array<bool, 2> is_complete{true, true};
  auto const ends = ends_of([&](fake::Rank rank) {
    is_complete[static_cast<std::size_t>(rank.number)] =
        trainer_on(rank, EndOnOneRank{}).evaluate(fake::Line{16}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()}).is_complete();
  });
  CAPTURE(ends[0], ends[1]);
  CHECK(ends[0] == "none");
  CHECK_FALSE(is_complete[0]);
  CHECK_FALSE(is_complete[1]);
}

TEST_CASE("two ranks: a request in a rank's last step cuts no evaluation short, though another rank has a batch more") {
  std::array<bool, 2> is_complete{false, false};
  auto const ends = ends_of([&](fake::Rank rank) {
    is_complete[static_cast<std::size_t>(rank.number)] =
        trainer_on(rank, StopOnSecondRank{}).evaluate(fake::Line{3}, {.per_device_batch_size = 1, .sink = tacit::Sink::none()}).is_complete();
  });
  CAPTURE(ends[0], ends[1]);
  CHECK(is_complete == std::array{true, true});
}

namespace {
struct AskFromOutside {
  std::function<void()>* ask;
  void on(event::EvalStepEnd const& event, auto&) {
    if (event.step.value() == 1) (*ask)();
  }
};
}  // namespace

TEST_CASE("two ranks: a request that cuts an evaluation short on one of them is done on both") {
  std::array<int, 2> done{};
  auto const ends = ends_of([&](fake::Rank rank) {
    std::function<void()> ask = [] {};
    auto trainer = trainer_on(rank, AskFromOutside{&ask});
    ask = [&] { trainer.request_stop(); };
    // Three batches on the first rank, two on the second, whose last step it is.
    auto const evaluation = trainer.evaluate(fake::Line{5}, {.per_device_batch_size = 1, .sink = tacit::Sink::none()});
    ask = [] {};
    auto const run = trainer.train(fake::Line{8}, options());
    done[static_cast<std::size_t>(rank.number)] =
        (evaluation.reason() == tacit::StopReason::requested ? 1 : 0) + (run.reason == tacit::StopReason::requested ? 2 : 0);
  });
  CAPTURE(ends[0], ends[1]);
  CHECK(done == std::array{1, 1});
}

TEST_CASE("two ranks evaluate data of unknown length to their end, though one of them asks to stop") {
  std::array<double, 2> loss{};
  auto const ends = ends_of([&](fake::Rank rank) {
    std::forward_list<fake::Batch> const data(
        6, fake::Batch{fake::Tensor{std::vector<double>{1.0}}, fake::Tensor{std::vector<double>{1.0}}});
    loss[static_cast<std::size_t>(rank.number)] =
        trainer_on(rank, EndOnOneRank{}).evaluate(data, {.sink = tacit::Sink::none()})[tacit::tag::eval_loss{}];
  });
  CAPTURE(ends[0], ends[1]);
  CHECK(ends[0] == "none");
  CHECK(ends[1] == "none");
  CHECK(loss[0] == 0.25);  // (0.5 * 1 - 1)^2
  CHECK(loss[1] == loss[0]);
}

}  // namespace ranks_bad_input_tests
