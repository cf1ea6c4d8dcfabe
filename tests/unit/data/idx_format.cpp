#include "tacit/data/idx_format.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

using tacit::ConfigError;
using tacit::DataError;
namespace idx = tacit::data::idx;

namespace idx_format_tests {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// The bytes of an IDX file.
Bytes file(std::uint8_t type, std::vector<std::uint32_t> const& dimensions, Bytes const& payload = {}) {
  Bytes bytes{0, 0, type, static_cast<std::uint8_t>(dimensions.size())};
  for (std::uint32_t const size : dimensions) {
    for (unsigned shift = 32; shift > 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(size >> (shift - 8)));
  }
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

template <class Error = DataError>
std::pair<std::string, std::string> error_of(auto&& call) {
  try {
    call();
  } catch (Error const& error) {
    return {error.code(), error.what()};
  }
  return {"none", ""};
}

/// What `parse` reports about a file named f: the number, and the message must contain every part.
std::string refused(Bytes const& bytes, std::vector<std::string> const& parts = {},
                    tacit::data::Bytes limit = idx::default_limit) {
  auto const [code, text] = error_of([&] { (void)idx::parse(bytes, "f", limit); });
  for (std::string const& part : parts) {
    CAPTURE(text);
    REQUIRE(text.find(part) != std::string::npos);
  }
  return code;
}

}  // namespace

TEST_CASE("a good file is read as it was written, for every element type") {
  for (auto const& [code, width] : {std::pair{0x08, 1}, {0x09, 1}, {0x0B, 2}, {0x0C, 4}, {0x0D, 4}, {0x0E, 8}}) {
    Bytes payload(static_cast<std::size_t>(6 * width));
    for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::uint8_t>(17 * i + 3);
    Bytes const bytes = file(static_cast<std::uint8_t>(code), {3, 2}, payload);
    idx::View const view = idx::parse(bytes, "f");
    REQUIRE(static_cast<int>(view.header.type) == code);
    REQUIRE(view.header.dimensions == std::vector<std::int64_t>{3, 2});
    REQUIRE(view.header.header_bytes == 12);
    REQUIRE(view.header.payload_bytes == payload.size());
    REQUIRE(std::ranges::equal(view.payload, payload));
  }
}

TEST_CASE("big-endian elements come into the machine's order") {
  Bytes bytes{0x01, 0x02, 0x03, 0x04, 0xff, 0xff, 0xff, 0xfe};
  idx::to_native(idx::element_type::int32, bytes);
  std::array<std::int32_t, 2> integers{};
  std::memcpy(integers.data(), bytes.data(), bytes.size());
  REQUIRE(integers == std::array<std::int32_t, 2>{0x01020304, -2});

  bytes = {0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
  idx::to_native(idx::element_type::float64, bytes);
  double number = 0;
  std::memcpy(&number, bytes.data(), bytes.size());
  REQUIRE(number == 1.5);

  bytes = {1, 2, 3};
  idx::to_native(idx::element_type::uint8, bytes);
  REQUIRE(bytes == Bytes{1, 2, 3});
}

TEST_CASE("bad input: IDX magic number") {
  REQUIRE(refused({1, 0, 8, 1, 0, 0, 0, 1, 5}, {"f, offset 0", "expected 0x00, found 0x01"}) == "TACIT-RD34");
  REQUIRE(refused({0, 255, 8, 1, 0, 0, 0, 1, 5}, {"f, offset 1", "found 0xff"}) == "TACIT-RD34");
}

TEST_CASE("bad input: IDX type code") {
  for (int code = 0; code < 256; ++code) {
    bool const known = code == 0x08 || code == 0x09 || (code >= 0x0B && code <= 0x0E);
    Bytes const bytes = file(static_cast<std::uint8_t>(code), {1}, Bytes(8));
    CAPTURE(code);
    if (!known) {
      REQUIRE(refused(bytes, {"f, offset 2"}) == "TACIT-RD35");
    } else {
      REQUIRE(refused(bytes) ==
              (idx::element_bytes(static_cast<idx::element_type>(code)) == 8 ? "none" : "TACIT-RD41"));
    }
  }
}

TEST_CASE("bad input: IDX number of dimensions") {
  REQUIRE(refused({0, 0, 8, 0, 5}, {"f, offset 3", "expected 1 to 8 dimensions, found 0"}) == "TACIT-RD36");
  REQUIRE(refused(file(8, std::vector<std::uint32_t>(8, 1), {5})) == "none");
  REQUIRE(refused(file(8, std::vector<std::uint32_t>(9, 1), {5}), {"found 9"}) == "TACIT-RD36");
  REQUIRE(refused(file(8, std::vector<std::uint32_t>(255, 1), {5}), {"found 255"}) == "TACIT-RD36");
}

TEST_CASE("bad input: IDX header cut off at every length") {
  Bytes const whole = file(8, {2, 3}, Bytes(6));
  for (std::size_t length = 0; length < 12; ++length) {
    CAPTURE(length);
    REQUIRE(refused({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)},
                    {"f, offset " + std::to_string(length), "found " + std::to_string(length)}) == "TACIT-RD33");
  }
}

TEST_CASE("bad input: IDX dimension 0") {
  REQUIRE(refused(file(8, {0})) == "TACIT-RD37");
  REQUIRE(refused(file(8, {4, 0, 7}), {"dimension 1 is 0", "f, offset 8"}) == "TACIT-RD37");
}

TEST_CASE("bad input: IDX dimensions whose product overflows") {
  REQUIRE(refused(file(8, {0xffffffff, 0xffffffff, 0xffffffff}), {"4294967295 x 4294967295", "f, offset 8"}) ==
          "TACIT-RD38");
  REQUIRE(refused(file(8, {0x80000000, 0x80000000, 2, 1}), {"f, offset 12"}) == "TACIT-RD38");
  REQUIRE(refused(file(0x0E, {0x80000000, 0x20000000}), {"f, offset 8"}) == "TACIT-RD38");
  // The product alone wraps around to 0 in 64 bits.
  REQUIRE(refused(file(8, {0x80000000, 0x80000000, 4})) == "TACIT-RD38");
}

TEST_CASE("bad input: IDX data over the limit") {
  REQUIRE(refused(file(8, {0x80000000, 3}), {"6442450944 bytes", "the limit is 4294967296"}) == "TACIT-RD39");
  REQUIRE(refused(file(8, {10}, Bytes(10)), {"f, offset 4"}, 9) == "TACIT-RD39");
  REQUIRE(refused(file(8, {10}, Bytes(10)), {}, 10) == "none");
  REQUIRE(refused(file(0x0C, {10}, Bytes(40)), {}, 39) == "TACIT-RD39");
  auto const [code, text] =
      error_of<ConfigError>([] { (void)idx::parse(file(8, {1}, {5}), "f", tacit::data::Bytes{tacit::unset}); });
  REQUIRE(code == "TACIT-RC15");
}

TEST_CASE("bad input: IDX data cut off or going on") {
  Bytes const whole = file(8, {2, 3}, Bytes(6));
  REQUIRE(refused(whole) == "none");
  for (std::size_t length = 12; length < 18; ++length) {
    REQUIRE(refused({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)},
                    {"expected 6 bytes (2 x 3), found " + std::to_string(length - 12),
                     "f, offset " + std::to_string(length)}) == "TACIT-RD40");
  }
  Bytes longer = whole;
  longer.push_back(0);
  REQUIRE(refused(longer, {"f, offset 18"}) == "TACIT-RD41");
}

TEST_CASE("no single changed byte of a header is taken for another file silently") {
  // A permuted shape of the same product is the one change that no check can see: here there is none one byte away.
  Bytes const whole = file(8, {5, 7}, Bytes(35));
  for (std::size_t at = 0; at < 12; ++at) {
    for (int value = 0; value < 256; ++value) {
      Bytes changed = whole;
      changed[at] = static_cast<std::uint8_t>(value);
      bool const same_width = at == 2 && value == 0x09;  // signed for unsigned bytes
      CAPTURE(at, value);
      if (changed != whole && !same_width) REQUIRE(refused(changed) != "none");
    }
  }
}

}  // namespace idx_format_tests
