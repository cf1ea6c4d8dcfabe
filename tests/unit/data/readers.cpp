// needs: libtorch
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "tacit/concepts/dataset.hpp"
#include "tacit/data/cifar.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/token_dataset.hpp"
#include "tacit/data/token_file.hpp"
#include "tacit/data/torch_collate.hpp"

using tacit::data::Part;
using tacit::data::TokenDataset;
using tacit::data::TokenFile;
using tacit::data::TokenType;
namespace fs = std::filesystem;

namespace readers_tests {
namespace {

using Numbers = std::vector<std::int64_t>;
static_assert(tacit::batch_dataset<TokenDataset<TokenFile>>);

struct Scratch {
  fs::path path = fs::temp_directory_path() / ("tacit_readers_" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(path); }
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  void write(std::string const& name, std::vector<std::uint8_t> const& bytes) const {
    std::ofstream out{path / name, std::ios::binary};
    out.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    REQUIRE(out.good());
  }
};

std::string refused(auto&& call) {
  try {
    call();
  } catch (tacit::Error const& error) {
    return error.code();
  }
  return "none";
}

}  // namespace

TEST_CASE("a batch of windows has the rows that get gives, of files of both types") {
  Scratch const scratch;
  Numbers tokens(1000);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int64_t>(i * i % 60013);
  for (TokenType const type : {TokenType::uint16, TokenType::uint32}) {
    tacit::data::write_token_file(scratch.path / "t", tokens, type);
    TokenDataset const data{TokenFile{scratch.path / "t", type}, {.length = 8, .stride = 3, .vocabulary = 60013}};
    REQUIRE(data.size() == (1000 - 9) / 3 + 1);
    Numbers const order{330, 0, 7, 7};
    tacit::data::Batch const batch = data.get_batch(order);
    REQUIRE(batch.input.sizes() == at::IntArrayRef({4, 8}));
    REQUIRE(batch.target.sizes() == at::IntArrayRef({4, 8}));
    REQUIRE(batch.input.scalar_type() == at::kLong);
    REQUIRE(batch.target.scalar_type() == at::kLong);
    REQUIRE(batch.input.is_contiguous());
    REQUIRE(batch.target.is_contiguous());
    at::Tensor const all = at::tensor(tokens, at::kLong);
    for (std::int64_t row = 0; row < 4; ++row) {
      std::int64_t const index = order[static_cast<std::size_t>(row)];
      REQUIRE(at::equal(batch.input[row], all.narrow(0, 3 * index, 8)));
      REQUIRE(at::equal(batch.target[row], all.narrow(0, 3 * index + 1, 8)));
      auto const sample = data.windows().get(index);
      REQUIRE(at::equal(batch.input[row], at::tensor(sample.input, at::kLong)));
      REQUIRE(at::equal(batch.target[row], at::tensor(sample.target, at::kLong)));
    }
  }
}

TEST_CASE("windows come as tensors from the fast way and from collated samples alike") {
  Numbers tokens(65);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int64_t>(7 * i % 31);
  TokenDataset const fast{std::span<std::int64_t const>{tokens}, {.length = 4}};
  auto batches = tacit::data::loader(fast, {.batch_size = 5, .shuffle = true, .workers = 2});
  auto padded = tacit::data::loader(fast.windows(), {.batch_size = 5, .shuffle = true}, tacit::data::PadCollate{});
  padded.start_epoch(3, tacit::EpochIndex{1});
  std::optional<typename decltype(padded)::batch_type> other;
  std::int64_t seen = 0;
  for (auto& batch : batches.epoch(3, tacit::EpochIndex{1})) {
    REQUIRE(padded.next(other));
    auto const& [input, target] = *other;
    REQUIRE(batch.input.size(0) == (seen < 15 ? 5 : 1));
    REQUIRE(at::equal(at::tensor(input.values, at::kLong).view({-1, input.width}), batch.input));
    REQUIRE(at::equal(at::tensor(target.values, at::kLong).view({-1, target.width}), batch.target));
    seen += batch.input.size(0);
  }
  REQUIRE(seen == 16);
}

TEST_CASE("bad input: a batch with a sample that is not there, or a token outside of the vocabulary") {
  TokenDataset const data{Numbers{0, 1, 2, 3, 9}, {.length = 2, .stride = 1, .vocabulary = 9}};
  REQUIRE(refused([&] { (void)data.get_batch(Numbers{0, 3}); }) == "TACIT-RD24");
  REQUIRE(refused([&] { (void)data.get_batch(Numbers{0, 2}); }) == "TACIT-RD80");
  REQUIRE(data.get_batch(Numbers{}).input.sizes() == at::IntArrayRef({0, 2}));
}

TEST_CASE("CIFAR images are float32 in [0, 1] with int64 targets, as torchvision's ToTensor gives them") {
  Scratch const scratch;
  std::vector<std::uint8_t> ten;
  std::vector<std::uint8_t> hundred;
  for (std::size_t record = 0; record < 3; ++record) {
    ten.push_back(static_cast<std::uint8_t>(3 * record));
    hundred.push_back(static_cast<std::uint8_t>(record + 17));
    hundred.push_back(static_cast<std::uint8_t>(record + 97));
    for (std::size_t pixel = 0; pixel < 3072; ++pixel) {
      auto const value = static_cast<std::uint8_t>(pixel * 5 + record + pixel / 1024);
      ten.push_back(value);
      hundred.push_back(value);
    }
  }
  for (char const number : {'1', '2', '3', '4', '5'}) scratch.write(std::string{"data_batch_"} + number + ".bin", ten);
  scratch.write("test_batch.bin", ten);
  scratch.write("train.bin", hundred);
  scratch.write("test.bin", hundred);

  auto const train = tacit::data::cifar10(scratch.path, Part::train);
  REQUIRE(train.size() == 15);
  REQUIRE(train.inputs().sizes() == at::IntArrayRef({15, 3, 32, 32}));
  REQUIRE(train.inputs().scalar_type() == at::kFloat);
  REQUIRE(at::equal(train.targets().narrow(0, 3, 6), at::tensor(Numbers{0, 3, 6, 0, 3, 6}, at::kLong)));
  // Row 2, column 4 of blue of the second image: in float32, as Python's value / 255.
  auto const value = static_cast<std::uint8_t>((2048 + 2 * 32 + 4) * 5 + 1 + 2);
  REQUIRE(train.inputs()[1][2][2][4].item<float>() == static_cast<float>(value) / 255.0F);
  REQUIRE(train.inputs().max().item<float>() == 1.0F);
  REQUIRE(train.inputs().min().item<float>() == 0.0F);

  auto const test = tacit::data::cifar10(scratch.path, Part::test);
  REQUIRE(at::equal(test.inputs(), train.inputs().narrow(0, 12, 3)));
  auto const fine = tacit::data::cifar100(scratch.path, Part::train);
  REQUIRE(at::equal(fine.inputs(), test.inputs()));
  REQUIRE(at::equal(fine.targets(), at::arange(97, 100)));
  REQUIRE(at::equal(tacit::data::cifar100(scratch.path, Part::test, tacit::data::CifarLabels::coarse).targets(), at::arange(17, 20)));
  fs::remove(scratch.path / "data_batch_4.bin");
  REQUIRE(refused([&] { (void)tacit::data::cifar10(scratch.path, Part::train); }) == "TACIT-RD50");
}

}  // namespace readers_tests
