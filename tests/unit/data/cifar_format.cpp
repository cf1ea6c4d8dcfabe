#include "tacit/data/cifar_format.hpp"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>
#include <system_error>
#include <vector>

#include "tacit/data/cifar_file.hpp"

using tacit::data::CifarImages;
using tacit::data::Part;
namespace cifar = tacit::data::cifar;
namespace fs = std::filesystem;
using cifar::Variant;

namespace cifar_format_tests {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// Records with the given labels; pixel p of record r is 7 r + 3 p, and red, green and blue differ.
Bytes records(std::vector<Bytes> const& labels) {
  Bytes bytes;
  for (std::size_t r = 0; r < labels.size(); ++r) {
    bytes.insert(bytes.end(), labels[r].begin(), labels[r].end());
    for (std::size_t p = 0; p < 3072; ++p) bytes.push_back(static_cast<std::uint8_t>(7 * r + 3 * p + p / 1024));
  }
  return bytes;
}

/// The number of the error, whose message must name the file and contain every part.
std::string refused(Bytes const& bytes, Variant variant, std::vector<std::string> const& parts = {}, tacit::data::Bytes limit = cifar::default_limit) {
  try {
    (void)cifar::parse(bytes, "f.bin", variant, limit);
  } catch (tacit::Error const& error) {
    std::string const text = error.what();
    CAPTURE(text);
    REQUIRE(text.find("f.bin") != std::string::npos);
    for (std::string const& part : parts) REQUIRE(text.find(part) != std::string::npos);
    return error.code();
  }
  return "none";
}

struct Scratch {
  fs::path path = fs::temp_directory_path() / ("tacit_cifar_" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(path); }
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path write(std::string const& name, Bytes const& bytes) const {
    // gzopen's "T" writes the bytes as they are.
    fs::path const file = path / name;
    gzFile const out = gzopen(file.c_str(), file.extension() == ".gz" ? "wb9" : "wbT");
    REQUIRE(out != nullptr);
    if (!bytes.empty()) REQUIRE(gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size())) == static_cast<int>(bytes.size()));
    REQUIRE(gzclose(out) == Z_OK);
    return file;
  }
};

std::string code(auto&& call, std::vector<std::string> const& parts = {}) {
  try {
    call();
  } catch (tacit::Error const& error) {
    std::string const text = error.what();
    CAPTURE(text);
    for (std::string const& part : parts) REQUIRE(text.find(part) != std::string::npos);
    return error.code();
  }
  return "none";
}

}  // namespace

TEST_CASE("records of CIFAR-10 and CIFAR-100 are taken apart") {
  Bytes const ten = records({{3}, {0}, {9}});
  cifar::View const view = cifar::parse(ten, "f.bin", Variant::cifar10);
  REQUIRE(view.size() == 3);
  REQUIRE(view.label(0) == 3);
  REQUIRE(view.label(2) == 9);
  REQUIRE(view.image(1).size() == 3072);
  REQUIRE(view.image(1)[0] == 7);
  REQUIRE(view.image(2)[3071] == static_cast<std::uint8_t>(14 + 3 * 3071 + 2));
  REQUIRE(view.image(2).data() + 3072 == ten.data() + ten.size());

  Bytes const hundred = records({{19, 99}, {0, 42}});
  cifar::View const fine = cifar::parse(hundred, "f.bin", Variant::cifar100);
  REQUIRE(fine.size() == 2);
  REQUIRE(fine.coarse_label(0) == 19);
  REQUIRE(fine.label(0) == 99);
  REQUIRE(fine.label(1) == 42);
  REQUIRE(fine.image(1)[1] == 10);
}

TEST_CASE("bad input: CIFAR files that are empty, end within a record, or are those of the other set") {
  for (Variant const variant : {Variant::cifar10, Variant::cifar100}) {
    REQUIRE(refused({}, variant) == "TACIT-RD83");
    Bytes const whole = records(variant == Variant::cifar10 ? std::vector<Bytes>{{1}, {2}} : std::vector<Bytes>{{1, 1}, {2, 2}});
    for (std::size_t length = 1; length <= whole.size() + 2; ++length) {
      Bytes bytes = whole;
      bytes.resize(length);
      std::size_t const record = cifar::record_bytes(variant);
      std::string const offset = "offset " + std::to_string(length / record * record);
      REQUIRE(refused(bytes, variant, length % record == 0 ? std::vector<std::string>{} : std::vector<std::string>{offset}) ==
              (length % record == 0 ? "none" : "TACIT-RD89"));
    }
  }
  REQUIRE(refused(records({{1, 1}}), Variant::cifar10, {"CIFAR-10's records of 3073", "looks like a file of CIFAR-100"}) == "TACIT-RD89");
  REQUIRE(refused(records({{1}}), Variant::cifar100, {"looks like a file of CIFAR-10"}) == "TACIT-RD89");
}

