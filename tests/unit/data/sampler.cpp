#include "tacit/data/sampler.hpp"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tacit/data/loader.hpp"

using tacit::ConfigError;
using tacit::DataError;
using tacit::EpochIndex;
using namespace tacit::data;

namespace sampler_tests {
namespace {

struct Batch {
  std::vector<std::int64_t> samples;
};
struct Numbers {
  std::int64_t count = 0;
  std::int64_t size() const { return count; }
  Batch get_batch(std::span<std::int64_t const> indices) const { return {{indices.begin(), indices.end()}}; }
};

template <class Sampler>
std::vector<std::int64_t> all(Sampler const& sampler, OrderRequest const& request) {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(sampler.count(request.samples)));
  sampler.order(request).fill(0, samples);
  return samples;
}

template <class Error>
std::pair<std::string, std::string> error_of(auto&& call) {
  try {
    call();
  } catch (Error const& error) {
    return {error.code(), error.what()};
  }
  return {"none", ""};
}

bool is_permutation_of_all(std::vector<std::int64_t> samples) {
  std::ranges::sort(samples);
  std::vector<std::int64_t> expected(samples.size());
  std::iota(expected.begin(), expected.end(), 0);
  return samples == expected;
}

std::vector<double> const weights{0, 1, 2, 0.5, 4, 0, 0.5};
std::vector<std::int64_t> const labels{7, 7, 7, 7, 7, -2, -2, 30, 7, 30};

/// What must hold for every sampler: a pure function of (seed, epoch, index), read in any pieces, the same for any
/// number of ranks that share a global batch.
template <class Sampler>
void check_laws(Sampler const& sampler, std::int64_t samples, bool depends_on_epoch, bool depends_on_ranks = false) {
  static_assert(tacit::data::sampler<Sampler>);
  OrderRequest const request{.samples = samples, .seed = 3, .epoch = EpochIndex{1}, .global_batch = 12};
  std::vector<std::int64_t> const whole = all(sampler, request);
  REQUIRE(whole == all(sampler, request));
  for (std::int64_t const sample : whole) {
    REQUIRE(sample >= 0);
    REQUIRE(sample < samples);
  }
  auto const order = sampler.order(request);
  for (std::size_t piece = 1; piece < whole.size(); piece += 3) {
    for (std::size_t first = 0; first < whole.size(); first += piece) {
      std::vector<std::int64_t> part(std::min(piece, whole.size() - first));
      order.fill(static_cast<std::int64_t>(first), part);
      REQUIRE(std::ranges::equal(part, std::span{whole}.subspan(first, part.size())));
    }
  }
  OrderRequest other = request;
  other.epoch = EpochIndex{2};
  REQUIRE((all(sampler, other) != whole) == depends_on_epoch);
  other = request;
  other.seed = 4;
  REQUIRE((all(sampler, other) != whole) == depends_on_epoch);
  for (std::int64_t const workers : {0, 3}) {
    for (int world = 1; world <= 4; ++world) {
      std::vector<std::vector<std::int64_t>> steps;
      for (int rank = 0; rank < world; ++rank) {
        auto batches = loader(Numbers{samples}, {.batch_size = 12 / world, .workers = workers}, sampler);
        batches.start_epoch(3, EpochIndex{1}, rank, world);
        steps.resize(static_cast<std::size_t>(batches.size()));
        std::optional<Batch> batch;
        for (auto& step : steps) {
          REQUIRE(batches.next(batch));
          if (batch) step.insert(step.end(), batch->samples.begin(), batch->samples.end());
        }
        REQUIRE_FALSE(batches.next(batch));
      }
      std::vector<std::int64_t> together;
      for (auto const& step : steps) together.insert(together.end(), step.begin(), step.end());
      if (!depends_on_ranks) REQUIRE(together == whole);
      if (depends_on_ranks) REQUIRE(is_permutation_of_all(together));
    }
  }
}

}  // namespace

TEST_CASE("every sampler is a pure function of seed, epoch and index") {
  check_laws(SequentialSampler{}, 50, false);
  check_laws(ShuffledSampler{}, 50, true);
  check_laws(WeightedSampler{.weights = weights, .samples = 40}, 7, true);
  std::vector<double> many(50);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i % 5);
  check_laws(WeightedSampler{.weights = many, .replacement = false}, 50, true);
  check_laws(ClassBalancedSampler{.labels = labels, .samples = 31}, 10, true);
  std::vector<std::int64_t> lengths(53);
  for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = static_cast<std::int64_t>(i * 37 % 11);
  check_laws(BucketedSampler{.lengths = lengths, .window = 3}, 53, true);
  check_laws(BucketedSampler{.lengths = lengths, .window = 3, .shuffle = false}, 53, false);
  check_laws(PerRankSampler{}, 53, true, true);
  check_laws(PerRankSampler{.shuffle = false}, 53, false, true);
}

