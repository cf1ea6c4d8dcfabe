#include "tacit/data/npy_format.hpp"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tacit/data/npy_file.hpp"

using tacit::DataError;
namespace npy = tacit::data::npy;

namespace npy_format_tests {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes file(std::string const& header, std::size_t payload = 0, std::uint8_t version = 1) {
  Bytes bytes{0x93, 'N', 'U', 'M', 'P', 'Y', version, 0};
  for (unsigned byte = 0; byte < (version == 1 ? 2u : 4u); ++byte) {
    bytes.push_back(static_cast<std::uint8_t>(header.size() >> (8 * byte)));
  }
  bytes.insert(bytes.end(), header.begin(), header.end());
  for (std::size_t i = 0; i < payload; ++i) bytes.push_back(static_cast<std::uint8_t>(i + 1));
  return bytes;
}

std::string dict(std::string const& descr, std::string const& order, std::string const& shape) {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }          \n";
}

std::string refused(Bytes const& bytes, std::string const& part = "", tacit::data::Bytes limit = npy::default_limit) {
  try {
    (void)npy::parse(bytes, "f", limit);
  } catch (tacit::Error const& error) {
    CAPTURE(std::string{error.what()}, part);
    REQUIRE(std::string{error.what()}.find(part) != std::string::npos);
    return error.code();
  }
  return "none";
}

}  // namespace

TEST_CASE("every type, byte order and version of a .npy file is read") {
  for (auto const& [name, width] : {std::pair{"b1", 1},  {"i1", 1}, {"i2", 2}, {"i4", 4}, {"i8", 8}, {"u1", 1}, {"u2", 2},
                                    {"u4", 4}, {"u8", 8}, {"f2", 2}, {"f4", 4}, {"f8", 8}, {"c8", 8}, {"c16", 16}}) {
    for (char const order : width == 1 ? std::string{"|<>"} : std::string{"<>"}) {
      for (std::uint8_t const version : Bytes{1, 2, 3}) {
        auto const count = static_cast<std::size_t>(6 * width);
        Bytes const bytes = file(dict("'" + std::string{order} + name + "'", "False", "(3, 2)"), count, version);
        npy::View const view = npy::parse(bytes, "f");
        REQUIRE(view.header.dimensions == std::vector<std::int64_t>{3, 2});
        REQUIRE(view.header.width == static_cast<std::size_t>(width));
        REQUIRE(view.header.payload_bytes == count);
        REQUIRE(view.header.big_endian == (order == '>'));
        REQUIRE(view.payload[0] == 1);
      }
    }
  }
}

TEST_CASE("F21: the longs that numpy of Python 2 wrote are sizes, in versions 1 and 2") {
  for (std::uint8_t const version : Bytes{1, 2}) {
    REQUIRE(npy::parse(file(dict("'<f4'", "False", "(2L, 3L)"), 24, version), "f").header.dimensions == std::vector<std::int64_t>{2, 3});
    REQUIRE(npy::parse(file(dict("'<f4'", "False", "(3L,)"), 12, version), "f").header.dimensions == std::vector<std::int64_t>{3});
    REQUIRE(npy::parse(file(dict("'<f4'", "False", "(2, 3L, 0L)"), 0, version), "f").header.dimensions == std::vector<std::int64_t>{2, 3, 0});
    REQUIRE(refused(file(dict("'<f4'", "False", "(2LL, 3L)"), 24, version)) == "TACIT-RD108");
    REQUIRE(refused(file(dict("'<f4'", "False", "(L, 3)"), 24, version)) == "TACIT-RD108");
    REQUIRE(refused(file(dict("'<f4'", "False", "(3L)"), 12, version), "needs a comma") == "TACIT-RD108");
    REQUIRE(refused(file(dict("'<f4'", "False", "(9223372036854775808L,)"), 0, version), "over 2^63-1") == "TACIT-RD108");
  }
  REQUIRE(refused(file(dict("'<f4'", "False", "(2L, 3L)"), 24, 3)) == "TACIT-RD108");  // version 3 is of Python 3
}

TEST_CASE("shapes without elements or dimensions, keys in any order, both quotes") {
  REQUIRE(npy::parse(file(dict("'<f4'", "False", "()"), 4), "f").header.dimensions.empty());
  npy::Header const empty = npy::parse(file(dict("'<f4'", "True", "(0,)")), "f").header;
  REQUIRE(empty.fortran_order);
  REQUIRE(empty.payload_bytes == 0);
  REQUIRE(npy::parse(file(dict("'<f4'", "True", "(5, 0, 3)")), "f").payload.empty());
  REQUIRE(npy::parse(file("{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"|u1\"}", 2), "f").payload.size() == 2);
}

TEST_CASE("numbers are turned into the machine's byte order, complex ones by halves") {
  npy::Header header = npy::parse(file(dict("'>i2'", "False", "(1,)"), 2), "f").header;
  Bytes number{0x01, 0x02};
  npy::to_native(header, number);
  std::uint16_t value = 0;
  std::memcpy(&value, number.data(), 2);
  REQUIRE(value == 0x0102);
  header = npy::parse(file(dict("'>c8'", "False", "(1,)"), 8), "f").header;
  Bytes pair{1, 2, 3, 4, 5, 6, 7, 8};
  npy::to_native(header, pair);
  std::uint32_t real = 0;
  std::memcpy(&real, pair.data(), 4);
  REQUIRE(real == 0x01020304);
}

