#include "tacit/data/loader.hpp"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tacit/data/split.hpp"

using tacit::ConfigError;
using tacit::DataError;
using tacit::EpochIndex;
using tacit::UsageError;
using tacit::data::loader;
using tacit::data::Loader;
using tacit::data::LoaderOptions;
using tacit::data::split;
using tacit::data::Subset;

namespace {

struct Batch {
  std::vector<std::int64_t> samples;
};

/// A batch is the list of its samples; remembers where the indices lay.
struct Numbers {
  std::int64_t count = 0;
  mutable std::vector<std::int64_t const*> seen_at{};
  mutable int calls = 0;

  std::int64_t size() const { return count; }
  Batch get_batch(std::span<std::int64_t const> indices) const {
    ++calls;
    seen_at.push_back(indices.data());
    return {{indices.begin(), indices.end()}};
  }
};

struct OnlyGet {
  std::int64_t size() const { return 1; }
  int get(std::int64_t) const { return 1; }
};
struct VoidBatch {
  std::int64_t size() const { return 1; }
  void get_batch(std::span<std::int64_t const>) const {}
};
struct MutableSize {
  std::int64_t size() { return 1; }
  Batch get_batch(std::span<std::int64_t const>) const { return {}; }
};
struct NoInteger {
  double size() const { return 1; }
  Batch get_batch(std::span<std::int64_t const>) const { return {}; }
};

/// A view that renumbers and does something of its own to a batch.
struct Negated : Subset<Numbers> {
  using Subset::Subset;
  Batch get_batch(std::span<std::int64_t const> indices) const {
    Batch batch = Subset::get_batch(indices);
    for (std::int64_t& sample : batch.samples) sample = -sample;
    return batch;
  }
};

static_assert(tacit::dataset<Numbers> && tacit::dataset<Numbers&> && tacit::dataset<Numbers const&>);
static_assert(tacit::dataset<tacit::dataset_archetype>);
static_assert(tacit::dataset<OnlyGet> && tacit::sample_dataset<OnlyGet> && !tacit::batch_dataset<OnlyGet>);
static_assert(!tacit::dataset<VoidBatch> && !tacit::dataset<MutableSize> &&
              !tacit::dataset<NoInteger> && !tacit::dataset<int> && !tacit::dataset<std::vector<Batch>>);
static_assert(tacit::index_view<Subset<Numbers>> && tacit::index_view<Subset<Subset<Numbers>>>);
static_assert(!tacit::index_view<Numbers> && !tacit::index_view<Negated>);
static_assert(tacit::planned_batch_source<Loader<Numbers>> && tacit::planned_batch_source<Loader<Numbers&>> &&
              tacit::planned_batch_source<Loader<Numbers const&>>);
static_assert(!tacit::batch_source<Numbers> && !tacit::dataset<Loader<Numbers>>);
static_assert(std::same_as<tacit::batch_of_t<Subset<Subset<Numbers>> const&>, Batch>);

template <class Source>
std::vector<std::vector<std::int64_t>> drain(Source& source) {
  std::vector<std::vector<std::int64_t>> batches;
  std::optional<Batch> batch;
  while (source.next(batch)) batches.push_back(batch ? batch->samples : std::vector<std::int64_t>{});
  REQUIRE(!batch);
  return batches;
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

bool has(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

}  // namespace

template class tacit::data::Loader<tacit::dataset_archetype&>;
template class tacit::data::Loader<tacit::dataset_archetype const&>;

TEST_CASE("in order, a loader gives consecutive batches and a smaller last one") {
  Numbers const numbers{7};
  auto batches = loader(numbers, {.batch_size = 3});
  REQUIRE(batches.size() == 3);
  batches.start_epoch(1, EpochIndex{0});
  REQUIRE(batches.batch_samples(0) == 3);
  REQUIRE(batches.batch_samples(2) == 1);
  REQUIRE(drain(batches) == std::vector<std::vector<std::int64_t>>{{0, 1, 2}, {3, 4, 5}, {6}});
  REQUIRE(batches.position() == 3);
  std::optional<Batch> batch;
  REQUIRE_FALSE(batches.next(batch));
  REQUIRE(batches.position() == 3);

  auto whole_batches = loader(numbers, {.batch_size = 3, .drop_last = true});
  REQUIRE(whole_batches.size() == 2);
  whole_batches.start_epoch(1, EpochIndex{0});
  REQUIRE(drain(whole_batches) == std::vector<std::vector<std::int64_t>>{{0, 1, 2}, {3, 4, 5}});
}

TEST_CASE("a batch larger than the dataset is the dataset") {
  for (std::int64_t const batch_size : {std::int64_t{8}, std::numeric_limits<std::int64_t>::max()}) {
    auto batches = loader(Numbers{7}, {.batch_size = batch_size});
    REQUIRE(batches.size() == 1);
    REQUIRE(batches.size(3) == 1);
    batches.start_epoch(1, EpochIndex{0}, 1, 3);
    REQUIRE(drain(batches) == std::vector<std::vector<std::int64_t>>{{3, 4}});
  }
}

TEST_CASE("the ranks together see, batch by batch, what one process with the global batch sees") {
  for (std::int64_t const count : {1, 2, 3, 5, 8, 12, 31, 64, 97}) {
    Numbers const numbers{count};
    for (std::int64_t const batch_size : {1, 2, 3, 5, 16}) {
      for (bool const shuffle : {false, true}) {
        for (bool const drop_last : {false, true}) {
          for (int world = 1; world <= 4; ++world) {
            CAPTURE(count, batch_size, shuffle, drop_last, world);
            std::int64_t const global = batch_size * world;
            LoaderOptions const options{.batch_size = batch_size, .shuffle = shuffle, .drop_last = drop_last};
            if (drop_last && count < batch_size) continue;  // refused at construction, see below
            auto part = loader(numbers, options);
            if (drop_last && count < global) {
              REQUIRE(error_of<ConfigError>([&] { part.start_epoch(9, EpochIndex{4}, 0, world); }).first ==
                      "TACIT-RC13");
              continue;
            }
            auto one = loader(numbers, {.batch_size = global, .shuffle = shuffle, .drop_last = drop_last});
            one.start_epoch(9, EpochIndex{4});
            std::int64_t const steps = part.size(world);
            REQUIRE(steps == one.size());
            std::vector<std::vector<std::int64_t>> together(static_cast<std::size_t>(steps));
            std::vector<std::int64_t> fewest(together.size(), std::numeric_limits<std::int64_t>::max());
            std::vector<std::int64_t> most(together.size(), 0);
            for (int rank = 0; rank < world; ++rank) {
              part.start_epoch(9, EpochIndex{4}, rank, world);
              REQUIRE(part.size() == steps);
              std::vector<std::vector<std::int64_t>> const mine = drain(part);
              REQUIRE(mine.size() == together.size());
              for (std::size_t step = 0; step < mine.size(); ++step) {
                auto const index = static_cast<std::int64_t>(step);
                REQUIRE(static_cast<std::int64_t>(mine[step].size()) == part.batch_samples(index));
                REQUIRE(part.global_batch_samples(index) == one.batch_samples(index));
                together[step].insert(together[step].end(), mine[step].begin(), mine[step].end());
                fewest[step] = std::min(fewest[step], part.batch_samples(index));
                most[step] = std::max(most[step], part.batch_samples(index));
              }
            }
            REQUIRE(together == drain(one));
            for (std::size_t step = 0; step < together.size(); ++step) REQUIRE(most[step] - fewest[step] <= 1);
          }
        }
      }
    }
  }
}

TEST_CASE("an epoch has every sample once, for any size, batch and drop_last") {
  for (std::int64_t count = 1; count <= 40; ++count) {
    for (std::int64_t batch_size = 1; batch_size <= 12; ++batch_size) {
      CAPTURE(count, batch_size);
      auto batches = loader(Numbers{count}, {.batch_size = batch_size, .shuffle = true});
      batches.start_epoch(3, EpochIndex{1});
      std::vector<std::int64_t> all;
      std::int64_t planned = 0;
      for (std::vector<std::int64_t> const& batch : drain(batches)) all.insert(all.end(), batch.begin(), batch.end());
      for (std::int64_t i = 0; i < batches.size(); ++i) planned += batches.batch_samples(i);
      REQUIRE(planned == count);
      std::ranges::sort(all);
      std::vector<std::int64_t> expected(static_cast<std::size_t>(count));
      std::iota(expected.begin(), expected.end(), 0);
      REQUIRE(all == expected);
      if (count >= batch_size) {
        REQUIRE(loader(Numbers{count}, {.batch_size = batch_size, .drop_last = true}).size() == count / batch_size);
      }
    }
  }
}

TEST_CASE("the order is that of ShuffledOrder, beyond the part that is prepared at once") {
  std::int64_t const count = 200'003;
  auto batches = loader(Numbers{count}, {.batch_size = 1000, .shuffle = true});
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    batches.start_epoch(77, EpochIndex{epoch});
    std::vector<std::int64_t> all;
    for (std::vector<std::int64_t> const& batch : drain(batches)) all.insert(all.end(), batch.begin(), batch.end());
    std::vector<std::int64_t> expected(static_cast<std::size_t>(count));
    tacit::data::ShuffledOrder{count, 77, EpochIndex{epoch}}.fill(0, expected);
    REQUIRE(all == expected);
  }
}

TEST_CASE("epochs and seeds give different orders, and an epoch can begin anew in the middle of one") {
  auto batches = loader(Numbers{50}, {.batch_size = 8, .shuffle = true});
  batches.start_epoch(1, EpochIndex{0});
  auto const first = drain(batches);
  batches.start_epoch(1, EpochIndex{1});
  auto const second = drain(batches);
  batches.start_epoch(2, EpochIndex{0});
  auto const other_seed = drain(batches);
  REQUIRE(first != second);
  REQUIRE(first != other_seed);
  batches.start_epoch(1, EpochIndex{1});
  std::optional<Batch> batch;
  REQUIRE(batches.next(batch));
  REQUIRE(batches.position() == 1);
  batches.start_epoch(1, EpochIndex{0});
  REQUIRE(batches.position() == 0);
  REQUIRE(drain(batches) == first);

  auto own_seed = loader(Numbers{50}, {.batch_size = 8, .shuffle = true, .seed = 1});
  own_seed.start_epoch(1234, EpochIndex{0});
  REQUIRE(drain(own_seed) == first);
}

TEST_CASE("indices lie in one buffer for the whole run") {
  Numbers numbers{1000};
  auto batches = loader(numbers, {.batch_size = 32, .shuffle = true});
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    batches.start_epoch(1, EpochIndex{epoch});
    drain(batches);
  }
  REQUIRE(numbers.seen_at.size() == 96);
  for (std::size_t i = 0; i < numbers.seen_at.size(); ++i) {
    REQUIRE(numbers.seen_at[i] == numbers.seen_at[0] + static_cast<std::ptrdiff_t>(i % 32 * 32));
  }
}

