#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "tacit/state/crc32c.hpp"

namespace crc32c_tests {
namespace {

std::span<std::byte const> bytes_of(std::string_view text) { return std::as_bytes(std::span{text}); }
std::uint32_t portable(std::span<std::byte const> bytes) {
  return ~tacit::detail::crc32c_portable(~0U, reinterpret_cast<unsigned char const*>(bytes.data()), bytes.size());
}
/// The definition, a bit at a time.
std::uint32_t by_bits(std::span<std::byte const> bytes) {
  std::uint32_t sum = ~0U;
  for (std::byte byte : bytes) {
    sum ^= static_cast<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) sum = (sum & 1U) != 0 ? (sum >> 1U) ^ 0x82f63b78U : sum >> 1U;
  }
  return ~sum;
}

}  // namespace

TEST_CASE("crc32c gives the known values") {
  CHECK(tacit::crc32c(bytes_of("123456789")) == 0xe3069283U);  // the check value of the catalogue of CRCs
  CHECK(tacit::crc32c({}) == 0U);
  // RFC 3720, appendix B.4
  std::array<std::byte, 32> block{};
  CHECK(tacit::crc32c(block) == 0x8a9136aaU);
  block.fill(std::byte{0xff});
  CHECK(tacit::crc32c(block) == 0x62a8ab43U);
  for (std::size_t i = 0; i < 32; ++i) block[i] = static_cast<std::byte>(i);
  CHECK(tacit::crc32c(block) == 0x46dd794eU);
  for (std::size_t i = 0; i < 32; ++i) block[i] = static_cast<std::byte>(31 - i);
  CHECK(tacit::crc32c(block) == 0x113fdb5cU);
}

TEST_CASE("crc32c by instruction, by table and by definition are equal at every length and alignment") {
  std::mt19937 random{20};
  std::vector<std::byte> data(20000 + 64);  // several turns of three streams
  for (std::byte& byte : data) byte = static_cast<std::byte>(random());
  for (std::size_t start = 0; start < 9; ++start) {
    for (std::size_t size : std::initializer_list<std::size_t>{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 1000, 4096, 6143, 6144, 6145, 12288, 20000}) {
      std::span<std::byte const> const part = std::span{data}.subspan(start, size);
      std::uint32_t const wanted = by_bits(part);
      CHECK(tacit::crc32c(part) == wanted);
      CHECK(portable(part) == wanted);
    }
  }
}

TEST_CASE("crc32c goes on where it stopped") {
  std::string_view const text = "the sum of a file is made piece by piece";
  std::uint32_t const whole = tacit::crc32c(bytes_of(text));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    CHECK(tacit::crc32c(bytes_of(text.substr(cut)), tacit::crc32c(bytes_of(text.substr(0, cut)))) == whole);
  }
}

}  // namespace crc32c_tests
