#include "tacit/data/range_source.hpp"

#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tacit/data/loader.hpp"

using tacit::ConfigError;
using tacit::DataError;
using tacit::EpochIndex;
using tacit::UsageError;
using tacit::data::data_kind;
using tacit::data::data_kind_of_v;
using tacit::data::range_source;
using tacit::data::RangeSource;

namespace range_source_tests {
namespace {

struct Batch {
  int number = 0;
};

/// As LibTorch's data loaders: no typedefs, no post-increment, an end of another type, each batch made when wanted.
struct Generator {
  struct end_type {};
  struct iterator {
    Generator* from;
    Batch operator*() const { return {from->made}; }
    iterator& operator++() {
      ++from->made;
      return *this;
    }
    bool operator!=(end_type) const { return from->made < from->count; }
    iterator(iterator const&) = default;
    iterator& operator=(iterator const&) = delete;
    explicit iterator(Generator& generator) : from{&generator} {}
  };
  int count;
  int made = 0;

  iterator begin() { return iterator{*this}; }
  end_type end() { return {}; }
};
static_assert(!std::ranges::range<Generator>);

struct Numbers {
  std::int64_t size() const { return 3; }
  Batch get_batch(std::span<std::int64_t const>) const { return {}; }
};

struct Unkept {
  struct Element {
    Element(Element const&) = delete;
  };
  Element* begin() const { return nullptr; }
  Element* end() const { return nullptr; }
};

static_assert(tacit::batch_range<std::vector<Batch>> && tacit::batch_range<std::vector<Batch> const&> &&
              tacit::batch_range<Batch (&)[3]> && tacit::batch_range<Generator> && tacit::batch_range<Generator&>);
static_assert(!tacit::batch_range<int> && !tacit::batch_range<Numbers> && !tacit::batch_range<Generator const&> &&
              !tacit::batch_range<Unkept>);
static_assert(tacit::sized_batch_source<RangeSource<std::vector<Batch>&>> &&
              !tacit::planned_batch_source<RangeSource<std::vector<Batch>&>>);
static_assert(tacit::batch_source<RangeSource<Generator>> && !tacit::sized_batch_source<RangeSource<Generator>>);
static_assert(!tacit::sized_batch_source<RangeSource<std::forward_list<Batch>>>);

static_assert(data_kind_of_v<Numbers> == data_kind::dataset && data_kind_of_v<Numbers const&> == data_kind::dataset);
static_assert(data_kind_of_v<tacit::data::Loader<Numbers>&> == data_kind::source);
static_assert(data_kind_of_v<RangeSource<Generator>&> == data_kind::source);
static_assert(data_kind_of_v<std::vector<Batch>> == data_kind::range && data_kind_of_v<Generator&> == data_kind::range);
static_assert(data_kind_of_v<int> == data_kind::none);

template <class Source>
std::vector<int> drain(Source& source) {
  std::vector<int> numbers;
  std::optional<typename Source::batch_type> batch;
  while (source.next(batch)) numbers.push_back(batch ? batch->number : -1);
  return numbers;
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

}  // namespace

TEST_CASE("a container is passed each epoch, borrowed or owned, const or not") {
  std::vector<Batch> batches{{0}, {1}, {2}};
  auto borrowed = range_source(batches);
  auto constant = range_source(std::as_const(batches));
  auto owned = range_source(std::array<Batch, 3>{{{0}, {1}, {2}}});
  auto const check = [](auto& source) {
    REQUIRE(source.size() == 3);
    for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
      source.start_epoch(5, EpochIndex{epoch});
      REQUIRE(source.position() == 0);
      REQUIRE(drain(source) == std::vector{0, 1, 2});
      REQUIRE(source.position() == 3);
      std::optional<Batch> batch;
      REQUIRE_FALSE(source.next(batch));
    }
  };
  check(borrowed);
  check(constant);
  check(owned);
  Batch plain[]{{4}, {5}};
  auto array = range_source(plain);
  array.start_epoch(0, EpochIndex{0});
  REQUIRE(drain(array) == std::vector{4, 5});
}

TEST_CASE("an epoch can begin anew in the middle of one") {
  auto source = range_source(std::vector<Batch>{{0}, {1}, {2}});
  source.start_epoch(0, EpochIndex{0});
  std::optional<Batch> batch;
  REQUIRE(source.next(batch));
  REQUIRE(source.next(batch));
  source.start_epoch(0, EpochIndex{1});
  REQUIRE(drain(source) == std::vector{0, 1, 2});
}

TEST_CASE("a generator that range-for accepts works, one batch at a time") {
  Generator generator{3};
  auto source = range_source(generator);
  source.start_epoch(0, EpochIndex{0});
  std::optional<Batch> batch;
  REQUIRE(source.next(batch));
  REQUIRE(generator.made == 0);
  REQUIRE(source.next(batch));
  REQUIRE(generator.made == 1);
  REQUIRE(batch->number == 1);
  REQUIRE(source.next(batch));
  REQUIRE_FALSE(source.next(batch));
}

TEST_CASE("views and batches that can only be moved") {
  auto view =
      std::views::iota(0, 4) | std::views::transform([](int number) { return std::make_unique<Batch>(Batch{number}); });
  auto source = range_source(view);
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    source.start_epoch(0, EpochIndex{epoch});
    std::optional<std::unique_ptr<Batch>> batch;
    int expected = 0;
    while (source.next(batch)) REQUIRE((*batch)->number == expected++);
    REQUIRE(expected == 4);
  }
}

