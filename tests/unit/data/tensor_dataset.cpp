// needs: libtorch
#include "tacit/data/tensor_dataset.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tacit/concepts/dataset.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/range_source.hpp"
#include "tacit/data/split.hpp"

using tacit::EpochIndex;
using tacit::data::Batch;
using tacit::data::TensorDataset;

static_assert(tacit::dataset<TensorDataset> && !tacit::index_view<TensorDataset>);
static_assert(tacit::data::data_kind_of_v<TensorDataset&> == tacit::data::data_kind::dataset);
static_assert(tacit::data::data_kind_of_v<std::vector<Batch>&> == tacit::data::data_kind::range);

namespace tensor_dataset_tests {
namespace {

/// Row i of the inputs is 100 i, 100 i + 1, ...; target i is i.
TensorDataset numbered(std::int64_t samples, std::int64_t width) {
  at::Tensor const inputs = at::arange(samples, at::kFloat).mul(100).unsqueeze(1).add(at::arange(width, at::kFloat));
  return {inputs, at::arange(samples, at::kLong)};
}

std::pair<std::string, std::string> error_of(auto&& call) {
  try {
    call();
  } catch (tacit::Error const& error) {
    return {error.code(), error.what()};
  }
  return {"none", ""};
}

bool shares_memory(at::Tensor const& view, at::Tensor const& whole) {
  return view.storage().is_alias_of(whole.storage());
}

void check_rows(Batch const& batch, TensorDataset const& data, std::vector<std::int64_t> const& indices) {
  REQUIRE(batch.input.size(0) == static_cast<std::int64_t>(indices.size()));
  REQUIRE(batch.input.is_contiguous());
  for (std::size_t row = 0; row < indices.size(); ++row) {
    auto const at = static_cast<std::int64_t>(row);
    REQUIRE(at::equal(batch.input[at], data.inputs()[indices[row]]));
    REQUIRE(at::equal(batch.target[at], data.targets()[indices[row]]));
  }
}

}  // namespace

TEST_CASE("a batch has the rows asked for, in that order") {
  TensorDataset const data = numbered(20, 16);
  REQUIRE(data.size() == 20);
  for (std::vector<std::int64_t> const& indices :
       {std::vector<std::int64_t>{3, 19, 0, 3}, {19}, {0, 1, 2}, {8, 9, 10, 11}, {5, 6, 7}, {4, 3, 2}, {18, 19}}) {
    check_rows(data.get_batch(indices), data, indices);
  }
  Batch const none = data.get_batch({});
  REQUIRE(none.input.sizes() == at::IntArrayRef{0, 16});
  REQUIRE(none.target.sizes() == at::IntArrayRef{0});
}

TEST_CASE("consecutive rows are views where a fresh tensor would be aligned alike, copies elsewhere") {
  TensorDataset const data = numbered(64, 16);  // rows of 64 bytes, targets of 8
  auto const get = [](TensorDataset const& from, std::vector<std::int64_t> const& indices) {
    return from.get_batch(indices);
  };
  Batch const view = get(data, {8, 9, 10});
  REQUIRE(shares_memory(view.input, data.inputs()));
  REQUIRE(shares_memory(view.target, data.targets()));
  REQUIRE_FALSE(shares_memory(get(data, {9, 10, 11}).input, data.inputs()));  // target 9 lies at byte 72
  REQUIRE_FALSE(shares_memory(get(data, {8, 10}).input, data.inputs()));

  TensorDataset const narrow = numbered(64, 3);
  REQUIRE(shares_memory(get(narrow, {0, 1}).input, narrow.inputs()));
  REQUIRE_FALSE(shares_memory(get(narrow, {8, 9}).input, narrow.inputs()));  // byte 96
  REQUIRE(shares_memory(get(narrow, {16, 17}).input, narrow.inputs()));

  for (std::int64_t first = 0; first < 60; ++first) {
    for (TensorDataset const* from : {&data, &narrow}) {
      Batch const batch = get(*from, {first, first + 1, first + 2});
      REQUIRE(reinterpret_cast<std::uintptr_t>(batch.input.const_data_ptr()) % 64 == 0);
      REQUIRE(reinterpret_cast<std::uintptr_t>(batch.target.const_data_ptr()) % 64 == 0);
      check_rows(batch, *from, {first, first + 1, first + 2});
    }
  }
}

TEST_CASE("any strides and types are read right") {
  at::Tensor const transposed = at::arange(60, at::kDouble).view({6, 10}).t();
  TensorDataset const data{transposed, at::ones({10, 2}, at::kBool)};
  check_rows(data.get_batch(std::vector<std::int64_t>{0, 1, 2, 3}), data, {0, 1, 2, 3});
  check_rows(data.get_batch(std::vector<std::int64_t>{9, 2}), data, {9, 2});

  at::Tensor const odd = at::arange(100, at::kFloat).narrow(0, 1, 96).view({12, 8});  // starts at byte 4
  TensorDataset const shifted{odd, at::arange(12, at::kInt)};
  check_rows(shifted.get_batch(std::vector<std::int64_t>{0, 1, 2}), shifted, {0, 1, 2});
}

TEST_CASE("data hang on no graph") {
  at::Tensor const inputs = at::ones({8, 16}).requires_grad_(true);
  TensorDataset const data{inputs.mul(2), at::arange(8, at::kLong)};
  REQUIRE_FALSE(data.get_batch(std::vector<std::int64_t>{0, 1}).input.requires_grad());
  REQUIRE_FALSE(data.get_batch(std::vector<std::int64_t>{1, 0}).input.requires_grad());
}

TEST_CASE("a loader over a split gives each sample of a part once, and its own targets with it") {
  auto [train, rest] = tacit::data::split(numbered(50, 4), {37, 13}, 1);
  auto batches = tacit::data::loader(train, {.batch_size = 8, .shuffle = true});
  batches.start_epoch(5, EpochIndex{0});
  std::vector<bool> seen(50);
  std::optional<Batch> batch;
  while (batches.next(batch)) {
    REQUIRE(batch->input.size(0) == batches.batch_samples(batches.position() - 1));
    for (std::int64_t row = 0; row < batch->input.size(0); ++row) {
      auto const target = static_cast<std::size_t>(batch->target[row].item<std::int64_t>());
      REQUIRE(batch->input[row][1].item<float>() == static_cast<float>(100 * target + 1));
      REQUIRE_FALSE(seen[target]);
      seen[target] = true;
    }
  }
  for (std::int64_t const index : train.indices()) REQUIRE(seen[static_cast<std::size_t>(index)]);
  for (std::int64_t const index : rest.indices()) REQUIRE_FALSE(seen[static_cast<std::size_t>(index)]);
}

TEST_CASE("bad input: tensors that are no data set") {
  at::Tensor const good = at::zeros({3, 2});
  REQUIRE(error_of([&] { (void)TensorDataset{at::Tensor{}, good}; }).first == "TACIT-RD20");
  auto const [undefined, undefined_text] = error_of([&] { (void)TensorDataset{good, at::Tensor{}}; });
  REQUIRE(undefined == "TACIT-RD20");
  REQUIRE(undefined_text.find("targets") != std::string::npos);
  REQUIRE(error_of([&] { (void)TensorDataset{good, at::scalar_tensor(1.0)}; }).first == "TACIT-RD21");
  REQUIRE(error_of([&] { (void)TensorDataset{at::scalar_tensor(1.0), good}; }).first == "TACIT-RD21");
  auto const [empty, empty_text] = error_of([&] { (void)TensorDataset{at::zeros({0, 2}), at::zeros({0})}; });
  REQUIRE(empty == "TACIT-RD22");
  REQUIRE(empty_text.find("[0, 2]") != std::string::npos);
  REQUIRE(error_of([&] { (void)TensorDataset{at::zeros({3, 0}), good}; }).first == "TACIT-RD22");
  auto const [unequal, text] = error_of([&] { (void)TensorDataset{at::zeros({4, 28, 28}), good}; });
  REQUIRE(unequal == "TACIT-RD23");
  REQUIRE(text.find("[4, 28, 28]") != std::string::npos);
  REQUIRE(text.find("[3, 2]") != std::string::npos);
}

TEST_CASE("bad input: samples that are not there") {
  TensorDataset const data = numbered(5, 16);
  for (std::vector<std::int64_t> const& indices :
       {std::vector<std::int64_t>{0, 1, 5}, {4, 5}, {-1}, {2, 0, INT64_MAX}}) {
    auto const [code, text] = error_of([&] { (void)data.get_batch(indices); });
    REQUIRE(code == "TACIT-RD24");
  }
  auto const [code, text] = error_of([&] { (void)data.get_batch(std::vector<std::int64_t>{0, 1, 7}); });
  REQUIRE(text.find("sample 7 of 5") != std::string::npos);
  REQUIRE(text.find("at place 2 of a batch of 3") != std::string::npos);
}

}  // namespace tensor_dataset_tests
