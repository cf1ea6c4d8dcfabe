#include "tacit/data/shuffle.hpp"

#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <vector>

using tacit::DataError;
using tacit::EpochIndex;
using tacit::SampleIndex;
using tacit::data::sample_stream;
using tacit::data::ShuffledOrder;

namespace shuffle_tests {
namespace {

std::vector<std::int64_t> whole(ShuffledOrder const& order) {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(order.size()));
  order.fill(0, samples);
  return samples;
}

bool is_permutation_of_all(std::vector<std::int64_t> samples) {
  std::ranges::sort(samples);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i] != static_cast<std::int64_t>(i)) return false;
  }
  return true;
}

/// How many standard deviations a chi-square sum lies above its mean.
double excess(std::vector<int> const& counts, double expected, double degrees) {
  double sum = 0;
  for (int const count : counts) sum += (count - expected) * (count - expected) / expected;
  return (sum - degrees) / std::sqrt(2 * degrees);
}

constexpr std::array<std::int64_t, 10> first_ten(std::int64_t size, std::uint64_t seed, std::int64_t epoch) {
  std::array<std::int64_t, 10> samples{};
  ShuffledOrder{size, seed, EpochIndex{epoch}}.fill(0, samples);
  return samples;
}

// Computed by an independent program from the description in the header. A change here breaks every resumed run.
static_assert(first_ten(10, 0, 0) == std::array<std::int64_t, 10>{2, 6, 9, 4, 1, 3, 8, 7, 5, 0});
static_assert(first_ten(50000, 42, 3) ==
              std::array<std::int64_t, 10>{47245, 14311, 19811, 21032, 24466, 13638, 46027, 9591, 7470, 48807});
static_assert(first_ten(std::int64_t{1} << 40, 7, 1) ==
              std::array<std::int64_t, 10>{289701545809, 504785327035, 656679203427, 156763263843, 730693977823,
                                           114083243056, 262607779337, 179586274339, 937890381633, 710046175006});
static_assert(sample_stream(0, EpochIndex{0}, SampleIndex{0}) == 0xd90e959f6e72cba3u);
static_assert(sample_stream(42, EpochIndex{3}, SampleIndex{49999}) == 0x7b26c95074e51f0cu);

}  // namespace

TEST_CASE("an order is a bijection of [0, n) and fill agrees with single positions") {
  for (std::int64_t const size : {1, 2, 3, 4, 5, 7, 8, 9, 10, 31, 100, 1000, 1023, 1024, 1025, 4097, 65536, 65537}) {
    ShuffledOrder const order{size, 5, EpochIndex{2}};
    std::vector<std::int64_t> const samples = whole(order);
    CAPTURE(size);
    REQUIRE(is_permutation_of_all(samples));
    for (std::int64_t position = 0; position < size; position += 1 + size / 97) {
      REQUIRE(order[position] == samples[static_cast<std::size_t>(position)]);
    }
    for (std::int64_t first = 0; first <= size; first += 1 + size / 13) {
      std::vector<std::int64_t> range(static_cast<std::size_t>(std::min<std::int64_t>(size - first, 77)));
      order.fill(first, range);
      REQUIRE(std::equal(range.begin(), range.end(), samples.begin() + first));
    }
  }
}

TEST_CASE("every size up to 600 gives a bijection") {
  for (std::int64_t size = 1; size <= 600; ++size) {
    CAPTURE(size);
    REQUIRE(is_permutation_of_all(whole(ShuffledOrder{size, 1, EpochIndex{size}})));
  }
}

TEST_CASE("the largest orders work in place") {
  constexpr std::int64_t size = std::numeric_limits<std::int64_t>::max();
  ShuffledOrder const order{size, 1, EpochIndex{0}};
  std::set<std::int64_t> seen;
  for (std::int64_t position = size - 1000; position < size; ++position) {
    std::int64_t const sample = order[position];
    REQUIRE(sample >= 0);
    REQUIRE(sample < size);
    REQUIRE(seen.insert(sample).second);
  }
}

TEST_CASE("an order depends on seed and on epoch, and on nothing else") {
  std::vector<std::int64_t> const samples = whole(ShuffledOrder{1000, 1, EpochIndex{1}});
  REQUIRE(samples == whole(ShuffledOrder{1000, 1, EpochIndex{1}}));
  REQUIRE(samples != whole(ShuffledOrder{1000, 2, EpochIndex{1}}));
  REQUIRE(samples != whole(ShuffledOrder{1000, 1, EpochIndex{2}}));
  REQUIRE(samples != whole(ShuffledOrder{1000, 1, EpochIndex{0}}));
  REQUIRE(whole(ShuffledOrder{1000, 0, EpochIndex{1}}) != whole(ShuffledOrder{1000, 1, EpochIndex{0}}));
  // Two unrelated orders of 1000 agree at 1 position on average.
  for (std::int64_t epoch = 2; epoch < 50; ++epoch) {
    std::vector<std::int64_t> const other = whole(ShuffledOrder{1000, 1, EpochIndex{epoch}});
    int same = 0;
    for (std::size_t i = 0; i < samples.size(); ++i) same += samples[i] == other[i] ? 1 : 0;
    REQUIRE(same < 10);
  }
}

