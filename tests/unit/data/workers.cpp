#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tacit/data/loader.hpp"
#include "tacit/data/split.hpp"

using tacit::ConfigError;
using tacit::DataError;
using tacit::EpochIndex;
using tacit::Random;
using tacit::UsageError;
using tacit::data::loader;
using tacit::data::LoaderOptions;

namespace workers_tests {
namespace {

struct Reads {
  std::atomic<int> calls{0};
  std::atomic<int> in_flight{0};
};

/// Samples with noise of their own; counts its reads and can be slow or throw.
struct Noisy {
  std::int64_t count = 0;
  std::shared_ptr<Reads> reads = std::make_shared<Reads>();
  std::vector<std::int64_t> bad{};
  bool uneven = false;

  struct Sample {
    std::int64_t index;
    std::uint64_t noise;
  };
  std::int64_t size() const { return count; }
  Sample get(std::int64_t index, Random& random) const {
    ++reads->calls;
    ++reads->in_flight;
    if (uneven && index % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds{index % 7 * 20});
    --reads->in_flight;
    if (std::ranges::find(bad, index) != bad.end()) {
      if (index % 2 == 0) throw index;
      throw std::out_of_range{"cannot read " + std::to_string(index)};
    }
    for (std::int64_t i = 0; i < index % 4; ++i) random();
    return {index, random()};
  }
};

using Batch = std::pair<std::vector<std::int64_t>, std::vector<std::uint64_t>>;

/// Batches at once, and the thread that made each.
struct Numbers {
  std::int64_t count = 0;
  struct Batch {
    std::vector<std::int64_t> samples;
    std::thread::id made_by;
  };
  std::int64_t size() const { return count; }
  Batch get_batch(std::span<std::int64_t const> indices) const {
    return {{indices.begin(), indices.end()}, std::this_thread::get_id()};
  }
};

template <class Source>
std::vector<Batch> drain(Source& source) {
  std::vector<Batch> batches;
  std::optional<Batch> batch;
  while (source.next(batch)) batches.push_back(batch ? *batch : Batch{});
  return batches;
}

std::int64_t prefetch_of(std::int64_t choice, std::int64_t workers) { return choice == 0 ? 2 * std::max<std::int64_t>(workers, 1) : choice; }

template <class Error>
std::string code_of(auto&& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.code();
  }
  return "none";
}

}  // namespace

TEST_CASE("batches, their order and their noise are the same for any number of workers, ranks and batches ahead") {
  for (std::int64_t const count : {1, 7, 53}) {
    for (int world = 1; world <= 4; ++world) {
      std::int64_t const global = 12;
      auto whole = loader(Noisy{count}, {.batch_size = global, .shuffle = true});
      whole.start_epoch(5, EpochIndex{2});
      std::vector<Batch> const expected = drain(whole);
      for (std::int64_t workers = 0; workers <= 4; ++workers) {
        for (std::int64_t const prefetch : {0, 1, 2, 5}) {
          CAPTURE(count, world, workers, prefetch);
          Noisy data{.count = count, .uneven = true};
          auto batches = loader(data, {.batch_size = global / world, .shuffle = true, .workers = workers, .prefetch = prefetch_of(prefetch, workers)});
          std::vector<Batch> together(expected.size());
          for (int rank = 0; rank < world; ++rank) {
            batches.start_epoch(5, EpochIndex{2}, rank, world);
            std::vector<Batch> const mine = drain(batches);
            REQUIRE(mine.size() == expected.size());
            for (std::size_t i = 0; i < mine.size(); ++i) {
              together[i].first.insert(together[i].first.end(), mine[i].first.begin(), mine[i].first.end());
              together[i].second.insert(together[i].second.end(), mine[i].second.begin(), mine[i].second.end());
            }
          }
          REQUIRE(together == expected);
          REQUIRE(data.reads->calls == count);
        }
      }
    }
  }
}

