// IDX files, with sizes that mostly fit each other. What is accepted must cover the file byte for byte.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "reliability/fuzz/mutate.hpp"
#include "tacit/data/idx_format.hpp"

namespace idx = tacit::data::idx;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// The header again, from what was read.
std::string header_of(idx::Header const& header) {
  std::string bytes{0, 0, static_cast<char>(header.type), static_cast<char>(header.dimensions.size())};
  for (std::int64_t const size : header.dimensions) {
    for (unsigned shift = 32; shift > 0; shift -= 8) bytes += static_cast<char>(static_cast<unsigned char>(size >> (shift - 8)));
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  try {
    idx::View const view = idx::parse({data, size}, "file", 2048);
    std::uint64_t bytes = idx::element_bytes(view.header.type);
    for (std::int64_t const dimension : view.header.dimensions) bytes *= static_cast<std::uint64_t>(dimension);
    require(bytes == view.payload.size() && bytes <= 2048 && view.payload.data() + bytes == data + size);
    std::string const header = header_of(view.header);
    require(header.size() == view.header.header_bytes && std::memcmp(header.data(), data, header.size()) == 0);
    std::vector<std::uint8_t> native(view.payload.begin(), view.payload.end());
    idx::to_native(view.header.type, native);
    idx::to_native(view.header.type, native);
    require(std::memcmp(native.data(), view.payload.data(), native.size()) == 0);
  } catch (tacit::DataError const&) {
  }
  return 0;
}

/// Changes the file, and mostly makes its magic bytes, its type and its length right again.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  std::string file = mutated_bytes({reinterpret_cast<char const*>(data), size}, max_size);
  if (seed % 8 == 0 || file.size() < 8 || max_size < 64) return give_back(file, data, max_size);
  static constexpr char types[] = {0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x0e};
  file[0] = file[1] = 0;
  if (std::memchr(types, file[2], sizeof types) == nullptr) file[2] = types[seed / 8 % sizeof types];
  auto const dimensions = static_cast<std::size_t>(static_cast<unsigned char>(file[3])) % (idx::max_dimensions + 1);  // 0 at times
  file[3] = static_cast<char>(dimensions);
  std::size_t const header = 4 + 4 * dimensions;
  std::size_t payload = idx::element_bytes(static_cast<idx::element_type>(file[2]));
  if (file.size() < header) file.resize(header);
  for (std::size_t at = 4; at < header; at += 4) {
    if (seed / 64 % 8 != 0) file[at] = file[at + 1] = file[at + 2] = 0;
    if (seed / 512 % 8 != 0) file[at + 3] = static_cast<char>(1 + static_cast<unsigned char>(file[at + 3]) % 4);
    payload *= static_cast<unsigned char>(file[at + 3]);
  }
  if (header + payload + 1 <= max_size) file.resize(header + payload + (seed % 8 == 1 ? 1 : 0));
  return give_back(file, data, max_size);
}
