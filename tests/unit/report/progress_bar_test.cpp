#include "tacit/report/progress_bar.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "fake/screen.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using namespace std::chrono_literals;
using fake::Screen;
using tacit::Sink;

namespace progress_bar_tests {
namespace {

/// A clock that stands where it is put, and counts how often it is looked at.
struct Clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static inline time_point time{};
  static inline std::int64_t looks = 0;
  static time_point now() {
    ++looks;
    return time;
  }
};
using Bar = tacit::report::basic_progress_bar<Clock>;

struct Fixture {
  Fixture() {
    Clock::time = Clock::time_point{1h};
    Clock::looks = 0;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a bar on a terminal") {
  Screen screen;
  Bar bar{screen.sink(100)};
  bar.start("epoch 1/8", 1000);
  CHECK(screen.lines.back().empty());
  for (int i = 0; i < 250; ++i) {
    Clock::time += 100ms;
    bar.step(0.5);
  }
  CHECK(screen.lines == std::vector<std::string>{"epoch 1/8  [=======>                     ]  25%   250/1000     10 steps/s    1:15 left  loss 0.5000"});
  bar.finish();
  CHECK(screen.lines == std::vector<std::string>{"epoch 1/8  250 steps in 25 s  10 steps/s  loss 0.5000", ""});
  CHECK_FALSE(bar.is_active());
}

TEST_CASE_METHOD(Fixture, "a bar that is taken away leaves nothing") {
  Screen screen;
  Bar bar{screen.sink(80)};
  bar.start("evaluation", 10);
  Clock::time += 1s;
  bar.step();
  CHECK_THAT(screen.lines.back(), StartsWith("evaluation  ["));
  bar.finish(false);
  CHECK(screen.lines == std::vector<std::string>{""});
  CHECK(screen.column == 0);
}

TEST_CASE_METHOD(Fixture, "a bar fits any width") {
  int const width = GENERATE(1, 2, 10, 20, 30, 40, 60, 80, 120, 400);
  std::int64_t const total = GENERATE(-1, 0, 7, 1000000);
  CAPTURE(width, total);
  Screen screen;
  Bar bar{screen.sink(width)};
  bar.start("epoch 12/100", total);
  for (int i = 0; i < 40; ++i) {
    Clock::time += 333ms;
    bar.step(1.0 / (i + 1));
  }
  CHECK(screen.lines.size() == 1);
  CHECK(screen.widest < static_cast<std::size_t>(std::max(2, width)));
  if (width >= 80) CHECK_THAT(screen.lines.back(), ContainsSubstring("steps/s") && ContainsSubstring("loss"));
  if (width >= 80 && total > 7) CHECK_THAT(screen.lines.back(), ContainsSubstring("left"));
  bar.finish(false);
}

TEST_CASE_METHOD(Fixture, "a terminal is drawn on ten times a second at most") {
  struct Count {
    int writes = 0;
  } count;
  Bar bar{Sink{[](void* self, std::string_view) { ++static_cast<Count*>(self)->writes; }, &count}.with_columns(80)};
  bar.start("x", 100000);
  for (int i = 0; i < 100000; ++i) {
    Clock::time += 100us;
    bar.step(1.0);
  }
  CHECK(count.writes <= 100);
  CHECK(count.writes >= 60);
  // Ten seconds of 100 000 steps: the clock is looked at a few times between two drawings.
  CHECK(Clock::looks < 1500);
}

TEST_CASE_METHOD(Fixture, "steps that slow down are noticed") {
  Screen screen;
  Bar bar{screen.sink(80)};
  bar.start("x", 1000000);
  for (int i = 0; i < 100000; ++i) {
    Clock::time += 1us;
    bar.step();
  }
  for (int i = 0; i < 300; ++i) {
    Clock::time += 1s;
    bar.step();
  }
  CHECK_THAT(screen.lines.back(), ContainsSubstring("100300/1000000"));
  CHECK(bar.rate() > 0.9);
  CHECK(bar.rate() < 1.1);
}

TEST_CASE_METHOD(Fixture, "a log file gets a line every ten seconds") {
  std::ostringstream text;
  Bar bar{text};
  bar.start("epoch 3/8", 1000);
  for (int i = 0; i < 25; ++i) {
    Clock::time += 1s;
    bar.step(0.25);
  }
  CHECK(text.str() ==
        "epoch 3/8   1%    10/1000    1.0 steps/s   16:30 left  loss 0.2500\n"
        "epoch 3/8   2%    20/1000    1.0 steps/s   16:20 left  loss 0.2500\n");
  bar.finish();
  CHECK_THAT(text.str(), EndsWith("epoch 3/8  25 steps in 25 s  1.0 steps/s  loss 0.2500\n"));
}

TEST_CASE_METHOD(Fixture, "data of unknown length have no percent and no end") {
  std::ostringstream text;
  Bar bar{text};
  bar.start("epoch 1");
  for (int i = 0; i < 20; ++i) {
    Clock::time += 1s;
    bar.step();
  }
  CHECK(text.str() == "epoch 1  10 steps    1.0 steps/s\nepoch 1  20 steps    1.0 steps/s\n");
  CHECK(bar.remaining() == -1.0);
}

TEST_CASE_METHOD(Fixture, "slow steps are told in seconds a step") {
  std::ostringstream text;
  Bar bar{text, {.unit = "batch"}};
  bar.start("epoch 1", 100);
  Clock::time += 40s;
  bar.step();
  Clock::time += 40s;
  bar.step();
  CHECK(text.str() == "epoch 1   1%    1/100     40 s/batch  1:06:00 left\nepoch 1   2%    2/100     40 s/batch  1:05:20 left\n");
}

TEST_CASE_METHOD(Fixture, "a clock that stands still or steps back gives no infinite and no negative number") {
  Screen screen;
  Bar bar{screen.sink(80)};
  bar.start("x", 10);
  SECTION("it stands still") {
    for (int i = 0; i < 5; ++i) bar.step(1.0);
    CHECK(bar.rate() == 0.0);
    CHECK(bar.remaining() == -1.0);
    bar.draw();
    CHECK_THAT(screen.lines.back(), StartsWith("x  [") && EndsWith(" 50%   5/10  loss 1.0000"));
    bar.finish();
    CHECK(screen.lines[0] == "x  5 steps in 0.0 ms  loss 1.0000");
  }
  SECTION("it steps back") {
    for (int i = 0; i < 5; ++i) {
      Clock::time += 1s;
      bar.step(1.0);
    }
    Clock::time -= 30min;
    for (int i = 0; i < 4; ++i) {
      Clock::time += 1s;
      bar.step(1.0);
    }
    CHECK(bar.rate() >= 0.0);
    CHECK(bar.rate() < 10.0);
    CHECK(bar.remaining() >= 0.0);
    bar.pause();
    bar.resume();
    bar.finish();
    CHECK_THAT(screen.lines[0], StartsWith("x  9 steps in 5.0 s"));
  }
  SECTION("more steps than there should be") {
    for (int i = 0; i < 15; ++i) {
      Clock::time += 1s;
      bar.step();
    }
    CHECK(bar.remaining() == 0.0);
    CHECK_THAT(screen.lines.back(), ContainsSubstring("] 100%  15/10") && ContainsSubstring("0.0 ms left"));
  }
}

TEST_CASE_METHOD(Fixture, "a pause does not count") {
  std::ostringstream text;
  Bar bar{text};
  bar.start("x", 100);
  for (int i = 0; i < 5; ++i) {
    Clock::time += 1s;
    bar.step();
  }
  bar.pause();
  Clock::time += 1h;
  bar.resume();
  for (int i = 0; i < 4; ++i) {
    Clock::time += 1s;
    bar.step();
  }
  CHECK(text.str().empty());
  CHECK(bar.elapsed() == 9.0);
  CHECK(bar.rate() == 1.0);
}

TEST_CASE_METHOD(Fixture, "an exception leaves the bar where it is, and the cursor at the start of a line") {
  Screen screen;
  try {
    Bar bar{screen.sink(80)};
    bar.start("x", 10);
    Clock::time += 1s;
    bar.step();
    throw std::runtime_error{"stop"};
  } catch (std::runtime_error const& error) {
    screen.write(error.what());
  }
  REQUIRE(screen.lines.size() == 2);
  CHECK_THAT(screen.lines[0], StartsWith("x  ["));
  CHECK(screen.lines[1] == "stop");
}

TEST_CASE_METHOD(Fixture, "a sink that throws throws while it draws, and not from the destructor") {
  Bar bar{Sink{[](void*, std::string_view) { throw std::runtime_error{"disk full"}; }, nullptr}.with_columns(80)};
  bar.start("x", 10);
  Clock::time += 1s;
  CHECK_THROWS_AS(bar.step(), std::runtime_error);
}

TEST_CASE_METHOD(Fixture, "a loss that has to be asked for is asked for only to be drawn") {
  Screen screen;
  Bar bar{screen.sink(80)};
  bar.start("x", 1000);
  int asked = 0;
  for (int i = 0; i < 1000; ++i) {
    Clock::time += 1ms;
    bar.step([&] { return static_cast<double>(++asked); });
  }
  CHECK(asked >= 5);
  CHECK(asked <= 10);
}

TEST_CASE_METHOD(Fixture, "the loss is smoothed, and gets over one that is no number") {
  Bar bar{Sink::none()};
  bar.start("x");
  bar.observe(4.0);
  bar.observe(2.0);
  CHECK(bar.smoothed_loss() == 3.0);
  bar.observe(std::numeric_limits<double>::quiet_NaN());
  bar.observe(1.0);
  CHECK(bar.smoothed_loss() == 1.0);
  for (int i = 0; i < 1000; ++i) bar.observe(5.0);
  CHECK(bar.smoothed_loss() > 4.99);
}

TEST_CASE("numbers as people read them") {
  using namespace tacit::report;
  double const infinity = std::numeric_limits<double>::infinity();
  double const not_a_number = std::numeric_limits<double>::quiet_NaN();
  CHECK(metric_text(0.0) == "0.0000");
  CHECK(metric_text(0.43213) == "0.4321");
  CHECK(metric_text(-2.3026) == "-2.3026");
  CHECK(metric_text(0.0098123) == "0.009812");
  CHECK(metric_text(1.2345e-6) == "1.234e-06");
  CHECK(metric_text(1234.567) == "1234.57");
  CHECK(metric_text(123456.7) == "123457");
  CHECK(metric_text(1e300) == "1.000e+300");
  CHECK(metric_text(not_a_number) == "nan");
  CHECK(metric_text(-infinity) == "-inf");
  CHECK(rate_text(0.424) == "0.42");
  CHECK(rate_text(9.94) == "9.9");
  CHECK(rate_text(53.2) == "53");
  CHECK(rate_text(999.4) == "999");
  CHECK(rate_text(999.6) == "1.0k");
  CHECK(rate_text(53720.0) == "53.7k");
  CHECK(rate_text(1.2e6) == "1.2M");
  CHECK(rate_text(1e300).size() > 10);
  CHECK(rate_text(infinity) == "?");
  CHECK(rate_text(not_a_number) == "?");
  CHECK(duration_text(0.0) == "0.0 ms");
  CHECK(duration_text(0.0123) == "12 ms");
  CHECK(duration_text(0.99) == "0.99 s");
  CHECK(duration_text(3.44) == "3.4 s");
  CHECK(duration_text(59.4) == "59 s");
  CHECK(duration_text(59.6) == "1:00");
  CHECK(duration_text(754.0) == "12:34");
  CHECK(duration_text(3599.7) == "1:00:00");
  CHECK(duration_text(1e7) == "2777:46:40");
  CHECK(duration_text(1e300) == "more than 30 years");
  CHECK(duration_text(-1.0) == "?");
  CHECK(duration_text(infinity) == "?");
  CHECK(count_text(1, "epoch") == "1 epoch");
  CHECK(count_text(2, "epoch") == "2 epochs");
  CHECK(count_text(0, "batch") == "0 batches");
  CHECK(shortest_text(0.01) == "0.01");
}

}  // namespace progress_bar_tests
