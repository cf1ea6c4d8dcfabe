#include "tacit/core/units.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <limits>
#include <string>

#include "tacit/core/sink.hpp"

using tacit::EpochIndex;
using tacit::Samples;
using tacit::Updates;

namespace units_tests {
namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

std::string code_of(auto const& call) {
  try {
    call();
  } catch (tacit::ConfigError const& error) {
    return error.code();
  }
  return "none";
}

}  // namespace

// Kind E: numbers too narrow for their work.

TEST_CASE("sums of counts stay at 2^63-1, and products over it are not known") {
  Samples sum = most - 1;
  sum += Samples{1};
  CHECK(sum.value() == most);
  sum += Samples{1};
  CHECK(sum.value() == most);
  sum += Samples{most};
  CHECK(sum.value() == most);
  Samples small = 3;
  small += Samples{4};
  CHECK(small.value() == 7);

  using tacit::detail::known_product;
  CHECK(known_product<tacit::unit::update>(3, 4, 5) == Updates{60});
  CHECK(known_product<tacit::unit::update>(most, 1, 1) == Updates{most});
  CHECK_FALSE(known_product<tacit::unit::update>(most, 2).is_set());
  CHECK_FALSE(known_product<tacit::unit::update>(1, std::int64_t{1} << 32, std::int64_t{1} << 31).is_set());
  CHECK(known_product<tacit::unit::update>(most, 0) == Updates{0});
  CHECK(tacit::detail::quotient_up(7, 3) == 3);
  CHECK(tacit::detail::quotient_up(6, 3) == 2);
  CHECK(tacit::detail::quotient_up(most, most) == 1);
  CHECK(tacit::detail::quotient_up(5, most) == 1);
}

TEST_CASE("numbers that are no counts or places are refused") {
  CHECK(code_of([] { (void)Samples{-1}; }) == "TACIT-RC01");
  CHECK(code_of([] { (void)Samples{std::uint64_t{1} << 63}; }) == "TACIT-RC01");
  CHECK(code_of([] { (void)EpochIndex{std::uint64_t{1} << 63}; }) == "TACIT-RC142");
  CHECK(code_of([] { (void)EpochIndex{std::numeric_limits<std::uint64_t>::max()}; }) == "TACIT-RC142");
  CHECK(EpochIndex{static_cast<std::uint64_t>(most)}.value() == most);
  static_assert(EpochIndex{3U}.value() == 3 && EpochIndex{7}.value() == 7);
}

// A run's plan with such options: tests/unit/train/shared_source_test.cpp.

TEST_CASE("F29: standard output is a terminal only where lines can be overwritten") {
  int const terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0) SKIP("no pseudo terminals here");
  int const slave = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  REQUIRE(slave >= 0);
  int const before = ::dup(STDOUT_FILENO);
  char const* const given = ::getenv("TERM");
  std::string const kept = given == nullptr ? "" : given;
  auto const is_terminal = [&](char const* kind) {
    kind == nullptr ? ::unsetenv("TERM") : ::setenv("TERM", kind, 1);
    ::dup2(slave, STDOUT_FILENO);
    bool const result = tacit::Sink{}.is_terminal();
    ::dup2(before, STDOUT_FILENO);
    return result;
  };
  bool const xterm = is_terminal("xterm");
  bool const screen = is_terminal("screen-256color");
  bool const dumb = is_terminal("dumb");
  bool const empty = is_terminal("");
  bool const none = is_terminal(nullptr);
  given == nullptr ? ::unsetenv("TERM") : ::setenv("TERM", kept.c_str(), 1);
  ::close(before);
  ::close(slave);
  ::close(terminal);
  CHECK(xterm);
  CHECK(screen);
  CHECK_FALSE(dumb);
  CHECK_FALSE(empty);
  CHECK_FALSE(none);
}

}  // namespace units_tests
