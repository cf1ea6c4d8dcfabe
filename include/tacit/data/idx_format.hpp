#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"

/// The IDX format of the MNIST family (Y. LeCun, "The MNIST database of handwritten digits"): two zero bytes, a type
/// code, the number of dimensions, the dimensions as 32-bit big-endian numbers, then the elements, big-endian.
namespace tacit::inline v0::data {

/// The unit of `Bytes`.
struct byte_unit {
  static constexpr std::string_view name = "bytes";
};
using Bytes = Count<byte_unit>;

namespace idx {

enum class element_type : std::uint8_t {
  uint8 = 0x08,
  int8 = 0x09,
  int16 = 0x0B,
  int32 = 0x0C,
  float32 = 0x0D,
  float64 = 0x0E,
};

/// Bytes of one element; 0 for a code that the format does not know.
constexpr std::size_t element_bytes(element_type type) noexcept {
  switch (type) {
    case element_type::uint8:
    case element_type::int8:
      return 1;
    case element_type::int16:
      return 2;
    case element_type::int32:
    case element_type::float32:
      return 4;
    case element_type::float64:
      return 8;
  }
  return 0;
}

inline constexpr std::size_t max_dimensions = 8;
inline constexpr std::size_t max_header_bytes = 4 + 4 * max_dimensions;
/// More than this is refused unless the caller asks for it: 4 GiB.
inline constexpr Bytes default_limit = std::int64_t{1} << 32;

struct Header {
  element_type type{};
  std::vector<std::int64_t> dimensions;  ///< each at least 1
  std::size_t header_bytes = 0;
  std::uint64_t payload_bytes = 0;
};

namespace detail {

inline std::string at_offset(std::string_view file, std::uint64_t offset) {
  return std::string{file} + ", offset " + std::to_string(offset);
}

inline std::string hex(std::uint8_t byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  return {'0', 'x', digits[byte / 16], digits[byte % 16]};
}

inline std::string sizes(std::vector<std::int64_t> const& dimensions) {
  std::string text;
  for (std::int64_t const size : dimensions) text.append(text.empty() ? "" : " x ").append(std::to_string(size));
  return text;
}

}  // namespace detail

/// Reads and checks a header; `bytes` is the start of a file, at least `max_header_bytes` of it or all there is.
///
/// `file` goes into messages only. Nothing is allocated but the list of dimensions.
/// Throws: DataError, a number for each field that can be wrong; ConfigError for a limit that is not given.
inline Header parse_header(std::span<std::uint8_t const> bytes, std::string_view file, Bytes limit = default_limit) {
  auto const need = [&](std::size_t count) {
    if (bytes.size() < count) {
      throw DataError{
          "TACIT-RD33",
          "the header is cut off: expected " + std::to_string(count) + " bytes, found " + std::to_string(bytes.size()),
          detail::at_offset(file, bytes.size()), "fetch the file again"};
    }
  };
  if (!limit.is_set()) {
    throw ConfigError{"TACIT-RC15", "no limit on the size was given", std::string{file}, "give a number of bytes"};
  }
  need(4);
  if (bytes[0] != 0 || bytes[1] != 0) {
    std::size_t const wrong = bytes[0] != 0 ? 0 : 1;
    throw DataError{"TACIT-RD34", tacit::detail::message({"not an IDX file: expected 0x00, found ", detail::hex(bytes[wrong])}),
                    detail::at_offset(file, wrong), "an IDX file starts with 00 00, a type code, the number of dimensions"};
  }
  Header header;
  header.type = static_cast<element_type>(bytes[2]);
  std::size_t const element = element_bytes(header.type);
  if (element == 0) {
    throw DataError{"TACIT-RD35",
                    tacit::detail::message({"unknown type code: expected 0x08, 0x09, 0x0b, 0x0c, 0x0d or 0x0e, found ", detail::hex(bytes[2])}),
                    detail::at_offset(file, 2), "convert the file to one of these element types"};
  }
  std::size_t const dimensions = bytes[3];
  if (dimensions < 1 || dimensions > max_dimensions) {
    throw DataError{
        "TACIT-RD36",
        "expected 1 to " + std::to_string(max_dimensions) + " dimensions, found " + std::to_string(dimensions),
        detail::at_offset(file, 3), "the file is no data set, or damaged"};
  }
  header.header_bytes = 4 + 4 * dimensions;
  need(header.header_bytes);
  header.payload_bytes = element;
  for (std::size_t dimension = 0; dimension < dimensions; ++dimension) {
    std::size_t const offset = 4 + 4 * dimension;
    std::uint64_t size = 0;
    for (std::size_t byte = 0; byte < 4; ++byte) size = size << 8 | bytes[offset + byte];
    if (size == 0) {
      throw DataError{"TACIT-RD37", tacit::detail::message({"dimension ", dimension, " is 0: the file holds no data"}),
                      detail::at_offset(file, offset), "check where the file comes from"};
    }
    header.dimensions.push_back(static_cast<std::int64_t>(size));
    if (header.payload_bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / size) {
      throw DataError{"TACIT-RD38", tacit::detail::message({"the dimensions ", detail::sizes(header.dimensions), " overflow the number of bytes"}),
                      detail::at_offset(file, offset), "the file is damaged"};
    }
    header.payload_bytes *= size;
  }
  if (header.payload_bytes > static_cast<std::uint64_t>(limit.value())) {
    throw DataError{"TACIT-RD39",
                    tacit::detail::message({"the header announces ", header.payload_bytes, " bytes of data (", detail::sizes(header.dimensions),
                                            "), the limit is ", limit.value()}),
                    detail::at_offset(file, 4), "give a higher limit if you trust the file"};
  }
  return header;
}

/// Reports a file that ends before its data do; `actual` says what is there instead.
[[noreturn]] inline void refuse_truncated(std::string_view file, Header const& header, std::uint64_t offset,
                                          std::string const& actual) {
  throw DataError{"TACIT-RD40",
                  tacit::detail::message(
                      {"the data are cut off: expected ", header.payload_bytes, " bytes (", detail::sizes(header.dimensions), "), found ", actual}),
                  detail::at_offset(file, offset), "fetch the file again"};
}

/// Reports a file that goes on after its data; its length is unknown where it is compressed.
[[noreturn]] inline void refuse_trailing(std::string_view file, Header const& header) {
  throw DataError{
      "TACIT-RD41",
      tacit::detail::message({"the file goes on after its ", header.payload_bytes, " bytes of data (", detail::sizes(header.dimensions), ")"}),
      detail::at_offset(file, header.header_bytes + header.payload_bytes), "the header does not fit the data; check where the file comes from"};
}

/// A whole file in memory: its header and where its data lie, big-endian as they are.
struct View {
  Header header;
  std::span<std::uint8_t const> payload;
};

/// Checks a whole (uncompressed) file in memory.
/// Throws: DataError as `parse_header`, and for data that are cut off or go on.
inline View parse(std::span<std::uint8_t const> bytes, std::string_view file, Bytes limit = default_limit) {
  View view{parse_header(bytes, file, limit), {}};
  view.payload = bytes.subspan(view.header.header_bytes);
  if (view.payload.size() < view.header.payload_bytes) {
    refuse_truncated(file, view.header, bytes.size(), std::to_string(view.payload.size()));
  }
  if (view.payload.size() > view.header.payload_bytes) refuse_trailing(file, view.header);
  return view;
}

/// Turns big-endian elements into the machine's byte order, in place.
inline void to_native(element_type type, std::span<std::uint8_t> payload) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    std::size_t const width = element_bytes(type);
    if (width < 2) return;
    for (; payload.size() >= width; payload = payload.subspan(width)) std::ranges::reverse(payload.first(width));
  }
}

}  // namespace idx
}  // namespace tacit::inline v0::data
