// Schedules against torch's schedulers: the factor of each of 40 updates.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "tacit/schedule/schedule.hpp"

namespace schedule_parity_tests {
namespace {

#include "schedule_parity.inc"

namespace schedule = tacit::schedule;
using tacit::Updates;

template <class Schedule>
void check(Schedule const& ours, std::vector<double> const& theirs) {
  auto const bound = schedule::resolve(ours, {.updates = Updates{static_cast<std::int64_t>(theirs.size())}});
  for (std::size_t u = 0; u < theirs.size(); ++u) {
    double const value = bound(tacit::UpdateIndex{static_cast<std::int64_t>(u)});
    CAPTURE(u, value, theirs[u]);
    // torch multiplies from update to update, and gathers its rounding.
    REQUIRE(std::abs(value - theirs[u]) <= 1e-13);
  }
}

}  // namespace

TEST_CASE("schedules give the rates of torch's schedulers") {
  SECTION("ConstantLR") { check(schedule::constant(0.25).over(Updates{12}).then(schedule::constant()), constant_factor); }
  SECTION("LinearLR") { check(schedule::warmup(Updates{10}, 0.1).then(schedule::constant()), linear); }
  SECTION("CosineAnnealingLR") { check(schedule::cosine({.lowest = 0.05}), cosine); }
  SECTION("CosineAnnealingWarmRestarts") { check(schedule::cosine({.lowest = 0.1, .cycles = 4}), cosine_restarts); }
  SECTION("OneCycleLR") { check(schedule::one_cycle({.rising = 0.3}), one_cycle); }
  SECTION("StepLR") { check(schedule::step(0.5, Updates{7}), step); }
  SECTION("MultiStepLR") { check(schedule::multi_step(0.3, Updates{5}, Updates{20}), multi_step); }
  SECTION("ExponentialLR") { check(schedule::exponential(0.9, Updates{1}), exponential); }
  SECTION("PolynomialLR") { check(schedule::polynomial(2.0), polynomial); }
  SECTION("LambdaLR, inverse square root") { check(schedule::inverse_sqrt(Updates{8}), inverse_sqrt); }
  SECTION("SequentialLR of a warm-up and a cosine") { check(schedule::warmup(Updates{8}, 0.01).then(schedule::cosine()), warmup_cosine); }
}

}  // namespace schedule_parity_tests