TEST_CASE("noise depends on seed, epoch and sample, and reaches samples through a split") {
  auto [part, rest] = tacit::data::split(Noisy{40}, {30, 10}, 1);
  auto batches = loader(part, {.batch_size = 30, .workers = 2});
  auto const noise = [&](std::uint64_t seed, std::int64_t epoch) {
    batches.start_epoch(seed, EpochIndex{epoch});
    return drain(batches).at(0);
  };
  Batch const first = noise(1, 0);
  REQUIRE(std::ranges::equal(first.first, part.indices()));
  REQUIRE(first == noise(1, 0));
  REQUIRE(first.second != noise(1, 1).second);
  REQUIRE(first.second != noise(2, 0).second);
  std::vector<std::uint64_t> sorted = first.second;
  std::ranges::sort(sorted);
  REQUIRE(std::ranges::adjacent_find(sorted) == sorted.end());
  Random expected{tacit::data::sample_stream(1, EpochIndex{0}, tacit::SampleIndex{first.first[0]})};
  for (std::int64_t i = 0; i < first.first[0] % 4; ++i) expected();
  REQUIRE(first.second[0] == expected());
}

TEST_CASE("workers fetch on their own threads, none does where none was asked for") {
  for (std::int64_t const workers : {0, 1, 3}) {
    auto batches = loader(Numbers{100}, {.batch_size = 10, .workers = workers});
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      batches.start_epoch(0, EpochIndex{epoch});
      std::optional<Numbers::Batch> batch;
      std::int64_t next = 0;
      while (batches.next(batch)) {
        REQUIRE((batch->made_by == std::this_thread::get_id()) == (workers == 0));
        for (std::int64_t const sample : batch->samples) REQUIRE(sample == next++);
      }
      REQUIRE(next == 100);
    }
  }
}

TEST_CASE("no more batches are read ahead than prefetch says") {
  for (std::int64_t const prefetch : {1, 2, 7}) {
    Noisy data{1000};
    auto batches = loader(data, {.batch_size = 1, .workers = 4, .prefetch = prefetch});
    batches.start_epoch(0, EpochIndex{0});
    std::optional<Batch> batch;
    for (std::int64_t taken = 1; taken <= 20; ++taken) {
      REQUIRE(batches.next(batch));
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
      REQUIRE(data.reads->calls <= taken + prefetch);
      REQUIRE(data.reads->calls >= taken);
    }
  }
}

TEST_CASE("every way out of an epoch joins the workers") {
  for (std::int64_t const workers : {1, 2, 4}) {
    Noisy data{.count = 500, .uneven = true};
    auto const expect = [&](auto& source) {
      source.start_epoch(3, EpochIndex{0});
      return drain(source).size();
    };
    {  // destroyed before, in and after an epoch
      auto untouched = loader(data, {.batch_size = 4, .workers = workers});
      auto begun = loader(data, {.batch_size = 4, .workers = workers});
      begun.start_epoch(1, EpochIndex{0});
      std::optional<Batch> batch;
      REQUIRE(begun.next(batch));
      auto finished = loader(data, {.batch_size = 4, .workers = workers});
      REQUIRE(expect(finished) == 125);
    }
    REQUIRE(data.reads->in_flight == 0);
    int const calls = data.reads->calls;
    std::this_thread::sleep_for(std::chrono::milliseconds{2});
    REQUIRE(data.reads->calls == calls);

    auto batches = loader(data, {.batch_size = 4, .shuffle = true, .workers = workers});
    batches.start_epoch(3, EpochIndex{1});
    std::vector<Batch> const second = drain(batches);
    batches.start_epoch(3, EpochIndex{0});
    std::optional<Batch> batch;
    for (int i = 0; i < 5; ++i) REQUIRE(batches.next(batch));
    batches.start_epoch(3, EpochIndex{1});  // in the middle of one
    REQUIRE(batches.position() == 0);
    REQUIRE(drain(batches) == second);
    try {  // an exception of the caller's
      auto left = loader(data, {.batch_size = 4, .workers = workers});
      left.start_epoch(0, EpochIndex{0});
      REQUIRE(left.next(batch));
      throw 1;
    } catch (int) {
    }
    REQUIRE(data.reads->in_flight == 0);
  }
}