TEST_CASE("an lvalue is borrowed, an rvalue taken over") {
  Numbers numbers{4};
  auto borrowed = loader(numbers, {.batch_size = 2});
  static_assert(std::same_as<decltype(borrowed), Loader<Numbers&>>);
  REQUIRE(&borrowed.base() == &numbers);
  auto owned = loader(std::move(numbers), {.batch_size = 2});
  static_assert(std::same_as<decltype(owned), Loader<Numbers>>);
  auto moved = std::move(owned);
  moved.start_epoch(0, EpochIndex{0});
  REQUIRE(drain(moved).size() == 2);
}

TEST_CASE("split deals every sample at most once, the same for the same seed") {
  auto [train, valid, test] = split(Numbers{100}, {70, 20, 5}, 42);
  REQUIRE(train.size() == 70);
  REQUIRE(valid.size() == 20);
  REQUIRE(test.size() == 5);
  REQUIRE(&train.base() == &test.base());
  std::vector<std::int64_t> all;
  for (auto const* part : {&train, &valid, &test})
    all.insert(all.end(), part->indices().begin(), part->indices().end());
  std::vector<std::int64_t> sorted = all;
  std::ranges::sort(sorted);
  REQUIRE(std::ranges::adjacent_find(sorted) == sorted.end());
  REQUIRE(sorted.front() >= 0);
  REQUIRE(sorted.back() < 100);
  REQUIRE_FALSE(std::ranges::is_sorted(train.indices()));

  auto const [again, rest] = split(Numbers{100}, {70, 30}, 42);
  REQUIRE(std::ranges::equal(again.indices(), train.indices()));
  auto const [other, rest_of_other] = split(Numbers{100}, {70, 30}, 43);
  REQUIRE_FALSE(std::ranges::equal(other.indices(), train.indices()));
}