TEST_CASE("ranks deal the batches of one range and take equally many steps") {
  for (int count = 1; count <= 9; ++count) {
    std::vector<Batch> batches(static_cast<std::size_t>(count));
    for (int number = 0; number < count; ++number) batches[static_cast<std::size_t>(number)].number = number;
    for (int world = 1; world <= 4; ++world) {
      CAPTURE(count, world);
      std::vector<int> dealt;
      std::vector<std::vector<int>> ranks;
      for (int rank = 0; rank < world; ++rank) {
        auto source = range_source(batches);
        source.start_epoch(0, EpochIndex{0}, rank, world);
        ranks.push_back(drain(source));
        REQUIRE(static_cast<std::int64_t>(ranks.back().size()) == source.size(world));
      }
      for (std::size_t step = 0; step < ranks[0].size(); ++step) {
        for (auto const& rank : ranks) {
          if (rank[step] >= 0) dealt.push_back(rank[step]);
        }
      }
      std::vector<int> expected(batches.size());
      std::ranges::transform(batches, expected.begin(), &Batch::number);
      REQUIRE(dealt == expected);
    }
  }
}

TEST_CASE("bad input: an empty range, and one that can be passed only once") {
  auto empty = range_source(std::vector<Batch>{});
  auto const [code, text] = error_of<DataError>([&] { empty.start_epoch(0, EpochIndex{0}); });
  REQUIRE(code == "TACIT-RD15");
  REQUIRE(text.find("range of batches") != std::string::npos);
  REQUIRE(text.find("length is 0") != std::string::npos);

  auto once = range_source(Generator{3});
  once.start_epoch(0, EpochIndex{0});
  REQUIRE(drain(once) == std::vector{0, 1, 2});
  auto const [second, what] = error_of<DataError>([&] { once.start_epoch(0, EpochIndex{1}); });
  REQUIRE(second == "TACIT-RD14");
  REQUIRE(what.find("epoch 1") != std::string::npos);
}

TEST_CASE("bad input: ranks that do not exist, and a batch before the first epoch") {
  auto source = range_source(std::vector<Batch>{{0}});
  std::optional<Batch> batch;
  REQUIRE(error_of<UsageError>([&] { (void)source.next(batch); }).first == "TACIT-RD16");
  for (auto const& [rank, world] : {std::pair{2, 2}, {-1, 2}, {0, 0}}) {
    REQUIRE(error_of<ConfigError>([&] { source.start_epoch(0, EpochIndex{0}, rank, world); }).first == "TACIT-RC14");
  }
  REQUIRE(error_of<ConfigError>([&] { (void)source.size(0); }).first == "TACIT-RC14");
}

namespace {
struct Failing : Generator {
  struct iterator : Generator::iterator {
    using Generator::iterator::iterator;
    Batch operator*() const {
      if (from->made == 1) throw std::runtime_error{"the stream broke"};
      return Generator::iterator::operator*();
    }
  };
  iterator begin() { return iterator{*this}; }
};
}  // namespace

TEST_CASE("bad input: what a range throws reaches the caller as it is") {
  auto source = range_source(Failing{{3}});
  source.start_epoch(0, EpochIndex{0});
  std::optional<Batch> batch;
  REQUIRE(source.next(batch));
  REQUIRE_THROWS_AS(source.next(batch), std::runtime_error);
  REQUIRE_FALSE(batch);
}

}  // namespace range_source_tests
