// Tensor files, and the index of a sharded set. What is accepted must cover the file byte for byte, and be written back.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reliability/fuzz/mutate.hpp"
#include "tacit/state/safetensors.hpp"

namespace st = tacit::safetensors;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_accepted(st::Header const& header, std::span<std::byte const> bytes) {
  std::uint64_t place = 0;
  std::vector<st::TensorView> views;
  for (st::TensorInfo const& info : header.tensors) {
    require(info.begin == place && info.end >= info.begin && st::bytes_of(info.dtype, info.shape) == info.end - info.begin);
    place = info.end;
    auto const data = bytes.subspan(static_cast<std::size_t>(header.data_begin + info.begin), static_cast<std::size_t>(info.end - info.begin));
    views.push_back({info.name, info.dtype, info.shape, data});
  }
  require(header.data_begin + place == bytes.size());
  for (st::TensorInfo const& info : header.tensors) {
    if (info.name.find('\0') != std::string::npos) return;  // read, never written
  }
  std::string const again = st::serialize(views, header.metadata);
  st::Header const second = st::parse(std::as_bytes(std::span{again}), "again");
  require(second.tensors.size() == header.tensors.size() && second.metadata == header.metadata);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  auto const bytes = std::as_bytes(std::span{data, size});
  try {
    check_accepted(st::parse(bytes, "file"), bytes);
  } catch (tacit::StateError const&) {
  }
  try {
    for (std::string const& name : st::parse_index({reinterpret_cast<char const*>(data), size}, "index").files()) require(st::is_inner_path(name));
  } catch (tacit::StateError const&) {
  }
  return 0;
}

/// Changes the header or the data, and mostly makes the length right again.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  if (size < 8 || max_size < 16 || seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::uint64_t length = 0;
  std::memcpy(&length, data, 8);
  std::string const all{reinterpret_cast<char const*>(data) + 8, size - 8};
  std::size_t const cut = length < all.size() ? static_cast<std::size_t>(length) : all.size();
  std::string header = mutated_json(all.substr(0, cut), max_size - 8, seed / 16);
  std::string const tail = all.substr(cut);
  length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  file += header;
  file += tail;
  if (seed % 5 == 0) file.resize(file.size() + seed % 9);
  return give_back(file, data, max_size);
}
