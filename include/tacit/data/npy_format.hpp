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
#include "tacit/data/idx_format.hpp"

/// NumPy's .npy format, versions 1 to 3 (NumPy Enhancement Proposal 1): the magic bytes 93 "NUMPY", the version, the
/// length of a header, the header as the text of a Python dictionary, then the elements.
namespace tacit::inline v0::data::npy {

enum class element_type : std::uint8_t {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  float32,
  float64,
  complex64,
  complex128,
};

inline constexpr std::size_t max_dimensions = 32;
inline constexpr std::size_t max_header_bytes = std::size_t{1} << 16;
inline constexpr std::size_t preamble_bytes = 12;
inline constexpr Bytes default_limit = idx::default_limit;

struct Header {
  element_type type{};
  std::size_t width = 0;       ///< bytes of one element
  std::size_t word_bytes = 0;  ///< bytes of one number: half of `width` for complex elements
  bool big_endian = false;
  bool fortran_order = false;             ///< the first index runs fastest
  std::vector<std::int64_t> dimensions;   ///< none for a single number; each may be 0
  std::size_t header_bytes = 0;
  std::uint64_t payload_bytes = 0;
};

namespace detail {

using idx::detail::at_offset;

/// `descr` without its byte order, for each type that is read.
struct TypeName {
  std::string_view name;
  element_type type;
  std::size_t width;
};
inline constexpr TypeName type_names[] = {
    {"b1", element_type::boolean, 1},    {"i1", element_type::int8, 1},       {"i2", element_type::int16, 2},
    {"i4", element_type::int32, 4},      {"i8", element_type::int64, 8},      {"u1", element_type::uint8, 1},
    {"u2", element_type::uint16, 2},     {"u4", element_type::uint32, 4},     {"u8", element_type::uint64, 8},
    {"f2", element_type::float16, 2},    {"f4", element_type::float32, 4},    {"f8", element_type::float64, 8},
    {"c8", element_type::complex64, 8},  {"c16", element_type::complex128, 16}};

/// Reads the one form of dictionary that the format allows, and nothing else of Python.
class HeaderText {
 public:
  HeaderText(std::string_view text, std::size_t offset, std::string_view file, std::uint8_t version)
      : text_{text}, offset_{offset}, file_{file}, version_{version} {}