TEST_CASE("a loader moved or copied in mid-epoch goes on where it was") {
  auto const make = [](std::int64_t workers) { return loader(Noisy{.count = 60, .uneven = true}, {.batch_size = 7, .shuffle = true, .workers = workers}); };
  auto plain = make(0);
  plain.start_epoch(8, EpochIndex{0});
  std::vector<Batch> const expected = drain(plain);
  auto from = make(3);
  from.start_epoch(8, EpochIndex{0});
  std::optional<Batch> batch;
  for (int i = 0; i < 3; ++i) REQUIRE(from.next(batch));
  auto copy = from;
  auto moved = std::move(from);
  REQUIRE(moved.position() == 3);
  std::vector<Batch> const rest(expected.begin() + 3, expected.end());
  REQUIRE(drain(moved) == rest);
  REQUIRE(drain(copy) == rest);
  auto assigned = make(2);
  assigned.start_epoch(1, EpochIndex{4});
  REQUIRE(assigned.next(batch));
  copy.start_epoch(8, EpochIndex{0});
  REQUIRE(copy.next(batch));
  assigned = std::move(copy);
  REQUIRE(drain(assigned) == std::vector<Batch>(expected.begin() + 1, expected.end()));
}

TEST_CASE("seek goes on at any batch and reads nothing that it passes over") {
  for (std::int64_t const workers : {0, 1, 3}) {
    Noisy data{50};
    auto batches = loader(data, {.batch_size = 8, .shuffle = true, .workers = workers});
    batches.start_epoch(4, EpochIndex{1});
    std::vector<Batch> const expected = drain(batches);
    for (std::int64_t at = 0; at <= batches.size(); ++at) {
      CAPTURE(workers, at);
      auto resumed = loader(data, {.batch_size = 8, .shuffle = true, .workers = workers});
      resumed.start_epoch(4, EpochIndex{1});
      int const before = data.reads->calls;
      resumed.seek(at);
      REQUIRE(resumed.position() == at);
      REQUIRE(data.reads->calls == before);
      REQUIRE(drain(resumed) == std::vector<Batch>(expected.begin() + at, expected.end()));
      REQUIRE(data.reads->calls == before + static_cast<int>(50 - std::min<std::int64_t>(50, at * 8)));
      resumed.seek(0);  // back, too
      REQUIRE(drain(resumed) == expected);
    }
    std::optional<Batch> batch;
    batches.seek(2);
    REQUIRE(batches.next(batch));
    batches.seek(5);  // while workers are ahead
    REQUIRE(batches.next(batch));
    REQUIRE(*batch == expected[5]);
    REQUIRE(code_of<UsageError>([&] { batches.seek(-1); }) == "TACIT-RD71");
    REQUIRE(code_of<UsageError>([&] { batches.seek(8); }) == "TACIT-RD71");
    auto fresh = loader(data, {.batch_size = 8, .workers = workers});
    REQUIRE(code_of<UsageError>([&] { fresh.seek(0); }) == "TACIT-RD12");
    REQUIRE(code_of<UsageError>([&] { fresh.next(batch); }) == "TACIT-RD12");
  }
}

TEST_CASE("bad input: a dataset that throws in a worker is reported once, with the sample, and the workers are joined") {
  for (std::int64_t const workers : {0, 1, 2, 4}) {
    for (std::int64_t const prefetch : {1, 3, 8}) {
      CAPTURE(workers, prefetch);
      Noisy data{.count = 40, .bad = {13, 22, 23}};
      auto batches = loader(data, {.batch_size = 4, .workers = workers, .prefetch = prefetch});
      batches.start_epoch(0, EpochIndex{6});
      std::vector<std::string> thrown;
      std::vector<std::int64_t> seen;
      std::optional<Batch> batch;
      for (bool more = true; more;) {
        try {
          more = batches.next(batch);
          if (batch) seen.insert(seen.end(), batch->first.begin(), batch->first.end());
        } catch (DataError const& error) {
          REQUIRE(error.code() == "TACIT-RD13");
          REQUIRE_FALSE(batch);
          thrown.push_back(error.where() + ": " + error.problem());
          REQUIRE(data.reads->in_flight == 0);
          int const calls = data.reads->calls;
          std::this_thread::sleep_for(std::chrono::milliseconds{1});
          REQUIRE(data.reads->calls == calls);  // nobody reads on
          bool nested = false;
          try {
            std::rethrow_if_nested(error);
          } catch (std::out_of_range const& inner) {
            nested = std::string{inner.what()} == "cannot read 13";
          } catch (std::int64_t inner) {
            nested = inner == 22;
          }
          REQUIRE(nested);
        }
      }
      REQUIRE(thrown == std::vector<std::string>{
                            "loader, epoch 6, batch 3: fetching sample 13 failed: cannot read 13",
                            "loader, epoch 6, batch 5: fetching sample 22 failed: an exception that is no std::exception"});
      REQUIRE(seen.size() == 32);
    }
  }
}

