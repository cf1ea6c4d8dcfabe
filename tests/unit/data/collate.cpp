#include "tacit/data/collate.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <forward_list>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tacit/data/loader.hpp"
#include "tacit/data/sample_range.hpp"

using tacit::ConfigError;
using tacit::DataError;
using tacit::EpochIndex;
using tacit::UsageError;
using namespace tacit::data;

namespace {

/// A tensor of the tests: its numbers, and its shape.
struct Grid {
  std::vector<double> values{};
  std::vector<std::int64_t> sizes{};
  friend bool operator==(Grid const&, Grid const&) = default;
};
int prepared = 0;

enum class Colour : short { red = 3, blue = 5 };

template <class Error>
std::pair<std::string, std::string> error_of(auto&& call) {
  try {
    call();
  } catch (Error const& error) {
    return {error.code(), error.what()};
  }
  return {"none", ""};
}

template <class Range>
auto drain(Range&& range) {
  std::vector<std::remove_cvref_t<decltype(*range.begin())>> all;
  for (auto& batch : range) all.push_back(batch);
  return all;
}

}  // namespace

template <>
struct tacit::data::collation<Grid> {
  static constexpr bool is_tensor = true;
  static Grid join(std::span<Grid const> parts, CollateContext const& context) {
    Grid result{{}, {static_cast<std::int64_t>(parts.size())}};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].sizes != parts[0].sizes) throw DataError{"X", context.sample(i) + " and " + context.sample(0), "", ""};
      result.values.insert(result.values.end(), parts[i].values.begin(), parts[i].values.end());
    }
    result.sizes.insert(result.sizes.end(), parts[0].sizes.begin(), parts[0].sizes.end());
    return result;
  }
  template <class V>
  static Grid from_values(V const* values, std::span<std::int64_t const> sizes) {
    Grid result{{}, {sizes.begin(), sizes.end()}};
    std::int64_t count = 1;
    for (std::int64_t const size : sizes) count *= size;
    for (std::int64_t i = 0; i < count; ++i) result.values.push_back(static_cast<double>(values[i]));
    return result;
  }
  static Padded<Grid> pad(std::span<Grid const> parts, double value, CollateContext const&) {
    std::size_t width = 0;
    for (Grid const& part : parts) width = std::max(width, part.values.size());
    Padded<Grid> result{{{}, {static_cast<std::int64_t>(parts.size()), static_cast<std::int64_t>(width)}}, {{}, {static_cast<std::int64_t>(parts.size())}}};
    for (Grid const& part : parts) {
      result.values.values.insert(result.values.values.end(), part.values.begin(), part.values.end());
      result.values.values.insert(result.values.values.end(), width - part.values.size(), value);
      result.lengths.values.push_back(static_cast<double>(part.values.size()));
    }
    return result;
  }
  static void before_workers() { ++prepared; }
};

namespace {
struct Pair {
  Grid input;
  Grid target;
};
struct Labelled {
  Grid image;
  std::int64_t label;
};
struct Named {
  struct batch_type {
    Grid image;
    Grid label;
    std::vector<std::string> name;
  };
  Grid image;
  std::int64_t label;
  std::string name;
};
}  // namespace

TEST_CASE("structs and tuples are collated field by field, numbers beside a tensor become one") {
  std::vector<Pair> pairs{{{{1, 2}, {2}}, {{3}, {}}}, {{{4, 5}, {2}}, {{6}, {}}}};
  auto const batch = DefaultCollate{}(std::span{pairs});
  static_assert(std::same_as<decltype(batch), Pair const>);
  REQUIRE(batch.input == Grid{{1, 2, 4, 5}, {2, 2}});
  REQUIRE(batch.target == Grid{{3, 6}, {2}});

  std::vector<Labelled> labelled{{{{1}, {1}}, 7}, {{{2}, {1}}, 8}};
  auto const [images, labels] = DefaultCollate{}(std::span{labelled});
  REQUIRE(images == Grid{{1, 2}, {2, 1}});
  REQUIRE(labels == Grid{{7, 8}, {2}});

  std::vector<Named> named{{{{1}, {1}}, 7, "a"}, {{{2}, {1}}, 8, "b"}};
  auto const with_names = DefaultCollate{}(std::span{named});
  static_assert(std::same_as<decltype(with_names), Named::batch_type const>);
  REQUIRE(with_names.name == std::vector<std::string>{"a", "b"});
  REQUIRE(with_names.label == Grid{{7, 8}, {2}});

  std::vector<std::tuple<Grid, bool, Colour, std::array<float, 2>, Ragged<std::vector<int>>>> tuples{
      {{{1}, {1}}, true, Colour::red, {1, 2}, {{9}}}, {{{2}, {1}}, false, Colour::blue, {3, 4}, {{8, 7}}}};
  auto const parts = DefaultCollate{.padding = -1}(std::span{tuples});
  REQUIRE(std::get<1>(parts) == Grid{{1, 0}, {2}});
  REQUIRE(std::get<2>(parts) == Grid{{3, 5}, {2}});
  REQUIRE(std::get<3>(parts) == Grid{{1, 2, 3, 4}, {2, 2}});
  REQUIRE(std::get<4>(parts).values == Grid{{9, -1, 8, 7}, {2, 2}});
  REQUIRE(std::get<4>(parts).lengths == Grid{{1, 2}, {2}});
}