TEST_CASE("a damaged preamble is refused with what is wrong with it") {
  Bytes const good = file(dict("'<f4'", "False", "(2,)"), 8);
  Bytes zip = good;
  zip[0] = 'P';
  REQUIRE(refused(zip, "expected 0x93, found 0x50") == "TACIT-RD105");
  Bytes version = good;
  version[6] = 4;
  REQUIRE(refused(version, "version 4.0") == "TACIT-RD106");
  version[6] = 0;
  REQUIRE(refused(version) == "TACIT-RD106");
  Bytes minor = good;
  minor[7] = 1;
  REQUIRE(refused(minor) == "TACIT-RD106");
  Bytes lengthy = file(dict("'<f4'", "False", "(2,)"), 8, 2);
  lengthy[11] = 0x7f;
  REQUIRE(refused(lengthy, "the limit is 65536") == "TACIT-RD109");
  REQUIRE(refused(good, "no limit", tacit::unset) == "TACIT-RC15");
}

TEST_CASE("a file that ends anywhere before its end is refused, and one that goes on") {
  Bytes const good = file(dict("'<f4'", "False", "(2,)"), 8);
  for (std::size_t length = 0; length < good.size(); ++length) {
    std::string const code = refused({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)});
    REQUIRE(code == (length < good.size() - 8 ? "TACIT-RD107" : "TACIT-RD113"));
  }
  Bytes longer = good;
  longer.push_back(0);
  REQUIRE(refused(longer) == "TACIT-RD114");
}

TEST_CASE("text that is not the one dictionary is refused where it goes wrong") {
  for (std::string const& text : std::vector<std::string>{
           "", "{", "{}", "[]", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",
           "{'descr': '<f4', 'fortran_order': false, 'shape': (2,)}", "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", "{'descr': '<f4', 'fortran_order': False, 'shape': [2]}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (02,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'extra': 1}",
           "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}",
           "{'descr: <f4, 'fortran_order': False, 'shape': (2,)}", "{descr: '<f4', 'fortran_order': False, 'shape': (2,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (" + [] {
             std::string ones;
             for (int i = 0; i < 33; ++i) ones += "1,";
             return ones;
           }() + ")}"}) {
    CAPTURE(text);
    REQUIRE(refused(file(text, 8), "offset") == "TACIT-RD108");
  }
}

TEST_CASE("types that hold no numbers are refused") {
  for (std::string const& type : std::vector<std::string>{"'|O'", "'<U5'", "'|S3'", "'<M8[ns]'", "'<f16'", "'f4'", "'=f4'", "'|f4'",
                                                          "''", "'<'", "[('x', '<f4')]", "'<\x01zz'"}) {
    CAPTURE(type);
    REQUIRE(refused(file(dict(type, "False", "(2,)"), 8)) == "TACIT-RD110");
  }
}

TEST_CASE("sizes that overflow or pass the limit are refused before anything is allocated") {
  REQUIRE(refused(file(dict("'<f8'", "False", "(4294967296, 4294967296)"))) == "TACIT-RD111");
  REQUIRE(refused(file(dict("'<f8'", "False", "(0, 4294967296, 4294967296)"))) == "TACIT-RD111");
  REQUIRE(refused(file(dict("'<f8'", "False", "(9223372036854775807,)"))) == "TACIT-RD111");
  REQUIRE(refused(file(dict("'<f8'", "False", "(1000000000,)")), "1000000000") == "TACIT-RD112");
  REQUIRE(refused(file(dict("'<f8'", "False", "(3,)"), 24), "", 23) == "TACIT-RD112");
  REQUIRE(refused(file(dict("'<f8'", "False", "(3,)"), 24), "", 24) == "none");
}

TEST_CASE("a .npy file on disk is read as it is in memory") {
  auto const path = std::filesystem::temp_directory_path() / ("tacit_npy_" + std::to_string(::getpid()));
  Bytes const good = file(dict("'>u2'", "False", "(50000, 2)"), 200000);
  auto const write = [&](Bytes const& bytes) {
    std::ofstream out{path, std::ios::binary};
    out.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  };
  auto const code = [&] {
    bool allocated = false;
    try {
      std::vector<std::uint8_t> data;
      tacit::data::read_npy_file(path, npy::default_limit, [&](npy::Header const& header) {
        allocated = true;
        data.resize(header.payload_bytes);
        return static_cast<void*>(data.data());
      });
      Bytes expected(good.end() - 200000, good.end());
      for (std::size_t i = 0; i < expected.size(); i += 2) std::swap(expected[i], expected[i + 1]);
      REQUIRE(data == expected);
    } catch (DataError const& error) {
      return error.code() + (allocated ? "" : " early");
    }
    return std::string{"none"};
  };
  write(good);
  REQUIRE(code() == "none");
  write({good.begin(), good.end() - 1});
  REQUIRE(code() == "TACIT-RD113 early");
  Bytes longer = good;
  longer.push_back(1);
  write(longer);
  REQUIRE(code() == "TACIT-RD114");
  write(file(dict("'>u2'", "False", "(1,)"), 3));
  REQUIRE(code() == "TACIT-RD114");
  std::filesystem::remove(path);
  REQUIRE(code() == "TACIT-RD30 early");
}

}  // namespace npy_format_tests
