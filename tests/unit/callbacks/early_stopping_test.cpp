#include "tacit/callbacks/early_stopping.hpp"

#include <cmath>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/group.hpp"
#include "support.hpp"

namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;
using tacit::EarlyStopping;
using tacit::StopReason;
using namespace support;

namespace early_stopping_tests {
namespace {

struct score : tacit::Metric<"score", tacit::higher_is_better> {};
struct cost : tacit::Metric<"cost"> {};

/// Records one value an epoch, none for an infinite one.
template <class Tag>
struct Feed {
  using records = tacit::records<Tag>;
  std::vector<double> values{};
  void on(event::TrainEpochEnd const& event, auto& context) {
    double const value = values[static_cast<std::size_t>(event.epoch.value())];
    if (!std::isinf(value)) context.record(Tag{}, value);
  }
};

struct Sees {
  int* epochs;
  void on(event::TrainingRunEpochEnd const&, auto&) { ++*epochs; }
};

/// After how many epochs the run ends; all of them if nothing stops it.
template <class Tag>
std::int64_t epochs(EarlyStopping<Tag> const& stop, std::vector<double> values) {
  int seen = 0;
  auto const count = static_cast<std::int64_t>(values.size());
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{Feed<Tag>{std::move(values)}, stop, Sees{&seen}});
  auto const result = one.train(batches(1), {.epochs = count, .sink = tacit::Sink::none()});
  CHECK(result.epochs == tacit::Epochs{seen});  // the callback behind it sees the last epoch too
  CHECK((result.reason == StopReason::callback) == (result.epochs.value() < count));
  return result.epochs.value();
}

constexpr double none = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("a run ends after `patience` epochs without improvement") {
  CHECK(epochs<cost>({.patience = 1}, {3, 2, 2, 1, 1}) == 3);
  CHECK(epochs<cost>({.patience = 2}, {3, 2, 2, 1, 1, 1, 0}) == 6);
  CHECK(epochs<cost>({.patience = 3}, {3, 3, 3, 3, 3, 3}) == 4);
  CHECK(epochs<cost>({.patience = 1}, {4, 3, 2, 1}) == 4);
}

TEST_CASE("the direction is the tag's") {
  CHECK(epochs<score>({.patience = 1}, {1, 2, 3, 2, 5}) == 4);
  CHECK(epochs<score>({.patience = 1}, {3, 2, 1}) == 2);
  CHECK(epochs<cost>({.patience = 1}, {1, 2, 3}) == 2);
}

TEST_CASE("an improvement must be larger than the threshold, against the best value and not the last one") {
  CHECK(epochs<cost>({.patience = 1}, {1.0, 0.995, 0.5, 0.4}) == 2);  // 0.01 by default
  CHECK(epochs<cost>({.patience = 1, .threshold = 0.0}, {1.0, 0.995, 0.994, 0.994, 0.5}) == 4);
  CHECK(epochs<cost>({.patience = 2, .threshold = 0.5}, {2.0, 1.5, 1.4, 1.3, 0.1, 0.1}) == 6);
  CHECK(epochs<cost>({.patience = 1, .threshold = 0.25}, {1.0, 0.75, 0.1}) == 2);
}

TEST_CASE("a value that is no number") {
  CHECK(epochs<cost>({.patience = 1}, {not_a_number, 5, 4, 3}) == 4);
  CHECK(epochs<score>({.patience = 1}, {not_a_number, 5, 6, 7}) == 4);
  CHECK(epochs<cost>({.patience = 2}, {not_a_number, not_a_number, not_a_number, 1, 1}) == 3);
  CHECK(epochs<cost>({.patience = 1}, {5, not_a_number, 1, 1}) == 2);
  CHECK(epochs<cost>({.patience = 2}, {5, not_a_number, 1, 1, 1, 1}) == 5);
}

TEST_CASE("epochs without a value do not count") {
  CHECK(epochs<cost>({.patience = 1}, {none, 3, none, none, 2, none, 2, 1}) == 7);
  CHECK(epochs<cost>({.patience = 1}, {none, none, none}) == 3);
}

TEST_CASE("an evaluation every other epoch is looked at when it is there") {
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{EarlyStopping<tag::eval_loss>{.threshold = 100.0}});
  auto const result = one.train(batches(2), batches(2), {.epochs = 9, .evaluation = {.every_epochs = 2}, .sink = tacit::Sink::none()});
  CHECK(result.epochs == tacit::Epochs{4});
  // Of evaluations inside an epoch it is the last one that counts.
  auto inside = trainer(std::make_shared<fake::Linear>(), CallbackPack{EarlyStopping<tag::eval_loss>{.threshold = 100.0}});
  CHECK(inside.train(batches(4), batches(2), {.epochs = 9, .evaluation = {.every_epochs = 0, .every_updates = 1}, .sink = tacit::Sink::none()}).epochs ==
        tacit::Epochs{2});
}

TEST_CASE("each run starts anew, or goes on if one likes") {
  for (bool const reset : {true, false}) {
    auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{Feed<cost>{{1, 1, 1, 1}}, EarlyStopping<cost>{.patience = 2, .reset_on_train = reset}});
    auto train = [&](std::int64_t epochs) { return one.train(batches(1), {.epochs = epochs, .sink = tacit::Sink::none()}).epochs; };
    CHECK(train(2) == tacit::Epochs{2});  // one without improvement
    CHECK(train(4) == tacit::Epochs{reset ? 3 : 1});
  }
}

TEST_CASE("ranks stop at the same epoch") {
  std::vector<std::int64_t> epochs(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    auto one = trainer(std::make_shared<fake::Linear>(), rank, CallbackPack{EarlyStopping<tag::train_loss>{.threshold = 100.0}});
    epochs[static_cast<std::size_t>(rank.number)] = one.train(batches(4), {.epochs = 5, .sink = tacit::Sink::none()}).epochs.value();
  });
  CHECK(epochs == std::vector<std::int64_t>{2, 2});
}

TEST_CASE("parameters without a meaning are refused when the trainer is made") {
  auto make = [](EarlyStopping<cost> const& stop) -> std::string {
    try {
      auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{Feed<cost>{}, stop});
    } catch (tacit::ConfigError const& error) {
      CHECK_FALSE(error.fix().empty());
      return error.code() + " " + error.where();
    }
    return "accepted";
  };
  CHECK(make({}) == "accepted");
  CHECK(make({.threshold = 0.0}) == "accepted");
  CHECK(make({.patience = 0}) == "TACIT-RC80 EarlyStopping::patience");
  CHECK(make({.patience = tacit::unset}) == "TACIT-RC80 EarlyStopping::patience");
  CHECK(make({.threshold = -0.1}) == "TACIT-RC81 EarlyStopping::threshold");
  CHECK(make({.threshold = not_a_number}) == "TACIT-RC81 EarlyStopping::threshold");
  CHECK(make({.threshold = none}) == "TACIT-RC81 EarlyStopping::threshold");
}

}  // namespace early_stopping_tests