TEST_CASE("a loader reads subsets of subsets through one call of the dataset that has the data") {
  auto [part, rest] = split(Numbers{100}, {50, 50}, 1);
  auto [inner, others] = split(part, {20, 30}, 2);
  auto batches = loader(inner, {.batch_size = 8});
  batches.start_epoch(0, EpochIndex{0});
  std::vector<std::int64_t> all;
  for (auto const& batch : drain(batches)) all.insert(all.end(), batch.begin(), batch.end());
  std::vector<std::int64_t> expected;
  for (std::int64_t const index : inner.indices()) expected.push_back(part.indices()[static_cast<std::size_t>(index)]);
  REQUIRE(all == expected);
  REQUIRE(inner.base().base().calls == 3);

  std::vector<std::int64_t> const some{3, 0, 19};
  REQUIRE(inner.get_batch(some).samples == std::vector{expected[3], expected[0], expected[19]});
}

TEST_CASE("a type derived from a subset keeps its own get_batch") {
  Negated const negated{std::make_shared<Numbers const>(10), {1, 2, 3}};
  auto batches = loader(negated, {.batch_size = 3});
  batches.start_epoch(0, EpochIndex{0});
  REQUIRE(drain(batches) == std::vector<std::vector<std::int64_t>>{{-1, -2, -3}});
}