TEST_CASE("without a tensor, numbers and strings become vectors") {
  std::vector<double> numbers{1, 2, 3};
  REQUIRE(DefaultCollate{}(std::span{numbers}) == numbers);
  std::vector<std::string> words{"a", "b"};
  REQUIRE(DefaultCollate{}(std::span{words}) == std::vector<std::string>{"a", "b"});
  std::vector<std::pair<int, bool>> pairs{{1, true}, {2, false}};
  REQUIRE(DefaultCollate{}(std::span{pairs}) == std::pair{std::vector<int>{1, 2}, std::vector<unsigned char>{1, 0}});
  std::vector<std::vector<int>> lists{{1}, {2, 3}};
  REQUIRE(DefaultCollate{}(std::span{lists}) == std::vector<std::vector<int>>{{1}, {2, 3}});
}

TEST_CASE("sequences of unequal length are padded, and their lengths kept") {
  std::vector<std::vector<int>> lists{{1}, {}, {2, 3, 4}};
  auto const padded = PadCollate{.padding = -7}(std::span{lists});
  REQUIRE(padded.values == std::vector<int>{1, -7, -7, -7, -7, -7, 2, 3, 4});
  REQUIRE(padded.width == 3);
  REQUIRE(padded.lengths == std::vector<std::int64_t>{1, 0, 3});
  std::vector<Labelled> labelled{{{{1, 2}, {2}}, 7}, {{{3}, {1}}, 8}};
  auto const [images, labels] = PadCollate{}(std::span{labelled});
  REQUIRE(images.values == Grid{{1, 2, 3, 0}, {2, 2}});
  REQUIRE(images.lengths == Grid{{2, 1}, {2}});
  REQUIRE(labels == Grid{{7, 8}, {2}});
}

TEST_CASE("bad input: a padding that the values' type does not have") {  // kind E
  auto const code_of = [](double padding, auto list) -> std::string {
    std::vector<decltype(list)> lists{list, {}};
    try {
      (void)PadCollate{.padding = padding}(std::span{lists});
    } catch (tacit::ConfigError const& error) {
      return error.code();
    }
    return "none";
  };
  REQUIRE(code_of(-1, std::vector<std::uint8_t>{1}) == "TACIT-RC143");
  REQUIRE(code_of(256, std::vector<std::uint8_t>{1}) == "TACIT-RC143");
  REQUIRE(code_of(255, std::vector<std::uint8_t>{1}) == "none");
  REQUIRE(code_of(0.5, std::vector<int>{1}) == "TACIT-RC143");
  REQUIRE(code_of(std::nan(""), std::vector<int>{1}) == "TACIT-RC143");
  REQUIRE(code_of(-9223372036854775808.0, std::vector<std::int64_t>{1}) == "none");
  REQUIRE(code_of(9223372036854775808.0, std::vector<std::int64_t>{1}) == "TACIT-RC143");
  REQUIRE(code_of(0.5, std::vector<float>{1}) == "none");
}

namespace {
struct Images {
  std::int64_t odd = -1;
  std::int64_t size() const { return 20; }
  Labelled get(std::int64_t index) const {
    return {index == odd ? Grid{{0, 0}, {2}} : Grid{{static_cast<double>(index)}, {1}}, index};
  }
};
}  // namespace

