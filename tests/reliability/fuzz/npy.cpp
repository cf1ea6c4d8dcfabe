// .npy files, with lengths that mostly fit the text and the data. What is accepted must cover the file byte for byte.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reliability/fuzz/mutate.hpp"
#include "tacit/data/npy_format.hpp"

namespace npy = tacit::data::npy;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::size_t length_bytes(std::string const& file) { return file.size() > 6 && file[6] == 1 ? 2 : 4; }

/// The file with its length field made right for `text` bytes behind it.
void write_length(std::string& file, std::size_t text) {
  for (std::size_t byte = 0; byte < length_bytes(file); ++byte) file[8 + byte] = static_cast<char>(static_cast<unsigned char>(text >> (8 * byte)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  try {
    npy::View const view = npy::parse({data, size}, "file", 2048);
    npy::Header const& header = view.header;
    std::uint64_t bytes = header.width;
    for (std::int64_t const dimension : header.dimensions) {
      require(dimension >= 0);
      bytes *= static_cast<std::uint64_t>(dimension);
    }
    require(bytes == header.payload_bytes && bytes <= 2048 && header.header_bytes + bytes == size && view.payload.size() == bytes);
    require(header.dimensions.size() <= npy::max_dimensions && header.width % header.word_bytes == 0);
    std::vector<std::uint8_t> native(view.payload.begin(), view.payload.end());
    npy::to_native(header, native);
    npy::to_native(header, native);
    require(std::ranges::equal(native, view.payload));
  } catch (tacit::DataError const&) {
  }
  return 0;
}

/// Changes text or data, and mostly makes magic bytes and lengths right again.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  static constexpr std::string_view tokens[] = {"{", "}", "(", ")", "[", ",", ":", "'", "\"", " ", "\n", "'descr': ", "'fortran_order': ", "'shape': ",
                                                "'<f4'", "'>c16'", "'|u1'", "'|b1'", "'>i8'", "'<f2'", "'|O'", "True", "False", "()", "(3,)", "(2, 0)", "0",
                                                "1", "9", "4294967296", "9223372036854775807", "-1", "[('x', '<f4')]"};
  std::string file{reinterpret_cast<char const*>(data), size};
  if (size < 16 || max_size < 256 || seed % 16 == 0) return give_back(mutated_bytes(std::move(file), max_size), data, max_size);
  if (seed % 16 == 1) file[6] = static_cast<char>(1 + seed / 16 % 3);
  std::size_t const before = 8 + length_bytes(file);
  std::size_t length = 0;
  for (std::size_t byte = length_bytes(file); byte > 0; --byte) length = length << 8 | static_cast<unsigned char>(file[7 + byte]);
  length = std::min(length, file.size() - before);
  std::string const text = mutated_text(file.substr(before, length), max_size / 2, seed / 16, tokens);
  file = "\x93NUMPY" + file.substr(6, before - 6) + text + file.substr(before + length);
  write_length(file, text.size());
  try {
    npy::Header const header = npy::parse_header({reinterpret_cast<std::uint8_t const*>(file.data()), file.size()}, "file", 2048);
    if (seed % 8 != 0) file.resize(header.header_bytes + static_cast<std::size_t>(header.payload_bytes));
  } catch (tacit::DataError const&) {
  }
  return give_back(file, data, max_size);
}