  void read(Header& header) {
    bool descr = false;
    bool order = false;
    bool shape = false;
    expect('{');
    while (!accept('}')) {
      std::size_t const key_at = at_;
      std::string_view const key = quoted();
      expect(':');
      bool& seen = key == "descr" ? descr : key == "fortran_order" ? order : shape;
      if (key != "descr" && key != "fortran_order" && key != "shape") refuse("unknown key", key_at);
      if (seen) refuse("a key stands there twice", key_at);
      seen = true;
      if (key == "descr") {
        read_type(header);
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
      } else {
        read_shape(header);
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (!descr || !order || !shape) refuse("'descr', 'fortran_order' or 'shape' is missing", at_);
    skip();
    if (at_ < text_.size()) refuse("text after the dictionary", at_);
  }

 private:
  [[noreturn]] void refuse(std::string const& what, std::size_t at) const {
    throw DataError{"TACIT-RD108", tacit::detail::message({"the header cannot be read: ", what}), at_offset(file_, offset_ + at),
                    "write the file with numpy.save"};
  }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  bool accept(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse(std::string{"expected '"} + c + "'", at_);
  }
  std::string_view quoted() {
    skip();
    char const quote = at_ < text_.size() ? text_[at_] : ' ';
    if (quote != '\'' && quote != '"') refuse("expected a string", at_);
    std::size_t const end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) refuse("a string has no end", at_);
    std::string_view const inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inside;
  }
  bool boolean() {
    skip();
    for (bool const value : {true, false}) {
      std::string_view const word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    refuse("expected True or False", at_);
  }

  void read_type(Header& header) {
    skip();
    std::size_t const at = at_;
    bool const list = at_ < text_.size() && text_[at_] == '[';
    std::string_view const name = list ? std::string_view{"a record"} : quoted();
    bool known = false;
    if (!list && name.size() > 2) {
      char const order = name[0];
      for (TypeName const& candidate : type_names) {
        bool const ordered = order == '<' || order == '>' || (order == '|' && candidate.width == 1);
        if (!ordered || candidate.name != name.substr(1)) continue;
        known = true;
        header.type = candidate.type;
        header.width = candidate.width;
        bool const pair = candidate.type == element_type::complex64 || candidate.type == element_type::complex128;
        header.word_bytes = pair ? candidate.width / 2 : candidate.width;
        header.big_endian = order == '>';
      }
    }
    if (!known) {
      std::string shown;
      for (char const c : name.substr(0, 32)) shown += c >= ' ' && c <= '~' ? c : '?';
      throw DataError{"TACIT-RD110", tacit::detail::message({"elements of type ", shown, " cannot be read"}), at_offset(file_, offset_ + at),
                      "save it as a number type: array.astype(numpy.float32)"};
    }
  }

  void read_shape(Header& header) {
    expect('(');
    while (!accept(')')) {
      if (header.dimensions.size() == max_dimensions) refuse("more than 32 dimensions", at_);
      header.dimensions.push_back(number());
      if (!accept(',')) {
        if (header.dimensions.size() == 1) refuse("a shape of one number needs a comma: (3,)", at_);
        expect(')');
        break;
      }
    }
  }
  std::int64_t number() {
    skip();
    std::size_t const start = at_;
    std::int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      std::int64_t const digit = text_[at_] - '0';
      if (value > (std::numeric_limits<std::int64_t>::max() - digit) / 10) refuse("a size is over 2^63-1", start);
      value = 10 * value + digit;
    }
    if (at_ == start) refuse("expected a size of 0 or more", at_);
    if (at_ - start > 1 && text_[start] == '0') refuse("a size starts with 0", start);
    if (version_ <= 2 && at_ < text_.size() && text_[at_] == 'L') ++at_;  // a long of Python 2
    return value;
  }

  std::string_view text_;
  std::size_t offset_;
  std::string_view file_;
  std::uint8_t version_;
  std::size_t at_ = 0;
};

}  // namespace detail

/// Reads and checks the start of a file; `bytes` is at least the whole header or all there is.
///
/// `file` goes into messages only. Nothing is allocated but the list of dimensions.
/// Throws: DataError, a number for each field that can be wrong.
inline Header parse_header(std::span<std::uint8_t const> bytes, std::string_view file, Bytes limit = default_limit) {
  auto const need = [&](std::size_t count) {
    if (bytes.size() >= count) return;
    throw DataError{
        "TACIT-RD107",
        "the header is cut off: expected " + std::to_string(count) + " bytes, found " + std::to_string(bytes.size()),
        detail::at_offset(file, bytes.size()), "fetch the file again"};
  };
  if (!limit.is_set()) {
    throw ConfigError{"TACIT-RC15", "no limit on the size was given", std::string{file}, "give a number of bytes"};
  }
  constexpr std::uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
  for (std::size_t i = 0; i < std::size(magic) && i < bytes.size(); ++i) {
    if (bytes[i] != magic[i]) {
      throw DataError{"TACIT-RD105",
                      tacit::detail::message({"not a .npy file: expected ", idx::detail::hex(magic[i]), ", found ", idx::detail::hex(bytes[i])}),
                      detail::at_offset(file, i), "a .npy file starts with 0x93 NUMPY; unpack an .npz file first"};
    }
  }
  need(8);
  std::uint8_t const version = bytes[6];
  if (version < 1 || version > 3 || bytes[7] != 0) {
    throw DataError{"TACIT-RD106",
                    tacit::detail::message({"version ", version, ".", bytes[7], " is not known"}),
                    detail::at_offset(file, 6), "write the file with numpy.save: versions 1.0, 2.0 and 3.0 are read"};
  }
  std::size_t const length_bytes = version == 1 ? 2 : 4;
  need(8 + length_bytes);
  std::size_t length = 0;
  for (std::size_t byte = length_bytes; byte > 0; --byte) length = length << 8 | bytes[7 + byte];
  if (length > max_header_bytes) {
    throw DataError{"TACIT-RD109", tacit::detail::message({"the header announces ", length, " bytes of text, the limit is ", max_header_bytes}),
                    detail::at_offset(file, 8), "the file is damaged"};
  }
  Header header;
  header.header_bytes = 8 + length_bytes + length;
  need(header.header_bytes);
  std::string_view const text{reinterpret_cast<char const*>(bytes.data()) + 8 + length_bytes, length};
  detail::HeaderText{text, 8 + length_bytes, file, version}.read(header);

  // The product of all but the zeros has to fit as well: sizes are multiplied elsewhere in another order.
  std::uint64_t nonzero = header.width;
  bool empty = false;
  for (std::int64_t const size : header.dimensions) {
    empty |= size == 0;
    auto const factor = static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1));
    if (nonzero > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / factor) {
      throw DataError{"TACIT-RD111",
                      tacit::detail::message({"the dimensions ", idx::detail::sizes(header.dimensions), " overflow the number of bytes"}),
                      detail::at_offset(file, 8 + length_bytes), "the file is damaged"};
    }
    nonzero *= factor;
  }
  header.payload_bytes = empty ? 0 : nonzero;
  if (header.payload_bytes > static_cast<std::uint64_t>(limit.value())) {
    throw DataError{"TACIT-RD112",
                    tacit::detail::message({"the header announces ", header.payload_bytes, " bytes of data (", idx::detail::sizes(header.dimensions),
                                            "), the limit is ", limit.value()}),
                    detail::at_offset(file, 8 + length_bytes), "give a higher limit if you trust the file"};
  }
  return header;
}