TEST_CASE("bad input: samples that do not fit together are named by their numbers") {
  for (std::int64_t const workers : {0, 2}) {
    auto batches = loader(Images{13}, {.batch_size = 10, .workers = workers});
    batches.start_epoch(0, EpochIndex{0});
    std::optional<std::pair<Grid, Grid>> batch;
    REQUIRE(batches.next(batch));
    REQUIRE(batch->second.values.size() == 10);
    auto const [code, text] = error_of<DataError>([&] { batches.next(batch); });
    REQUIRE(code == "TACIT-RD13");
    REQUIRE(text.find("collating samples 10, 11") != std::string::npos);
    REQUIRE(text.find("sample 13 (place 3 of the batch) and sample 10 (place 0 of the batch)") != std::string::npos);
  }
}

TEST_CASE("the tensor library is told before the first worker starts, and only then") {
  prepared = 0;
  for (std::int64_t const workers : {0, 2}) {
    auto batches = loader(Images{}, {.batch_size = 4, .workers = workers});
    REQUIRE(drain(batches.epoch(0, EpochIndex{0})).size() == 5);
    REQUIRE(prepared == (workers == 0 ? 0 : 1));
  }
}

TEST_CASE("a collate function of one's own, alone or with a sampler") {
  auto const sum = [](std::span<Labelled> samples) {
    std::int64_t total = 0;
    for (Labelled const& sample : samples) total += sample.label;
    return total;
  };
  auto batches = loader(Images{}, {.batch_size = 10, .workers = 1}, sum);
  REQUIRE(drain(batches.epoch(0, EpochIndex{0})) == std::vector<std::int64_t>{45, 145});
  auto first = loader(Images{}, {.batch_size = 10}, sum, WeightedSampler{.weights = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, .replacement = false});
  REQUIRE(drain(first.epoch(0, EpochIndex{0})) == std::vector<std::int64_t>{19});
}

TEST_CASE("a range of samples of unknown length makes batches, shared by ranks as a loader's") {
  for (std::int64_t count = 1; count <= 23; ++count) {
    std::forward_list<int> samples;
    for (std::int64_t i = count; i-- > 0;) samples.push_front(static_cast<int>(i));
    for (bool const drop_last : {false, true}) {
      for (int world = 1; world <= 4; ++world) {
        CAPTURE(count, drop_last, world);
        std::int64_t const global = 3 * world;
        std::vector<std::vector<int>> together;
        bool refused = false;
        for (int rank = 0; rank < world; ++rank) {
          auto source = batches_of(samples, {.batch_size = 3, .drop_last = drop_last});
          static_assert(tacit::batch_source<decltype(source)>);
          for (int epoch = 0; epoch < 2; ++epoch) {
            source.start_epoch(0, EpochIndex{epoch}, rank, world);
            std::optional<std::vector<int>> batch;
            if (drop_last && count < global) {
              REQUIRE(error_of<DataError>([&] { source.next(batch); }).first == "TACIT-RD78");
              refused = true;
              continue;
            }
            std::size_t step = 0;
            for (; source.next(batch); ++step) {
              if (epoch != 0) continue;
              if (together.size() <= step) together.emplace_back();
              if (batch) together[step].insert(together[step].end(), batch->begin(), batch->end());
            }
            REQUIRE(step == static_cast<std::size_t>(drop_last ? count / global : (count + global - 1) / global));
            REQUIRE(source.position() == static_cast<std::int64_t>(step));
          }
        }
        if (refused) continue;
        int expected = 0;
        for (auto const& step : together) {
          for (int const sample : step) REQUIRE(sample == expected++);
        }
        REQUIRE(expected == (drop_last ? count / global * global : count));
      }
    }
  }
}

TEST_CASE("bad input: ranges of samples") {
  std::vector<int> const empty;
  std::vector<int> const some{1, 2};
  REQUIRE(error_of<ConfigError>([&] { (void)batches_of(some, {.batch_size = 0}); }).first == "TACIT-RC66");
  auto nothing = batches_of(empty, {.batch_size = 2});
  auto const [code, text] = error_of<DataError>([&] { nothing.start_epoch(0, EpochIndex{0}); });
  REQUIRE(code == "TACIT-RD75");
  REQUIRE(text.find("length is 0") != std::string::npos);
  auto source = batches_of(some, {.batch_size = 2});
  std::optional<std::vector<int>> batch;
  REQUIRE(error_of<UsageError>([&] { source.next(batch); }).first == "TACIT-RD76");
  REQUIRE(error_of<ConfigError>([&] { source.start_epoch(0, EpochIndex{0}, 2, 2); }).first == "TACIT-RC67");
  REQUIRE(drain(source.epoch(0, EpochIndex{0})) == std::vector<std::vector<int>>{{1, 2}});
}
