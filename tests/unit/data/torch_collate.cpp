// needs: libtorch
#include "tacit/data/torch_collate.hpp"

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/datasets/tensor.h>
#include <torch/data/samplers/sequential.h>
#include <torch/data/transforms/stack.h>
#include <torch/types.h>

#include <catch2/catch_test_macros.hpp>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tacit/data/loader.hpp"
#include "tacit/data/range_source.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/data/torch_data.hpp"

using tacit::DataError;
using tacit::EpochIndex;
using namespace tacit::data;

namespace torch_collate_tests {
namespace {

struct Labelled {
  at::Tensor image;
  std::int64_t label;
};

struct Images {
  std::int64_t odd = -1;
  std::int64_t size() const { return 10; }
  Labelled get(std::int64_t index) const { return {at::full({2, index == odd ? 4 : 3}, static_cast<double>(index)), index}; }
};

struct Sentences {
  struct Sample {
    Ragged<at::Tensor> tokens;
    bool good;
  };
  std::int64_t size() const { return 4; }
  Sample get(std::int64_t index) const { return {{at::arange(index, at::kLong)}, index % 2 == 0}; }
};

struct Squares : torch::data::datasets::Dataset<Squares> {
  torch::data::Example<> get(std::size_t index) override {
    auto const value = static_cast<double>(index);
    return {at::full({3}, value), at::scalar_tensor(value * value)};
  }
  std::optional<std::size_t> size() const override { return 7; }
};

struct Endless : torch::data::datasets::Dataset<Endless> {
  torch::data::Example<> get(std::size_t) override { return {}; }
  std::optional<std::size_t> size() const override { return {}; }
};

}  // namespace

TEST_CASE("tensors are stacked, numbers beside them become an int64 tensor, for any number of workers") {
  for (std::int64_t const workers : {0, 3}) {
    auto batches = loader(Images{}, {.batch_size = 4, .workers = workers});
    std::int64_t next = 0;
    for (auto& [images, labels] : batches.epoch(0, EpochIndex{0})) {
      REQUIRE(images.sizes() == at::IntArrayRef({labels.size(0), 2, 3}));
      REQUIRE(labels.scalar_type() == at::kLong);
      for (std::int64_t i = 0; i < labels.size(0); ++i) {
        REQUIRE(labels[i].item<std::int64_t>() == next);
        REQUIRE(images[i].eq(static_cast<double>(next++)).all().item<bool>());
      }
    }
    REQUIRE(next == 10);
  }
}

TEST_CASE("sequences are padded, with lengths") {
  auto batches = loader(Sentences{}, {.batch_size = 4}, DefaultCollate{.padding = -1});
  for (auto& [tokens, good] : batches.epoch(0, EpochIndex{0})) {
    REQUIRE(at::equal(tokens.values, torch::tensor({{-1, -1, -1}, {0, -1, -1}, {0, 1, -1}, {0, 1, 2}}, at::kLong)));
    REQUIRE(at::equal(tokens.lengths, torch::tensor({0, 1, 2, 3}, at::kLong)));
    REQUIRE(at::equal(good, torch::tensor({true, false, true, false})));
  }
  std::vector<at::Tensor> rows{at::ones({2, 3}), at::ones({1, 3})};
  auto const padded = PadCollate{}(std::span{rows});
  REQUIRE(padded.values.sizes() == at::IntArrayRef({2, 2, 3}));
  REQUIRE(padded.values.sum().item<double>() == 9);
}

TEST_CASE("bad input: tensors that do not fit together") {
  auto const message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (DataError const& error) {
      return error.what();
    }
    return "none";
  };
  for (std::int64_t const workers : {0, 2}) {
    auto batches = loader(Images{6}, {.batch_size = 10, .workers = workers});
    batches.start_epoch(0, EpochIndex{0});
    std::optional<std::pair<at::Tensor, at::Tensor>> batch;
    std::string const text = message([&] { batches.next(batch); });
    REQUIRE(text.find("TACIT-RD73") != std::string::npos);
    REQUIRE(text.find("sample 6 (place 6 of the batch) is a tensor of shape [2, 4]") != std::string::npos);
    REQUIRE(text.find("sample 0 (place 0 of the batch) one of shape [2, 3]") != std::string::npos);
  }
  std::vector<at::Tensor> mixed{at::ones({2}), at::ones({2}, at::kLong)};
  REQUIRE(message([&] { DefaultCollate{}(std::span{mixed}); }).find("TACIT-RD73") != std::string::npos);
  std::vector<at::Tensor> missing{at::ones({2}), at::Tensor{}};
  REQUIRE(message([&] { DefaultCollate{}(std::span{missing}); }).find("without value") != std::string::npos);
  REQUIRE(message([&] { PadCollate{}(std::span{missing}); }).find("TACIT-RD74") != std::string::npos);
  std::vector<at::Tensor> wide{at::ones({2, 3}), at::ones({2, 4})};
  REQUIRE(message([&] { PadCollate{}(std::span{wide}); }).find("TACIT-RD74") != std::string::npos);
  std::vector<at::Tensor> scalars{at::ones({}), at::ones({})};
  REQUIRE(message([&] { PadCollate{}(std::span{scalars}); }).find("TACIT-RD74") != std::string::npos);
  REQUIRE(message([] { (void)from_torch(Endless{}); }).find("TACIT-RD77") != std::string::npos);
}

TEST_CASE("datasets and data loaders of torch::data") {
  auto check = [](auto& batches) {
    std::int64_t next = 0;
    for (auto& batch : batches) {
      for (std::int64_t i = 0; i < batch.target.size(0); ++i, ++next) {
        REQUIRE(batch.target[i].template item<double>() == static_cast<double>(next * next));
      }
    }
    REQUIRE(next == 7);
  };
  for (std::int64_t const workers : {0, 2}) {
    auto of_samples = loader(from_torch(Squares{}), {.batch_size = 3, .workers = workers});
    static_assert(std::same_as<decltype(of_samples)::batch_type, Batch>);
    auto epoch = of_samples.epoch(0, EpochIndex{0});
    check(epoch);
    auto of_batches = loader(from_torch(Squares{}.map(torch::data::transforms::Stack<>{})), {.batch_size = 3, .workers = workers});
    auto mapped = of_batches.epoch(0, EpochIndex{0});
    check(mapped);
  }
  auto torch_loader = torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(Squares{}.map(torch::data::transforms::Stack<>{}), 3);
  auto source = range_source(*torch_loader);
  for (std::int64_t pass = 0; pass < 2; ++pass) {
    auto epoch = tacit::data::epoch(source, 0, EpochIndex{pass});
    check(epoch);
  }
}

}  // namespace torch_collate_tests
