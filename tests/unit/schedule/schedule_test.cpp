#include "tacit/schedule/schedule.hpp"
#include "tacit/schedule/describe.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>

#include <catch2/catch_test_macros.hpp>

namespace schedule = tacit::schedule;
using schedule::Fraction;
using schedule::resolve;
using schedule::RunLength;
using tacit::Epochs;
using tacit::UpdateIndex;
using tacit::Updates;

namespace schedule_tests {
namespace {

constexpr RunLength run{.updates = 100, .updates_per_epoch = 10};

/// Compares each value of a run of 100 updates, and some beyond, with a closed form written with <cmath>.
template <class ClosedForm>
bool equals(auto const& recipe, ClosedForm closed_form) {
  auto const bound = resolve(recipe, run);
  for (std::int64_t u = 0; u <= 100; ++u) {
    if (std::abs(bound(UpdateIndex{u}) - closed_form(static_cast<double>(u))) > 1e-14) return false;
  }
  return bound(UpdateIndex{100}) == bound(UpdateIndex{1000});
}

std::string code(auto&& call) {
  try {
    call();
  } catch (tacit::ConfigError const& error) {
    return error.code();
  }
  return "none";
}

double half_cosine(double t) { return 0.5 * (1.0 + std::cos(std::numbers::pi * t)); }

}  // namespace

TEST_CASE("Each schedule is its closed form", "[schedule]") {
  CHECK(equals(schedule::constant(0.5), [](double) { return 0.5; }));
  CHECK(equals(schedule::linear(1.0, 0.2), [](double u) { return 1.0 - 0.8 * u / 100; }));
  CHECK(equals(schedule::cosine(), [](double u) { return half_cosine(u / 100); }));
  CHECK(equals(schedule::cosine({.lowest = 0.1, .k = 2.0}), [](double u) { return 0.1 + 0.9 * half_cosine(std::pow(u / 100, 2.0)); }));
  CHECK(equals(schedule::cosine({.cycles = 4}), [](double u) { return u == 100 ? 0.0 : half_cosine(std::fmod(u, 25.0) / 25); }));
  CHECK(equals(schedule::polynomial(2.5, 0.1), [](double u) { return 0.1 + 0.9 * std::pow(1 - u / 100, 2.5); }));
  CHECK(equals(schedule::exponential(0.5, Epochs{1}), [](double u) { return std::pow(0.5, u / 10); }));
  CHECK(equals(schedule::step(0.5, Updates{30}), [](double u) { return std::pow(0.5, std::floor(u / 30)); }));
  CHECK(equals(schedule::multi_step(0.1, Epochs{3}, Fraction{0.8}), [](double u) { return u < 30 ? 1.0 : u < 80 ? 0.1 : 0.01; }));
  CHECK(equals(schedule::inverse_sqrt(Updates{20}), [](double u) { return std::sqrt(20 / (20 + u)); }));
  CHECK(equals(schedule::one_cycle(), [](double u) {
    if (u < 30) return 1.0 - (1.0 - 0.04) * half_cosine(u / 30);
    return 4e-6 + (1.0 - 4e-6) * half_cosine((u - 30) / 70);
  }));
  CHECK(equals(schedule::wsd({.warmup = Updates{10}, .decay = 0.2, .lowest = 0.1}), [](double u) {
    return u < 10 ? u / 10 : u < 80 ? 1.0 : 0.1 + 0.9 * (1 - std::sqrt((u - 80) / 20));
  }));
  CHECK(equals(schedule::wsd({.decay = 0.2, .lowest = 0.1, .form = schedule::Decay::inverse}), [](double u) {
    double const t = u < 80 ? 0.0 : (u - 80) / 20;
    return 1 / (t / 0.1 + 1 - t);
  }));
}

TEST_CASE("cosine with warm-up and cool-down reaches its minimum where the cool-down begins", "[schedule]") {
  CHECK(equals(schedule::warmup(Updates{20}).then(schedule::cosine()).then(schedule::constant(0.0).over(Updates{10})),
               [](double u) { return u < 20 ? u / 20 : u < 90 ? half_cosine((u - 20) / 70) : 0.0; }));
}

TEST_CASE("a value depends on nothing but the update and the run", "[schedule]") {
  // Neither the number of processes nor what was asked before has a way in, so a resumed run's trace is the same.
  auto const recipe = schedule::wsd<2>({.warmup = Updates{10}});
  auto const whole = resolve(recipe, run);
  for (std::int64_t start : {0, 5, 30, 48, 70, 95}) {
    auto const resumed = resolve(recipe, run);
    for (std::int64_t u = start; u < 100; ++u) REQUIRE(resumed(UpdateIndex{u}) == whole(UpdateIndex{u}));
  }
}

TEST_CASE("WSD's last decay ends with the run, for every length, number and ratio", "[schedule]") {
  auto const check = [](auto const& recipe, std::int64_t updates) {
    auto const bound = resolve(recipe, {.updates = updates});
    auto const& phases = bound.phases();
    CHECK(phases.back().end == UpdateIndex{updates});
    for (std::size_t i = 1; i < phases.size(); ++i) CHECK(phases[i].begin == phases[i - 1].end);
    CHECK(bound(UpdateIndex{updates}) == 1e-3);
  };
  for (std::int64_t updates : {100, 101, 999, 1000, 12345}) {
    for (double decay : {0.1, 0.3, 0.5, 0.9}) {
      check(schedule::wsd<1>({.decay = decay}), updates);
      check(schedule::wsd<2>({.decay = decay}), updates);
      check(schedule::wsd<4>({.decay = decay}), updates);
    }
  }
  auto const two = resolve(schedule::wsd<2>(), {.updates = 1000});
  CHECK(two.phases()[2].begin == UpdateIndex{450});
  CHECK(two.phases()[2].end == UpdateIndex{500});
  CHECK(two(UpdateIndex{500}) == 1.0);  // the second half starts stable again
  CHECK(two.phases()[4].begin == UpdateIndex{950});
}

TEST_CASE("a warm-up from a ratio rises and ends at the peak", "[schedule]") {
  CHECK(equals(schedule::warmup(Updates{20}, 0.3).then(schedule::constant()), [](double u) { return u < 20 ? 0.3 + 0.7 * u / 20 : 1.0; }));
}

TEST_CASE("lengths in epochs follow the updates of an epoch", "[schedule]") {
  auto const recipe = schedule::warmup(Epochs{2}).then(schedule::cosine());
  for (std::int64_t per_epoch : {1, 7, 50}) {
    auto const bound = resolve(recipe, {.updates = 10 * per_epoch, .updates_per_epoch = per_epoch});
    CHECK(bound.phases()[0].end == UpdateIndex{2 * per_epoch});
    CHECK(bound(UpdateIndex{2 * per_epoch}) == 1.0);
  }
}

TEST_CASE("Schedules can be scaled and clamped, in either order", "[schedule]") {
  auto const line = schedule::linear(1.0, 0.0);
  CHECK(equals(line.scaled(0.5).clamped(0.1, 0.4), [](double u) { return std::clamp(0.5 - u / 200, 0.1, 0.4); }));
  CHECK(equals(line.clamped(0.1, 0.4).scaled(0.5), [](double u) { return 0.5 * std::clamp(1.0 - u / 100, 0.1, 0.4); }));
  CHECK(equals(line.clamped(0.1, 0.9).clamped(0.0, 0.5), [](double u) { return std::clamp(1.0 - u / 100, 0.1, 0.5); }));
}

TEST_CASE("The highest value of a run is that of its updates", "[schedule]") {
  auto const check = [](auto const& recipe) {
    auto const bound = resolve(recipe, run);
    double highest = 0.0;
    for (std::int64_t u = 0; u < 100; ++u) highest = std::max(highest, bound(UpdateIndex{u}));
    CHECK(bound.highest() == highest);
  };
  check(schedule::constant(0.5));
  check(schedule::linear(0.5, 2.0));
  check(schedule::linear(2.0, 0.5));
  check(schedule::warmup(Updates{20}).then(schedule::cosine()));
  check(schedule::cosine({.lowest = 3.0}));
  check(schedule::cosine({.lowest = 0.1, .cycles = 3}));
  check(schedule::polynomial(2.0, 4.0));
  check(schedule::exponential(1.1, Updates{10}).scaled(2.0).clamped(0.0, 3.0));
  check(schedule::step(1.5, Updates{30}));
  check(schedule::multi_step(0.1, Updates{30}, Updates{60}));
  check(schedule::inverse_sqrt(Updates{10}));
  check(schedule::one_cycle());
  check(schedule::wsd<3>());
  check(schedule::warmup(Updates{0}).then(schedule::constant(0.25)));
  CHECK(resolve(schedule::step(0.5, Updates{10}), {}).highest() == 1.0);
  CHECK(resolve(schedule::step(2.0, Updates{10}), {}).highest() == std::numeric_limits<double>::infinity());
  CHECK(resolve(schedule::step(2.0, Updates{10}).clamped(0.0, 8.0), {}).highest() == 8.0);
}

TEST_CASE("A schedule that needs no length works in a run without end", "[schedule]") {
  auto const bound = resolve(schedule::warmup(Updates{10}).then(schedule::inverse_sqrt(Updates{10})), {});
  CHECK(bound(UpdateIndex{5}) == 0.5);
  CHECK(bound(UpdateIndex{40}) == 0.5);
  CHECK(bound.phases()[1].is_endless);
}

TEST_CASE("Schedules that cannot be used say so before the first step", "[schedule]") {
  auto const resolving = [](auto const& recipe, RunLength length) { return code([&] { (void)resolve(recipe, length); }); };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(code([] { (void)schedule::warmup(Fraction{1.5}); }) == "TACIT-RC90");
  CHECK(code([] { (void)schedule::warmup(Fraction{nan}); }) == "TACIT-RC90");
  CHECK(resolving(schedule::cosine(), {}) == "TACIT-RC91");
  CHECK(resolving(schedule::warmup(Epochs{1}), {.updates = 100}) == "TACIT-RC91");
  CHECK(resolving(schedule::warmup(Fraction{0.1}), {}) == "TACIT-RC91");
  CHECK(resolving(schedule::constant().then(schedule::warmup(Updates{1})), {}) == "TACIT-RC91");
  CHECK(resolving(schedule::multi_step(0.1, Updates{5}, Updates{3}), run) == "TACIT-RC92");
  CHECK(code([] { (void)schedule::warmup(Updates{tacit::unset}); }) == "TACIT-RC93");
  CHECK(resolving(schedule::cosine().then(schedule::cosine()), run) == "TACIT-RC94");
  CHECK(resolving(schedule::warmup(Updates{101}), run) == "TACIT-RC95");
  CHECK(resolving(schedule::step(0.1, Updates{0}), run) == "TACIT-RC96");
  CHECK(code([] { (void)schedule::cosine().scaled(-1.0); }) == "TACIT-RC97");
  CHECK(code([] { (void)schedule::cosine().scaled(nan); }) == "TACIT-RC97");
  CHECK(code([] { (void)schedule::cosine().clamped(1.0, 0.0); }) == "TACIT-RC98");
  CHECK(code([] { (void)schedule::cosine({.k = 0.0}); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::cosine({.cycles = 0}); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::constant(nan); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::constant(-0.5); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::linear(1.0, -1e-9); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::linear(-1.0, 1.0); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::warmup(Updates{5}, -0.1); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::warmup(Updates{5}, 1.5); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::cosine({.lowest = -0.1}); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::polynomial(2.0, -0.1); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::one_cycle({.start = -1.0}); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::one_cycle({.end = -1.0}); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::wsd({.warmup_from = -1.0}); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::cosine().clamped(-2.0, -1.0); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::cosine().clamped(-2.0, 0.5); }) == "none");
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK(code([] { (void)schedule::warmup(schedule::Length{Updates{most}} + Updates{1}); }) == "TACIT-RC144");
  CHECK(resolving(schedule::warmup(Epochs{most / 2}), run) == "TACIT-RC144");
  CHECK(resolving(schedule::warmup(Updates{most}).then(schedule::constant().over(Updates{1})), run) == "TACIT-RC144");
  schedule::Length const twice = schedule::Length{Fraction{1.0}} + Fraction{1.0};
  CHECK(resolving(schedule::warmup(twice), {.updates = most}) == "TACIT-RC144");
  CHECK(code([] { (void)schedule::wsd({.decay = 0.0}); }) == "TACIT-RC99");
  CHECK(code([] { (void)schedule::wsd({.lowest = 0.0, .form = schedule::Decay::inverse}); }) == "TACIT-RC99");
}

TEST_CASE("describe() prints the phases and a plot", "[schedule]") {
  auto const text = schedule::describe(resolve(schedule::warmup(Epochs{2}).then(schedule::cosine()), run));
  CHECK(text.starts_with("updates 0 to 19: linear, 0 to 0.95\nupdates 20 to 99: cosine, 1 to 0.0003855\n"));
  CHECK(text.ends_with("           +------------------------------------------------------------\n"
                       "            0                                                         99\n"));
  CHECK(std::count(text.begin(), text.end(), '*') == 60);
  CHECK(schedule::describe(resolve(schedule::constant(), {.updates = 0})) == "no updates\n");
  CHECK(schedule::describe(resolve(schedule::constant(0.5), {})).starts_with("updates 0 to the end: constant, 0.5 to 0.5\n"));
  CHECK(schedule::describe(resolve(schedule::constant(), {.updates = 1})).find("1 |*\n") != std::string::npos);
}

}  // namespace schedule_tests