TEST_CASE("with replacement, samples come as often as their weights say") {
  std::int64_t const draws = 80000;
  std::vector<std::int64_t> const samples = all(WeightedSampler{.weights = weights, .samples = draws}, {.samples = 7, .seed = 1});
  std::vector<double> counts(7);
  for (std::int64_t const sample : samples) counts[static_cast<std::size_t>(sample)] += 1;
  for (std::size_t i = 0; i < 7; ++i) {
    double const p = weights[i] / 8;
    double const sigma = std::sqrt(draws * p * (1 - p));
    REQUIRE(std::abs(counts[i] - draws * p) <= 4 * sigma);  // weight 0: exactly never
  }
}

TEST_CASE("without replacement, the first sample is drawn as its weight says and none comes twice") {
  WeightedSampler const sampler{.weights = weights, .replacement = false};
  REQUIRE(sampler.count(7) == 5);
  std::int64_t const epochs = 20000;
  std::vector<double> first(7);
  double second_after_four = 0;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    std::vector<std::int64_t> const samples = all(sampler, {.samples = 7, .seed = 1, .epoch = EpochIndex{epoch}});
    REQUIRE(std::set<std::int64_t>(samples.begin(), samples.end()) == std::set<std::int64_t>{1, 2, 3, 4, 6});
    first[static_cast<std::size_t>(samples[0])] += 1;
    if (samples[0] == 4 && samples[1] == 2) second_after_four += 1;
  }
  for (std::size_t i = 0; i < 7; ++i) {
    double const p = weights[i] / 8;
    REQUIRE(std::abs(first[i] - epochs * p) <= 4 * std::sqrt(epochs * p * (1 - p)));
  }
  double const p = 0.5 * 0.5;  // 4 of 8, then 2 of the 4 that are left
  REQUIRE(std::abs(second_after_four - epochs * p) <= 4 * std::sqrt(epochs * p * (1 - p)));
  REQUIRE(all(WeightedSampler{.weights = weights, .samples = 2, .replacement = false}, {.samples = 7}).size() == 2);
}

TEST_CASE("class-balanced: every run of classes has one of each, and a class's samples come round in turn") {
  std::vector<std::int64_t> const samples = all(ClassBalancedSampler{.labels = labels, .samples = 90}, {.samples = 10, .seed = 4});
  std::map<std::int64_t, std::vector<std::int64_t>> members;
  for (std::size_t i = 0; i < samples.size(); i += 3) {
    std::set<std::int64_t> classes;
    for (std::size_t k = i; k < i + 3; ++k) {
      std::int64_t const label = labels[static_cast<std::size_t>(samples[k])];
      classes.insert(label);
      members[label].push_back(samples[k]);
    }
    REQUIRE(classes == std::set<std::int64_t>{-2, 7, 30});
  }
  std::map<std::int64_t, std::size_t> const sizes{{-2, 2}, {7, 6}, {30, 2}};
  for (auto const& [label, list] : members) {
    std::size_t const size = sizes.at(label);
    for (std::size_t i = 0; i + size <= list.size(); i += size) {
      REQUIRE(std::set<std::int64_t>(list.begin() + static_cast<std::ptrdiff_t>(i), list.begin() + static_cast<std::ptrdiff_t>(i + size)).size() == size);
    }
  }
}

TEST_CASE("bucketed: batches of similar length, in random order, each sample once") {
  std::int64_t const count = 1003;
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = static_cast<std::int64_t>(i * 7919 % 500);
  auto const padding = [&](std::vector<std::int64_t> const& samples) {
    std::int64_t waste = 0;
    for (std::size_t first = 0; first < samples.size(); first += 10) {
      std::span const batch = std::span{samples}.subspan(first, std::min<std::size_t>(10, samples.size() - first));
      std::int64_t longest = 0;
      for (std::int64_t const sample : batch) longest = std::max(longest, lengths[static_cast<std::size_t>(sample)]);
      for (std::int64_t const sample : batch) waste += longest - lengths[static_cast<std::size_t>(sample)];
    }
    return waste;
  };
  OrderRequest const request{.samples = count, .seed = 6, .global_batch = 10};
  std::vector<std::int64_t> const bucketed = all(BucketedSampler{.lengths = lengths, .window = 20}, request);
  std::vector<std::int64_t> const shuffled = all(ShuffledSampler{}, request);
  REQUIRE(is_permutation_of_all(bucketed));
  REQUIRE(padding(bucketed) * 8 < padding(shuffled));
  std::vector<std::int64_t> longest;
  for (std::size_t first = 0; first + 10 <= bucketed.size(); first += 10) longest.push_back(lengths[static_cast<std::size_t>(bucketed[first + 9])]);
  REQUIRE_FALSE(std::ranges::is_sorted(std::span{longest}.first(20)));
  REQUIRE(is_permutation_of_all(all(BucketedSampler{.lengths = lengths}, {.samples = count, .global_batch = std::numeric_limits<std::int64_t>::max()})));
}