TEST_CASE("bad input: labels that are no class are named with record and offset") {
  for (int value = 0; value < 256; ++value) {
    auto const label = static_cast<std::uint8_t>(value);
    REQUIRE(refused(records({{label}}), Variant::cifar10) == (value < 10 ? "none" : "TACIT-RD90"));
    REQUIRE(refused(records({{0, label}}), Variant::cifar100) == (value < 100 ? "none" : "TACIT-RD90"));
    REQUIRE(refused(records({{label, 0}}), Variant::cifar100) == (value < 20 ? "none" : "TACIT-RD90"));
  }
  REQUIRE(refused(records({{9}, {10}}), Variant::cifar10, {"label 10 of record 1 is none of the 10 classes", "offset 3073"}) == "TACIT-RD90");
  REQUIRE(refused(records({{1, 1}, {20, 1}}), Variant::cifar100, {"coarse label 20 of record 1", "20 classes", "offset 3074"}) == "TACIT-RD90");
  REQUIRE(refused(records({{1, 1}, {1, 100}}), Variant::cifar100, {": label 100 of record 1", "100 classes", "offset 3075"}) == "TACIT-RD90");
}

TEST_CASE("bad input: CIFAR files over the limit") {
  REQUIRE(refused(records({{1}}), Variant::cifar10, {}, 3073) == "none");
  REQUIRE(refused(records({{1}}), Variant::cifar10, {"3072"}, 3072) == "TACIT-RD85");
  REQUIRE(refused(records({{1}}), Variant::cifar10, {}, tacit::unset) == "TACIT-RC15");
}

TEST_CASE("a CIFAR file is read from disk, plain or gzip, larger ones than the limit are not") {
  Scratch const scratch;
  std::vector<Bytes> labels(1000);  // 3 MB: more than a piece
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = {static_cast<std::uint8_t>(i % 20), static_cast<std::uint8_t>(i % 97)};
  Bytes const bytes = records(labels);
  for (char const* const name : {"a.bin", "a.bin.gz"}) {
    CifarImages const images = tacit::data::read_cifar_file(scratch.write(name, bytes), Variant::cifar100);
    REQUIRE(images.labels.size() == 1000);
    REQUIRE(images.labels[999] == 999 % 97);
    REQUIRE(images.coarse_labels[999] == 999 % 20);
    REQUIRE(std::equal(images.pixels.end() - 3072, images.pixels.end(), bytes.end() - 3072));
  }
  auto const read = [&](char const* name, tacit::data::Bytes limit) {
    return code([&] { (void)tacit::data::read_cifar_file(scratch.path / name, Variant::cifar100, limit); }, {name});
  };
  REQUIRE(read("a.bin", 3074000) == "none");
  REQUIRE(read("a.bin", 3073999) == "TACIT-RD85");
  // A bomb is unpacked no further than the limit.
  scratch.write("bomb.gz", Bytes(std::size_t{3074} * 20000));
  REQUIRE(read("bomb.gz", 1000) == "TACIT-RD85");
  REQUIRE(read("a.bin", tacit::unset) == "TACIT-RC15");
  REQUIRE(read("missing", 1000) == "TACIT-RD30");
  scratch.write("empty", {});
  REQUIRE(read("empty", 1000) == "TACIT-RD83");
}

TEST_CASE("a directory is read as the archive has it, and what is missing is named before anything is read") {
  Scratch const scratch;
  auto const ten = [&](Part part) { return tacit::data::read_cifar(scratch.path, Variant::cifar10, part); };
  for (std::uint8_t number = 1; number <= 4; ++number) {
    scratch.write("data_batch_" + std::to_string(number) + ".bin" + (number == 2 ? ".gz" : ""), records({{number}, {0}}));
  }
  REQUIRE(code([&] { (void)ten(Part::train); }, {"neither data_batch_5.bin nor data_batch_5.bin.gz", scratch.path.string(), "cifar-10-batches-bin"}) == "TACIT-RD50");
  REQUIRE(code([&] { (void)ten(Part::test); }, {"test_batch.bin"}) == "TACIT-RD50");
  scratch.write("data_batch_5.bin", records({{5}}));
  scratch.write("test_batch.bin", records({{7}}));
  CifarImages const train = ten(Part::train);
  REQUIRE(train.labels == Bytes{1, 0, 2, 0, 3, 0, 4, 0, 5});
  REQUIRE(train.coarse_labels.empty());
  REQUIRE(train.pixels.size() == 9 * 3072);
  REQUIRE(train.pixels[3 * 3072] == 7);
  REQUIRE(ten(Part::test).labels == Bytes{7});

  auto const hundred = [&](Part part) { return tacit::data::read_cifar(scratch.path, Variant::cifar100, part); };
  REQUIRE(code([&] { (void)hundred(Part::train); }, {"train.bin", "cifar-100-binary"}) == "TACIT-RD50");
  scratch.write("train.bin", records({{1, 2}, {3, 4}}));
  scratch.write("test.bin.gz", records({{5, 6}}));
  REQUIRE(hundred(Part::train).labels == Bytes{2, 4});
  REQUIRE(hundred(Part::train).coarse_labels == Bytes{1, 3});
  REQUIRE(hundred(Part::test).labels == Bytes{6});
  scratch.write("data_batch_3.bin", Bytes(100));
  REQUIRE(code([&] { (void)ten(Part::train); }, {"data_batch_3.bin"}) == "TACIT-RD89");
}

}  // namespace cifar_format_tests
