#include "tacit/core/random.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>

using tacit::Random;

static_assert(std::uniform_random_bit_generator<Random>);
static_assert(Random{7}() == Random{7}() && Random{7}() != Random{8}());

namespace random_tests {
TEST_CASE("the numbers are splitmix64's") {
  // The published test vector of splitmix64 with seed 1234567.
  Random random{1234567};
  for (std::uint64_t const expected : {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u, 16408922859458223821u}) {
    REQUIRE(random() == expected);
  }
}

TEST_CASE("uniform, below and chance stay in their ranges and are as often as they should be") {
  Random random{3};
  int const draws = 60000;
  double sum = 0;
  int yes = 0;
  std::array<int, 6> dice{};
  for (int i = 0; i < draws; ++i) {
    double const u = random.uniform();
    REQUIRE((u >= 0 && u < 1));
    sum += u;
    double const v = random.uniform(-2, 3);
    REQUIRE((v >= -2 && v < 3));
    ++dice.at(static_cast<std::size_t>(random.below(6)));
    yes += random.chance(0.25) ? 1 : 0;
  }
  REQUIRE(std::abs(sum / draws - 0.5) < 4 / std::sqrt(12.0 * draws));
  for (int const count : dice) REQUIRE(std::abs(count - draws / 6) < 4 * std::sqrt(draws * 5.0 / 36));
  REQUIRE(std::abs(yes - draws / 4) < 4 * std::sqrt(draws * 3.0 / 16));
  REQUIRE(random.below(1) == 0);
  REQUIRE(random.below(0) == 0);
  REQUIRE_FALSE(random.chance(0));
  REQUIRE(random.chance(1));
}

}  // namespace random_tests
