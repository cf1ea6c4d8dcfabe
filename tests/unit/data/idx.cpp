// needs: libtorch
#include "tacit/data/idx.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>
#include <utility>
#include <vector>

#include "tacit/data/split.hpp"

using tacit::data::image_classification;
using tacit::data::Part;
using tacit::data::read_idx;
using tacit::data::TensorDataset;
namespace fs = std::filesystem;

namespace idx_tests {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Scratch {
  fs::path path = [] {
    static std::atomic<int> count = 0;
    return fs::temp_directory_path() /
           ("tacit_idx_" + std::to_string(::getpid()) + "_" + std::to_string(count.fetch_add(1)));
  }();
  Scratch() { fs::create_directories(path); }
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

Bytes idx_bytes(std::uint8_t type, std::vector<std::int64_t> const& dimensions, Bytes const& payload) {
  Bytes bytes{0, 0, type, static_cast<std::uint8_t>(dimensions.size())};
  for (std::int64_t const size : dimensions) {
    for (unsigned shift = 32; shift > 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(size >> (shift - 8)));
  }
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

void write(fs::path const& path, Bytes const& bytes) {
  // gzopen's "T" writes the bytes as they are.
  gzFile const file = gzopen(path.c_str(), path.extension() == ".gz" ? "wb9" : "wbT");
  REQUIRE(file != nullptr);
  REQUIRE(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) == static_cast<int>(bytes.size()));
  REQUIRE(gzclose(file) == Z_OK);
}

/// Writes a tensor as an IDX file, the way round that the reader must undo.
template <class T>
void write_tensor(fs::path const& path, std::uint8_t type, at::Tensor const& tensor) {
  Bytes payload;
  at::Tensor const flat = tensor.contiguous().view({-1});
  // The untyped pointer: clang 19 mangles the typed one differently from the package's g++.
  auto const* const values = static_cast<T const*>(flat.const_data_ptr());
  for (T const value : std::vector<T>(values, values + flat.numel())) {
    Bytes element(sizeof(T));
    std::copy_n(reinterpret_cast<std::uint8_t const*>(&value), sizeof(T), element.begin());
    payload.insert(payload.end(), element.rbegin(), element.rend());
  }
  write(path, idx_bytes(type, tensor.sizes().vec(), payload));
}

/// Four files of a data set with three training and two test images of 2 x 2.
void write_small_set(fs::path const& directory, std::string const& ending) {
  write(directory / ("train-images-idx3-ubyte" + ending),
        idx_bytes(8, {3, 2, 2}, {0, 255, 51, 102, 1, 2, 3, 4, 5, 6, 7, 8}));
  write(directory / ("train-labels-idx1-ubyte" + ending), idx_bytes(8, {3}, {2, 0, 9}));
  write(directory / ("t10k-images-idx3-ubyte" + ending), idx_bytes(8, {2, 2, 2}, {9, 9, 9, 9, 0, 0, 0, 0}));
  write(directory / ("t10k-labels-idx1-ubyte" + ending), idx_bytes(8, {2}, {1, 1}));
}

std::pair<std::string, std::string> error_of(auto&& call) {
  try {
    call();
  } catch (tacit::Error const& error) {
    return {error.code(), error.what()};
  }
  return {"none", ""};
}

/// The CRC-32 of the bytes that a data set was made from.
unsigned long checksum(at::Tensor const& tensor, double scale) {
  at::Tensor const bytes = tensor.mul(scale).round().to(at::kByte).contiguous();
  return crc32(0, static_cast<std::uint8_t const*>(bytes.const_data_ptr()), static_cast<uInt>(bytes.numel()));
}

}  // namespace

TEST_CASE("an IDX file of any element type comes back as the tensor that was written") {
  Scratch const scratch;
  at::Tensor const numbers = at::arange(-12, 12, at::kLong).view({2, 3, 4});
  for (std::string const name : {"plain", "packed.gz"}) {
    fs::path const path = scratch.path / name;
    auto const check = [&](at::Tensor const& written) {
      at::Tensor const read = read_idx(path);
      REQUIRE(read.scalar_type() == written.scalar_type());
      REQUIRE(at::equal(read, written));
    };
    at::Tensor tensor = numbers.abs().to(at::kByte);
    write_tensor<std::uint8_t>(path, 0x08, tensor);
    check(tensor);
    tensor = numbers.to(at::kChar);
    write_tensor<std::int8_t>(path, 0x09, tensor);
    check(tensor);
    tensor = numbers.mul(1001).to(at::kShort);
    write_tensor<std::int16_t>(path, 0x0B, tensor);
    check(tensor);
    tensor = numbers.mul(100'000'001).to(at::kInt);
    write_tensor<std::int32_t>(path, 0x0C, tensor);
    check(tensor);
    tensor = numbers.to(at::kFloat).div(7);
    write_tensor<float>(path, 0x0D, tensor);
    check(tensor);
    tensor = numbers.to(at::kDouble).div(7);
    write_tensor<double>(path, 0x0E, tensor);
    check(tensor);
  }
}

TEST_CASE("a set of four files, with and without .gz") {
  for (std::string const ending : {"", ".gz"}) {
    Scratch const scratch;
    write_small_set(scratch.path, ending);
    auto const [train, test] = tacit::data::mnist(scratch.path);
    REQUIRE(train.size() == 3);
    REQUIRE(test.size() == 2);
    REQUIRE(train.inputs().sizes() == at::IntArrayRef{3, 1, 2, 2});
    REQUIRE(train.inputs().scalar_type() == at::kFloat);
    REQUIRE(at::equal(train.inputs()[0].view({-1}), at::tensor({0.0f, 255.0f, 51.0f, 102.0f}).div(255)));
    REQUIRE(at::equal(train.targets(), at::tensor({2, 0, 9}, at::kLong)));
    REQUIRE(at::equal(test.targets(), at::tensor({1, 1}, at::kLong)));
  }
}

TEST_CASE("bad input: files of a set that are missing or do not belong together") {
  Scratch const scratch;
  auto const refused = [&] { return error_of([&] { (void)image_classification(scratch.path, Part::train); }); };
  auto const has = [](std::string const& text, std::string const& part) {
    return text.find(part) != std::string::npos;
  };
  {
    auto const [code, text] = refused();
    REQUIRE(code == "TACIT-RD50");
    REQUIRE(has(text, "train-images-idx3-ubyte.gz"));
    REQUIRE(has(text, scratch.path.string()));
  }
  write_small_set(scratch.path, "");
  REQUIRE(refused().first == "none");
  for (std::string const part : {"images-idx3", "labels-idx1"}) {  // fault F23: as some archives are unpacked to
    std::string other = part;
    other[6] = '.';
    fs::rename(scratch.path / ("train-" + part + "-ubyte"), scratch.path / ("train-" + other + "-ubyte"));
    REQUIRE(refused().first == "none");
    fs::rename(scratch.path / ("train-" + other + "-ubyte"), scratch.path / ("train-" + part + "-ubyte"));
  }
  fs::path const images = scratch.path / "train-images-idx3-ubyte";
  fs::path const labels = scratch.path / "train-labels-idx1-ubyte";

  write(labels, idx_bytes(8, {2}, {2, 0}));
  {
    auto const [code, text] = refused();
    REQUIRE(code == "TACIT-RD53");
    REQUIRE(has(text, "3 images but 2 labels"));
    REQUIRE(has(text, images.string()));
    REQUIRE(has(text, labels.string()));
  }
  write(labels, idx_bytes(8, {3, 1}, {2, 0, 1}));
  REQUIRE(refused().first == "TACIT-RD51");
  write(labels, idx_bytes(9, {3}, {2, 0, 1}));
  {
    auto const [code, text] = refused();
    REQUIRE(code == "TACIT-RD51");
    REQUIRE(has(text, "found Char of shape 3"));
  }
  write(labels, idx_bytes(8, {3}, {2, 0, 1}));
  write(images, idx_bytes(8, {3, 4}, Bytes(12)));
  {
    auto const [code, text] = refused();
    REQUIRE(code == "TACIT-RD52");
    REQUIRE(has(text, "found Byte of shape 3 x 4"));
  }
  write(images, idx_bytes(0x0D, {3, 1, 1}, Bytes(12)));
  REQUIRE(refused().first == "TACIT-RD52");
  write(images, Bytes{0, 0, 8, 3, 0, 0, 0, 3});
  REQUIRE(refused().first == "TACIT-RD33");
  fs::remove(labels);
  {
    auto const [code, text] = refused();
    REQUIRE(code == "TACIT-RD50");
    REQUIRE(has(text, "neither train-labels-idx1-ubyte nor"));
  }
}

TEST_CASE("bad input: Fashion-MNIST where it is not") {
  for (bool const train : {true, false}) {
    auto const [code, text] = error_of([&] {
      (void)(train ? tacit::data::fashion_mnist("/no/such/place") : tacit::data::fashion_mnist_test("/no/such/place"));
    });
    REQUIRE(code == "TACIT-RD54");
    REQUIRE(text.find("dataset-fashion-mnist") != std::string::npos);
    REQUIRE(text.find("fashion_mnist(directory)") != std::string::npos);
    REQUIRE(text.find("/no/such/place") != std::string::npos);
  }
}

TEST_CASE("Fashion-MNIST: counts and checksums, and the first program's split") {
  if (!fs::exists(tacit::data::fashion_mnist_directory))
    SKIP("the Debian package dataset-fashion-mnist is not installed");
  TensorDataset const whole = tacit::data::fashion_mnist();
  REQUIRE(whole.inputs().sizes() == at::IntArrayRef{60000, 1, 28, 28});
  REQUIRE(at::equal(at::bincount(whole.targets()), at::full({10}, 6000, at::kLong)));
  REQUIRE(checksum(whole.inputs(), 255) == 0xae65dccdu);
  REQUIRE(checksum(whole.targets(), 1) == 0x2ed6e46au);

  auto [train, valid, test] = tacit::data::split(whole, {50000, 5000, 5000}, /*seed*/ 42);
  REQUIRE(train.size() == 50000);
  REQUIRE(valid.size() == 5000);
  REQUIRE(test.size() == 5000);
  REQUIRE(train.base().inputs().is_alias_of(whole.inputs()));

  TensorDataset const held_out = tacit::data::fashion_mnist_test();
  REQUIRE(held_out.inputs().sizes() == at::IntArrayRef{10000, 1, 28, 28});
  REQUIRE(at::equal(at::bincount(held_out.targets()), at::full({10}, 1000, at::kLong)));
  REQUIRE(checksum(held_out.inputs(), 255) == 0x12728439u);
  REQUIRE(checksum(held_out.targets(), 1) == 0x242bc73fu);
}

}  // namespace idx_tests