TEST_CASE("bad input: an empty dataset is named with its length") {
  auto const [code, text] = error_of<DataError>([] { (void)loader(Numbers{0}, {.batch_size = 4}); });
  REQUIRE(code == "TACIT-RD10");
  REQUIRE(has(text, "loader"));
  REQUIRE(has(text, "length is 0"));
  REQUIRE(error_of<DataError>([] { (void)loader(Numbers{-5}, {.batch_size = 4}); }).first == "TACIT-RD10");
}

TEST_CASE("bad input: batch sizes that are no batch sizes") {
  auto const [code, text] = error_of<ConfigError>([] { (void)loader(Numbers{5}, {.batch_size = 0}); });
  REQUIRE(code == "TACIT-RC11");
  REQUIRE(has(text, "batch size is 0"));
  auto const [missing, what] = error_of<ConfigError>([] { (void)loader(Numbers{5}, {.batch_size = tacit::unset}); });
  REQUIRE(missing == "TACIT-RC11");
  REQUIRE(has(what, "not given"));
  REQUIRE(error_of<ConfigError>([] { (void)loader(Numbers{5}, {.batch_size = -1}); }).first == "TACIT-RC01");
}

TEST_CASE("bad input: drop_last that leaves no batch") {
  auto const [code, text] =
      error_of<ConfigError>([] { (void)loader(Numbers{5}, {.batch_size = 6, .drop_last = true}); });
  REQUIRE(code == "TACIT-RC13");
  REQUIRE(has(text, "0 batches"));
  REQUIRE(has(text, "smaller batch size or drop_last = false"));
  auto batches = loader(Numbers{5}, {.batch_size = 3, .drop_last = true});
  REQUIRE(error_of<ConfigError>([&] { batches.start_epoch(0, EpochIndex{0}, 1, 2); }).first == "TACIT-RC13");
  batches.start_epoch(0, EpochIndex{0}, 0, 1);
  REQUIRE(drain(batches).size() == 1);
}

TEST_CASE("fewer samples than ranks: the steps are equal, some ranks have none") {
  auto batches = loader(Numbers{2}, {.batch_size = 4});
  for (int rank = 0; rank < 4; ++rank) {
    batches.start_epoch(0, EpochIndex{0}, rank, 4);
    REQUIRE(batches.size() == 1);
    REQUIRE(batches.batch_samples(0) == (rank < 2 ? 1 : 0));
    std::optional<Batch> batch{Batch{{99}}};
    REQUIRE(batches.next(batch));
    REQUIRE(batch.has_value() == (rank < 2));
    REQUIRE_FALSE(batches.next(batch));
  }
}

TEST_CASE("bad input: ranks that do not exist") {
  auto batches = loader(Numbers{5}, {.batch_size = 1});
  struct Share {
    int rank;
    int world_size;
  };
  for (Share const share : {Share{2, 2}, Share{-1, 2}, Share{0, 0}, Share{0, -3}}) {
    auto const call = [&] { batches.start_epoch(0, EpochIndex{0}, share.rank, share.world_size); };
    REQUIRE(error_of<ConfigError>(call).first == "TACIT-RC12");
  }
  REQUIRE(error_of<ConfigError>([&] { (void)batches.size(0); }).first == "TACIT-RC12");
}