/// Reports a file that ends before its data do.
[[noreturn]] inline void refuse_truncated(std::string_view file, Header const& header, std::uint64_t found) {
  throw DataError{"TACIT-RD113",
                  tacit::detail::message({"the data are cut off: expected ", header.payload_bytes, " bytes (", idx::detail::sizes(header.dimensions),
                                          "), found ", found}),
                  detail::at_offset(file, header.header_bytes + found), "fetch the file again"};
}

/// Reports a file that goes on after its data.
[[noreturn]] inline void refuse_trailing(std::string_view file, Header const& header) {
  throw DataError{
      "TACIT-RD114",
      tacit::detail::message({"the file goes on after its ", header.payload_bytes, " bytes of data (", idx::detail::sizes(header.dimensions), ")"}),
      detail::at_offset(file, header.header_bytes + header.payload_bytes), "the header does not fit the data; check where the file comes from"};
}

/// A whole file in memory: its header and where its data lie, in the file's byte order.
struct View {
  Header header;
  std::span<std::uint8_t const> payload;
};

/// Checks a whole file in memory.
/// Throws: DataError as `parse_header`, and for data that are cut off or go on.
inline View parse(std::span<std::uint8_t const> bytes, std::string_view file, Bytes limit = default_limit) {
  View view{parse_header(bytes, file, limit), {}};
  view.payload = bytes.subspan(view.header.header_bytes);
  if (view.payload.size() < view.header.payload_bytes) refuse_truncated(file, view.header, view.payload.size());
  if (view.payload.size() > view.header.payload_bytes) refuse_trailing(file, view.header);
  return view;
}

/// Turns elements into the machine's byte order, in place.
inline void to_native(Header const& header, std::span<std::uint8_t> payload) noexcept {
  std::size_t const width = header.word_bytes;
  if (width < 2 || header.big_endian == (std::endian::native == std::endian::big)) return;
  for (; payload.size() >= width; payload = payload.subspan(width)) std::ranges::reverse(payload.first(width));
}

}  // namespace tacit::inline v0::data::npy