TEST_CASE("bad input: an exception nobody fetches leaves nothing behind") {
  Noisy data{.count = 40, .bad = {4, 5, 6, 7, 8}};
  auto batches = loader(data, {.batch_size = 4, .workers = 3, .prefetch = 8});
  batches.start_epoch(0, EpochIndex{0});
  std::optional<Batch> batch;
  REQUIRE(batches.next(batch));
  std::this_thread::sleep_for(std::chrono::milliseconds{2});
  batches.seek(3);
  REQUIRE(batches.next(batch));
  REQUIRE(batch->first.front() == 12);
}

TEST_CASE("bad input: numbers of workers and of batches ahead that cannot be") {
  REQUIRE(code_of<ConfigError>([] { (void)loader(Noisy{4}, {.batch_size = 1, .workers = 1025}); }) == "TACIT-RC63");
  REQUIRE(code_of<ConfigError>([] { (void)loader(Noisy{4}, {.batch_size = 1, .workers = 1, .prefetch = 0}); }) == "TACIT-RC64");
  REQUIRE(code_of<ConfigError>([] { (void)loader(Noisy{4}, {.batch_size = 1, .workers = -1}); }) == "TACIT-RC01");
  REQUIRE(code_of<ConfigError>([] { (void)loader(Noisy{4}, {.batch_size = 1, .workers = tacit::unset}); }) == "none");
  using Plain = tacit::data::Loader<Noisy, tacit::data::DefaultCollate, tacit::data::OptionsSampler, false>;
  REQUIRE(code_of<ConfigError>([] { Plain{Noisy{4}, {.batch_size = 1, .workers = 1}}; }) == "TACIT-RC63");
}

TEST_CASE("a loader that cannot fetch ahead gives the same batches and holds no pool") {
  using Plain = tacit::data::Loader<Noisy, tacit::data::DefaultCollate, tacit::data::OptionsSampler, false>;
  static_assert(sizeof(Plain) < sizeof(tacit::data::Loader<Noisy>));
  Plain plain{Noisy{10}, {.batch_size = 3, .shuffle = true}};
  auto ahead = loader(Noisy{10}, {.batch_size = 3, .shuffle = true, .workers = 2});
  plain.start_epoch(7, tacit::EpochIndex{1});
  ahead.start_epoch(7, tacit::EpochIndex{1});
  std::optional<Plain::batch_type> left, right;
  while (plain.next(left)) {
    REQUIRE(ahead.next(right));
    REQUIRE(left == right);
  }
  REQUIRE(!ahead.next(right));
}

TEST_CASE("an epoch is a range for a hand-written loop, and can be left early") {
  for (std::int64_t const workers : {0, 2}) {
    auto batches = loader(Noisy{20}, {.batch_size = 6, .workers = workers});
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<std::int64_t> seen;
      for (auto& batch : batches.epoch(1, EpochIndex{epoch})) {
        seen.insert(seen.end(), batch.first.begin(), batch.first.end());
        if (epoch == 1) break;
      }
      REQUIRE(seen.size() == (epoch == 1 ? 6U : 20U));
    }
    std::size_t steps = 0;
    for (auto const& batch : tacit::data::epoch(batches, 1, EpochIndex{0}, 2, 4)) steps += batch.first.empty() ? 0U : 1U;
    REQUIRE(steps == 1);  // of 20 samples, 4 ranks take 6 each: rank 2 has samples once
  }
}

}  // namespace workers_tests
