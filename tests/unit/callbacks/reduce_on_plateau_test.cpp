#include "tacit/callbacks/reduce_on_plateau.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;
using tacit::ReduceOnPlateau;
using namespace support;

namespace reduce_on_plateau_tests {
namespace {

struct score : tacit::Metric<"score", tacit::higher_is_better> {};
struct cost : tacit::Metric<"cost"> {};

template <class Tag>
struct Feed {
  using records = tacit::records<Tag>;
  std::vector<double> values{};
  void on(event::TrainEpochEnd const& event, auto& context) {
    context.record(Tag{}, values[static_cast<std::size_t>(event.epoch.value())]);
  }
};

struct Rates {
  std::vector<double>* rates;
  void on(event::TrainEpochStart const&, auto& context) { rates->push_back(context.trainer().optimizer().lr); }
};

/// The learning rate of each epoch, from 0.05.
template <class Tag>
std::vector<double> rates(ReduceOnPlateau<Tag> const& plateau, std::vector<double> values) {
  std::vector<double> seen;
  auto const count = static_cast<std::int64_t>(values.size());
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{Feed<Tag>{std::move(values)}, plateau, Rates{&seen}});
  one.train(batches(1), {.epochs = count, .sink = tacit::Sink::none()});
  return seen;
}

template <class Tag>
std::string code(ReduceOnPlateau<Tag> const& plateau) {
  try {
    (void)rates(plateau, {1.0});
  } catch (tacit::ConfigError const& error) {
    return error.code();
  }
  return "none";
}

}  // namespace

TEST_CASE("The rate falls once a metric has not improved for more than `patience` epochs", "[plateau]") {
  CHECK(rates<cost>({.factor = 0.5, .patience = 1}, {1, 1, 1, 1, 1, 1}) == std::vector{0.05, 0.05, 0.05, 0.025, 0.025, 0.0125});
  CHECK(rates<cost>({.factor = 0.5, .patience = 0}, {3, 2, 1, 1, 0}) == std::vector{0.05, 0.05, 0.05, 0.05, 0.025});
  CHECK(rates<score>({.factor = 0.5, .patience = 0}, {1, 2, 1, 3, 3}) == std::vector{0.05, 0.05, 0.05, 0.025, 0.025});
}

TEST_CASE("Threshold, cool-down, lowest rate and NaN", "[plateau]") {
  CHECK(rates<cost>({.factor = 0.5, .patience = 0, .threshold = 0.5}, {2, 1.75, 1, 0}) == std::vector{0.05, 0.05, 0.025, 0.025});
  CHECK(rates<cost>({.factor = 0.5, .patience = 0, .cooldown = 2}, {1, 1, 1, 1, 1, 1}) ==
        std::vector{0.05, 0.05, 0.025, 0.025, 0.025, 0.0125});
  CHECK(rates<cost>({.factor = 0.5, .patience = 0, .lowest = 0.04}, {1, 1, 1, 1}) == std::vector{0.05, 0.05, 0.04, 0.04});
  CHECK(rates<cost>({.factor = 0.5, .patience = 0}, {1, not_a_number, 0}) == std::vector{0.05, 0.05, 0.025});
}

TEST_CASE("A plateau that cannot be used", "[plateau]") {
  CHECK(code<cost>({.factor = 1.0}) == "TACIT-RC77");
  CHECK(code<cost>({.factor = not_a_number}) == "TACIT-RC77");
  CHECK(code<cost>({.threshold = -1.0}) == "TACIT-RC78");
  CHECK(code<cost>({.lowest = std::numeric_limits<double>::infinity()}) == "TACIT-RC78");
  CHECK(code<cost>({.patience = tacit::unset}) == "TACIT-RC79");
}

}  // namespace reduce_on_plateau_tests
