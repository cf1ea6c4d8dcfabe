#include "tacit/schedule/field.hpp"

#include <cstdint>

#include <catch2/catch_test_macros.hpp>

namespace schedule = tacit::schedule;
using tacit::Epochs;
using tacit::UpdateIndex;

namespace field_tests {
TEST_CASE("A hand-written loop uses f(u) in update u", "[schedule]") {
  struct {
    double lr = 0.1;
    double momentum = 0.9;
  } options;
  schedule::RunLength const run{.updates = 40, .updates_per_epoch = 10};
  auto const rate = tacit::resolve(tacit::lr(schedule::warmup(Epochs{1}).then(schedule::linear(1.0, 0.0))), run, options.lr);
  auto const momentum = tacit::resolve(tacit::field<"momentum">(schedule::constant(0.5), "heads"), run, options.momentum);
  double sum = 0.0;
  for (std::int64_t u = 0; u < 40; ++u) {
    options.lr = rate.value(UpdateIndex{u});
    options.momentum = momentum.value(UpdateIndex{u});
    CHECK(options.momentum == 0.45);
    CHECK(options.lr == 0.1 * (u < 10 ? static_cast<double>(u) / 10 : 1.0 - static_cast<double>(u - 10) / 30));
    sum += options.lr;
  }
  CHECK(sum > 1.99);
  CHECK(sum < 2.01);
}

TEST_CASE("A changed base scales what is left of the curve", "[schedule]") {
  auto rate = tacit::resolve(tacit::weight_decay(schedule::linear(1.0, 0.0)), {.updates = 10}, 0.5);
  CHECK(rate.value(UpdateIndex{0}) == 0.5);
  rate.base *= 0.5;
  CHECK(rate.value(UpdateIndex{5}) == 0.125);
}

TEST_CASE("A field's schedule of unknown length is an error before the first step", "[schedule]") {
  CHECK_THROWS_AS(tacit::resolve(tacit::lr(schedule::cosine()), {}, 0.1), tacit::ConfigError);
  CHECK_THROWS_AS(tacit::resolve(tacit::momentum(schedule::warmup(Epochs{1})), {.updates = 10}, 0.1), tacit::ConfigError);
}

}  // namespace field_tests
