#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "tacit/data/idx_file.hpp"
#include "tacit/data/npy_format.hpp"

namespace tacit::inline v0::data {

/// Reads a .npy file, plain or gzip, into the `header.payload_bytes` bytes that `allocate(header)` points to.
///
/// The elements come in the machine's byte order and in the order of the file: see `header.fortran_order`. `allocate` is
/// called once, after the header was checked and the file was found large enough to hold what it announces.
/// Throws: DataError, a number for each way in which the file can be wrong.
template <class Allocate>
npy::Header read_npy_file(std::filesystem::path const& path, Bytes limit, Allocate&& allocate) {
  detail::UnpackingFile file{path};
  std::vector<std::uint8_t> start(npy::preamble_bytes + npy::max_header_bytes);
  std::size_t const available = file.read(start);
  npy::Header const header = npy::parse_header(std::span{start}.first(available), file.name(), limit);
  if (file.most_bytes() < header.header_bytes + header.payload_bytes) {
    npy::refuse_truncated(file.name(), header,
                          file.most_bytes() - std::min<std::uint64_t>(file.most_bytes(), header.header_bytes));
  }
  std::span<std::uint8_t> const payload{
      static_cast<std::uint8_t*>(std::forward<Allocate>(allocate)(std::as_const(header))),
      static_cast<std::size_t>(header.payload_bytes)};
  std::size_t const early = available - header.header_bytes;
  if (early > payload.size()) npy::refuse_trailing(file.name(), header);
  std::copy_n(start.data() + header.header_bytes, early, payload.data());
  std::size_t const found = early + file.read(payload.subspan(early));
  if (found < payload.size()) npy::refuse_truncated(file.name(), header, found);
  std::uint8_t beyond = 0;
  if (file.read({&beyond, 1}) != 0) npy::refuse_trailing(file.name(), header);
  npy::to_native(header, payload);
  return header;
}

}  // namespace tacit::inline v0::data