TEST_CASE("bad input: batches that are not there, and a batch before the first epoch") {
  auto batches = loader(Numbers{5}, {.batch_size = 2});
  REQUIRE(error_of<UsageError>([&] { (void)batches.batch_samples(3); }).first == "TACIT-RD11");
  REQUIRE(error_of<UsageError>([&] { (void)batches.batch_samples(-1); }).first == "TACIT-RD11");
  REQUIRE(error_of<UsageError>([&] { (void)batches.global_batch_samples(3); }).first == "TACIT-RD11");
  std::optional<Batch> batch;
  REQUIRE(error_of<UsageError>([&] { (void)batches.next(batch); }).first == "TACIT-RD12");
}

namespace {
struct Throwing {
  std::int64_t size() const { return 30; }
  Batch get_batch(std::span<std::int64_t const> indices) const {
    for (std::int64_t const index : indices) {
      if (index == 13) throw std::out_of_range{"no sample 13"};
      if (index == 25) throw 25;
    }
    return {};
  }
};
}  // namespace

TEST_CASE("bad input: a dataset that throws is reported once, with the samples asked for") {
  auto batches = loader(Throwing{}, {.batch_size = 10});
  batches.start_epoch(0, EpochIndex{6});
  std::optional<Batch> batch;
  REQUIRE(batches.next(batch));
  try {
    batches.next(batch);
    FAIL("no exception");
  } catch (DataError const& error) {
    REQUIRE(error.code() == "TACIT-RD13");
    REQUIRE(error.where() == "loader, epoch 6, batch 1");
    REQUIRE(has(error.what(), "10, 11, 12, 13, 14, 15, 16, 17, ... (10 in all)"));
    REQUIRE(has(error.what(), "no sample 13"));
    REQUIRE_THROWS_AS(std::rethrow_if_nested(error), std::out_of_range);
  }
  REQUIRE_FALSE(batch);
  try {
    batches.next(batch);
    FAIL("no exception");
  } catch (DataError const& error) {
    REQUIRE(error.code() == "TACIT-RD13");
    REQUIRE_THROWS_AS(std::rethrow_if_nested(error), int);
  }
  REQUIRE_FALSE(batches.next(batch));
}

TEST_CASE("bad input: splits that cannot be") {
  auto const [code, text] = error_of<DataError>([] { (void)split(Numbers{100}, {70, 31}, 1); });
  REQUIRE(code == "TACIT-RD05");
  REQUIRE(has(text, "70 + 31"));
  REQUIRE(has(text, "the 100 of the dataset"));
  REQUIRE(error_of<DataError>([] { (void)split(Numbers{0}, {1}, 1); }).first == "TACIT-RD05");
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  REQUIRE(error_of<DataError>([] { (void)split(Numbers{100}, {huge, huge, 2}, 1); }).first == "TACIT-RD05");
  REQUIRE(error_of<ConfigError>([] { (void)split(Numbers{100}, {70, 0}, 1); }).first == "TACIT-RC10");
  REQUIRE(error_of<ConfigError>([] { (void)split(Numbers{100}, {tacit::Samples{tacit::unset}}, 1); }).first ==
          "TACIT-RC10");
  REQUIRE(error_of<ConfigError>([] { (void)split(Numbers{100}, {70, -1}, 1); }).first == "TACIT-RC01");
}

TEST_CASE("bad input: subsets of nothing and of samples that are not there") {
  REQUIRE(error_of<DataError>([] { (void)Subset<Numbers>{nullptr, {}}; }).first == "TACIT-RD02");
  auto const numbers = std::make_shared<Numbers const>(3);
  REQUIRE(error_of<DataError>([&] { (void)Subset<Numbers>{numbers, {0, 3}}; }).first == "TACIT-RD03");
  REQUIRE(error_of<DataError>([&] { (void)Subset<Numbers>{numbers, {-1}}; }).first == "TACIT-RD03");
  Subset<Numbers> const subset{numbers, {2, 1}};
  std::vector<std::int64_t> const good{1};
  REQUIRE(subset.get_batch(good).samples == std::vector<std::int64_t>{1});
  for (std::int64_t const index : {2, -1}) {
    std::vector<std::int64_t> const bad{index};
    REQUIRE(error_of<DataError>([&] { (void)subset.get_batch(bad); }).first == "TACIT-RD04");
  }
}