// The seeds are fixed, so these are exact computations; five standard deviations leave room for another good function.
TEST_CASE("all orders of few samples are equally likely") {
  for (std::int64_t size = 2; size <= 6; ++size) {
    int orders = 1;
    for (int i = 2; i <= size; ++i) orders *= i;
    int const epochs = orders * 200;
    std::map<std::vector<std::int64_t>, int> seen;
    for (int epoch = 0; epoch < epochs; ++epoch) ++seen[whole(ShuffledOrder{size, 11, EpochIndex{epoch}})];
    std::vector<int> counts(static_cast<std::size_t>(orders));
    std::size_t at = 0;
    for (auto const& [order, count] : seen) counts[at++] = count;
    CAPTURE(size);
    REQUIRE(std::abs(excess(counts, 200, orders - 1)) < 5);
  }
}

TEST_CASE("positions and neighbours are uniform over epochs") {
  for (std::int64_t const size : {9, 16, 25, 100}) {
    auto const n = static_cast<std::size_t>(size);
    int const epochs = 60 * static_cast<int>(size);
    std::vector<int> places(n * n);
    std::vector<int> neighbours(n * n);
    for (int epoch = 0; epoch < epochs; ++epoch) {
      std::vector<std::int64_t> const samples = whole(ShuffledOrder{size, 3, EpochIndex{epoch}});
      for (std::size_t i = 0; i < n; ++i) {
        ++places[i * n + static_cast<std::size_t>(samples[i])];
        if (i > 0) ++neighbours[static_cast<std::size_t>(samples[i - 1]) * n + static_cast<std::size_t>(samples[i])];
      }
    }
    double const m = static_cast<double>(size);
    CAPTURE(size);
    REQUIRE(std::abs(excess(places, 60, (m - 1) * (m - 1))) < 5);
    // A sample is never its own neighbour: these cells are left out.
    std::vector<int> pairs;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        if (i != j) pairs.push_back(neighbours[i * n + j]);
      }
    }
    REQUIRE(std::abs(excess(pairs, 60, m * (m - 1) - 1)) < 5);
  }
}

TEST_CASE("neighbours in one long order are unrelated") {
  for (std::int64_t const size : {1024, 50000, 65537}) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      constexpr std::int64_t bins = 16;
      std::vector<std::int64_t> const samples = whole(ShuffledOrder{size, seed, EpochIndex{0}});
      std::vector<int> pairs(bins * bins);
      std::vector<int> steps(bins);
      for (std::size_t i = 1; i < samples.size(); ++i) {
        ++pairs[static_cast<std::size_t>(samples[i - 1] * bins / size * bins + samples[i] * bins / size)];
        ++steps[static_cast<std::size_t>((samples[i] - samples[i - 1] + size) % size * bins / size)];
      }
      double const n = static_cast<double>(size - 1);
      CAPTURE(size, seed);
      REQUIRE(std::abs(excess(pairs, n / (bins * bins), bins * bins - 1)) < 5);
      REQUIRE(std::abs(excess(steps, n / bins, bins - 1)) < 5);
    }
  }
}

TEST_CASE("half of all orders are odd permutations, odd grids included") {
  for (std::int64_t const size : {9, 25, 49, 121}) {
    int odd = 0;
    for (int epoch = 0; epoch < 1000; ++epoch) {
      std::vector<std::int64_t> samples = whole(ShuffledOrder{size, 8, EpochIndex{epoch}});
      bool parity = false;
      for (std::size_t i = 0; i < samples.size(); ++i) {
        while (samples[i] != static_cast<std::int64_t>(i)) {
          std::swap(samples[i], samples[static_cast<std::size_t>(samples[i])]);
          parity = !parity;
        }
      }
      odd += parity ? 1 : 0;
    }
    CAPTURE(size);
    REQUIRE(odd > 420);
    REQUIRE(odd < 580);
  }
}

TEST_CASE("sample streams differ by seed, epoch and sample") {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (int epoch = 0; epoch < 20; ++epoch) {
      for (int sample = 0; sample < 50; ++sample) {
        REQUIRE(seen.insert(sample_stream(seed, EpochIndex{epoch}, SampleIndex{sample})).second);
      }
    }
  }
}

TEST_CASE("positions outside of an order are refused") {
  ShuffledOrder const order{10, 1, EpochIndex{0}};
  auto const code = [](auto&& call) -> std::string {
    try {
      call();
    } catch (DataError const& error) {
      return error.code();
    }
    return "none";
  };
  std::vector<std::int64_t> two(2);
  REQUIRE(code([&] { (void)order[10]; }) == "TACIT-RD01");
  REQUIRE(code([&] { (void)order[-1]; }) == "TACIT-RD01");
  REQUIRE(code([&] { order.fill(9, two); }) == "TACIT-RD01");
  REQUIRE(code([&] { order.fill(-1, two); }) == "TACIT-RD01");
  REQUIRE(code([&] { order.fill(11, {}); }) == "TACIT-RD01");
  REQUIRE(code([&] { order.fill(10, {}); }) == "none");
  REQUIRE(code([&] { (void)ShuffledOrder{0, 1, EpochIndex{0}}[0]; }) == "TACIT-RD01");
  REQUIRE_THROWS_AS((ShuffledOrder{-1, 1, EpochIndex{0}}), tacit::ConfigError);
}

}  // namespace shuffle_tests