TEST_CASE("per rank: each process reads a part of its own and no other") {
  for (std::int64_t const count : {4, 13, 53}) {
    for (int world = 1; world <= 4; ++world) {
      std::int64_t first = 0;
      for (int rank = 0; rank < world; ++rank) {
        auto batches = loader(Numbers{count}, {.batch_size = 3}, PerRankSampler{});
        std::vector<std::int64_t> seen;
        for (auto const& batch : batches.epoch(2, EpochIndex{5}, rank, world)) seen.insert(seen.end(), batch.samples.begin(), batch.samples.end());
        std::ranges::sort(seen);
        for (std::int64_t const sample : seen) REQUIRE(sample == first++);
      }
      REQUIRE(first == count);
    }
  }
}

TEST_CASE("a sampler may have more or fewer positions than the dataset has samples") {
  for (std::int64_t const positions : {1, 5, 23}) {
    auto batches = loader(Numbers{7}, {.batch_size = 4}, WeightedSampler{.weights = weights, .samples = positions});
    REQUIRE(batches.size() == (positions + 3) / 4);
    REQUIRE(batches.samples() == 7);
    batches.start_epoch(0, EpochIndex{0});
    REQUIRE(batches.global_batch_samples(batches.size() - 1) == (positions - 1) % 4 + 1);
  }
}

namespace {
/// A sampler of the user's own.
struct Backwards {
  std::int64_t from = 0;
  std::int64_t positions = 0;
  struct Order {
    std::int64_t from;
    void fill(std::int64_t first, std::span<std::int64_t> into) const {
      for (std::int64_t& sample : into) sample = from - first++;
    }
  };
  std::int64_t count(std::int64_t) const { return positions; }
  Order order(OrderRequest const&) const { return {from}; }
};
}  // namespace

TEST_CASE("a sampler of one's own, and what it may not give") {
  for (std::int64_t const workers : {0, 2}) {
    auto batches = loader(Numbers{4}, {.batch_size = 4, .workers = workers}, Backwards{3, 4});
    batches.start_epoch(0, EpochIndex{0});
    std::optional<Batch> batch;
    REQUIRE(batches.next(batch));
    REQUIRE(batch->samples == std::vector<std::int64_t>{3, 2, 1, 0});
    auto beyond = loader(Numbers{4}, {.batch_size = 2, .workers = workers}, Backwards{4, 4});
    beyond.start_epoch(0, EpochIndex{0});
    auto const [code, text] = error_of<DataError>([&] { beyond.next(batch); });
    REQUIRE(code == "TACIT-RD72");
    REQUIRE(text.find("sample 4 at position 0") != std::string::npos);
  }
  auto const [code, text] = error_of<DataError>([] { (void)loader(Numbers{4}, {.batch_size = 4}, Backwards{3, 0}); });
  REQUIRE(code == "TACIT-RD70");
  REQUIRE(text.find("length is 0") != std::string::npos);
}

TEST_CASE("bad input: samplers that do not fit their dataset") {
  LoaderOptions const options{.batch_size = 2};
  auto const code = [&](auto const& sampler, std::int64_t count = 7) {
    return error_of<ConfigError>([&] { (void)loader(Numbers{count}, options, sampler); }).first;
  };
  REQUIRE(code(WeightedSampler{.weights = weights}, 8) == "TACIT-RC16");
  REQUIRE(code(ClassBalancedSampler{.labels = labels}) == "TACIT-RC16");
  REQUIRE(code(BucketedSampler{.lengths = {1, 2}}) == "TACIT-RC16");
  double const nan = std::numeric_limits<double>::quiet_NaN();
  double const infinity = std::numeric_limits<double>::infinity();
  for (double const bad : {-1.0, nan, infinity}) {
    REQUIRE(code(WeightedSampler{.weights = {1, bad}}, 2) == "TACIT-RC17");
  }
  REQUIRE(code(WeightedSampler{.weights = {0, 0}}, 2) == "TACIT-RC17");
  REQUIRE(code(WeightedSampler{.weights = {1e308, 1e308}}, 2) == "TACIT-RC17");
  REQUIRE(code(WeightedSampler{.weights = weights, .samples = 6, .replacement = false}) == "TACIT-RC18");
  REQUIRE(code(WeightedSampler{.weights = weights, .samples = 5, .replacement = false}) == "none");
  REQUIRE(code(BucketedSampler{.lengths = std::vector<std::int64_t>(7), .window = 0}) == "TACIT-RC19");
  auto const both = [] { (void)loader(Numbers{7}, {.batch_size = 2, .shuffle = true}, SequentialSampler{}); };
  REQUIRE(error_of<ConfigError>(both).first == "TACIT-RC65");
}

}  // namespace sampler_tests
