#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/state/json.hpp"

/// The safetensors format: 8 bytes of header length, a JSON header, raw bytes. Facts as in its Rust implementation, 0.8.
namespace tacit::inline v0::safetensors {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian, and so is every platform of Tacit");

/// Element types, in the order in which the library sorts them: by size, then as declared there.
enum class Dtype : std::uint8_t {
  boolean, f4, f6_e2m3, f6_e3m2, u8, i8, f8_e5m2, f8_e4m3, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz,
  i16, u16, f16, bf16, i32, u32, f32, c64, f64, i64, u64
};

/// The name of an element type in a header and the bits that an element takes.
struct DtypeFacts {
  std::string_view name;
  unsigned bits;
};
inline constexpr std::array<DtypeFacts, 22> dtypes{{{"BOOL", 8}, {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8}, {"I8", 8}, {"F8_E5M2", 8},
                                                    {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16}, {"U16", 16},
                                                    {"F16", 16}, {"BF16", 16}, {"I32", 32}, {"U32", 32}, {"F32", 32}, {"C64", 64}, {"F64", 64},
                                                    {"I64", 64}, {"U64", 64}}};

constexpr std::string_view name_of(Dtype dtype) noexcept { return dtypes[static_cast<std::size_t>(dtype)].name; }
constexpr unsigned bits_of(Dtype dtype) noexcept { return dtypes[static_cast<std::size_t>(dtype)].bits; }
constexpr std::optional<Dtype> dtype_of(std::string_view name) noexcept {
  for (std::size_t i = 0; i < dtypes.size(); ++i) {
    if (dtypes[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

using Shape = std::vector<std::uint64_t>;
/// Pairs of text that a header carries beside its tensors.
using Metadata = std::map<std::string, std::string>;

/// A tensor of a file; `begin` and `end` count from the end of the header.
struct TensorInfo {
  std::string name{};
  Dtype dtype = Dtype::f32;
  Shape shape{};
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The bytes that a tensor takes; nothing where they are not whole or the product leaves 64 bits.
constexpr std::optional<std::uint64_t> bytes_of(Dtype dtype, std::span<std::uint64_t const> shape) noexcept {
  std::uint64_t bits = bits_of(dtype);
  // A 0 anywhere makes it 0 only if the factors before it fit: the library multiplies in this order too.
  std::uint64_t elements = 1;
  for (std::uint64_t size : shape) {
    if (__builtin_mul_overflow(elements, size, &elements)) return std::nullopt;
  }
  if (__builtin_mul_overflow(elements, bits, &bits) || bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

/// What a header says, after every check: sorted by place, without hole or overlap, up to the last byte of the file.
struct Header {
  std::vector<TensorInfo> tensors{};
  Metadata metadata{};
  std::uint64_t data_begin = 0;  ///< where the bytes start in the file

  /// Cost: linear; a `Directory` of one's own for many look-ups.
  TensorInfo const* find(std::string_view name) const noexcept {
    auto const found = std::ranges::find(tensors, name, &TensorInfo::name);
    return found == tensors.end() ? nullptr : &*found;
  }
};

/// The longest header that is read, as in the library.
inline constexpr std::uint64_t max_header = 100'000'000;

namespace detail {

inline constexpr std::string_view convert = "convert it where it was made: python -c \"import sys, torch; from safetensors.torch import save_file; "
                                            "save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2])\" in.pt out.safetensors";
inline constexpr std::string_view another_copy = "the file is damaged; take another copy";

[[noreturn]] inline void refuse(std::string_view code, std::string const& what, std::string_view file, std::uint64_t offset, std::string_view fix = another_copy) {
  throw StateError{code, what, json::detail::at_offset(file, offset), fix};
}

inline std::string shape_text(Shape const& shape) { return tacit::detail::sizes_text(shape); }

/// Files that people take for tensor files, by their first bytes.
inline void refuse_other_formats(std::span<std::byte const> first, std::string_view file) {
  std::string_view const text{reinterpret_cast<char const*>(first.data()), first.size()};
  auto const begins = [&](std::string_view magic) { return text.starts_with(magic); };
  if (begins({"PK\x03\x04", 4})) refuse("TACIT-RS10", "is a zip archive (a torch.save or TorchScript file), which may run code when it is read", file, 0, convert);
  if (begins({"\x80\x02", 2}) || begins({"\x80\x03", 2}) || begins({"\x80\x04", 2}) || begins({"\x80\x05", 2})) {
    // A header of 0x...80 bytes begins so too, but then the ninth byte opens an object.
    if (text.size() < 9 || text[8] != '{') refuse("TACIT-RS10", "is a pickle, which may run code when it is read", file, 0, convert);
  }
  if (begins("\x93NUMPY")) refuse("TACIT-RS10", "is a NumPy file", file, 0, "save it with safetensors.numpy.save_file");
  if (begins("\x89HDF")) refuse("TACIT-RS10", "is an HDF5 file", file, 0, "save it with safetensors.numpy.save_file");
  if (begins("GGUF")) refuse("TACIT-RS10", "is a GGUF file", file, 0, "save it with safetensors.numpy.save_file");
  if (begins("version https:")) {
    refuse("TACIT-RS10", "is a Git LFS pointer, which stands for the file in a repository", file, 0, "fetch the file itself: git lfs pull, or download it from its page");
  }
  // A header's length of eight printable bytes would be longer than any that is read.
  std::size_t const start = std::min(text.find_first_not_of("\xef\xbb\xbf \t\r\n"), text.size());
  std::string_view const page = text.substr(start);
  auto const lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  for (std::string_view const tag : {std::string_view{"<!doctype"}, std::string_view{"<html"}, std::string_view{"<head"}, std::string_view{"<?xml"}}) {
    if (page.size() >= tag.size() && std::ranges::equal(page.substr(0, tag.size()), tag, {}, lower)) {
      refuse("TACIT-RS10", "is a web page (HTML or XML) that was saved in place of the file", file, 0, "download it again; the address may need a login, or lead to a page about the file");
    }
  }
}

}  // namespace detail

/// As many of a file's first bytes as name other formats.
inline constexpr std::size_t first_bytes = 64;

/// The length of the header from a file's first bytes (8, or up to `first_bytes` to name other formats).
/// Throws: StateError where the file is shorter than its header says, or the header is longer than `max_header`.
inline std::uint64_t read_header_length(std::span<std::byte const> first, std::uint64_t file_size, std::string_view file) {
  detail::refuse_other_formats(first, file);
  if (file_size < 8 || first.size() < 8) {
    detail::refuse("TACIT-RS11", "has " + std::to_string(file_size) + " bytes, at least 8 are needed for the length of the header", file, 0);
  }
  std::uint64_t length = 0;
  std::memcpy(&length, first.data(), 8);
  if (length > max_header) {
    detail::refuse("TACIT-RS12", "the header would have " + std::to_string(length) + " bytes, at most " + std::to_string(max_header) + " are read", file, 0,
                   "this is no safetensors file, or it is damaged");
  }
  if (length > file_size - 8) {
    detail::refuse("TACIT-RS13", "the header would end at byte " + std::to_string(length + 8) + ", the file has " + std::to_string(file_size), file, 0);
  }
  if (length < 2) detail::refuse("TACIT-RS14", "a header of " + std::to_string(length) + " bytes holds no JSON object", file, 0);
  return length;
}

/// Checks a header and gives what it says. `text` is the header alone, `file_size` that of the whole file.
/// Throws: StateError, a number for each defect, with file and offset.
/// Cost: memory in proportion to the header; nothing is allocated for data.
inline Header parse_header(std::string_view text, std::uint64_t file_size, std::string_view file) {
  // White space before it is against the format, and Python reads it.
  std::size_t const begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos || text[begin] != '{') detail::refuse("TACIT-RS15", "the header does not begin with `{`", file, 8);
  json::Value root;
  try {
    root = json::parse(text, file, json::limits_of(text));
  } catch (StateError const& error) {
    // Python takes the last one in silence.
    std::string const fix = error.code() == "TACIT-RS02" ? "which of the two is meant cannot be known: load it in Python, look at the tensor, and save it again" : error.fix();
    throw StateError{error.code(), "in the header, counted from byte 8: " + error.problem(), error.where(), fix};
  }
  auto const refuse = [&](std::string_view code, std::string const& what, std::uint64_t offset) { detail::refuse(code, what, file, offset + 8); };

  Header header;
  header.data_begin = 8 + text.size();
  std::vector<std::pair<TensorInfo, std::uint64_t>> found;  // with the offset of the entry
  for (json::Member& entry : *root.get<json::Value::Object>()) {
    std::string const shown = json::detail::shown(entry.key);
    if (entry.key == "__metadata__") {
      if (entry.value.is_null()) continue;  // as Python reads it
      auto* pairs = entry.value.get<json::Value::Object>();
      if (pairs == nullptr) refuse("TACIT-RS16", "__metadata__ is no object", entry.offset);
      for (json::Member& pair : *pairs) {
        auto* value = pair.value.get<std::string>();
        if (value == nullptr) refuse("TACIT-RS16", "the value of " + json::detail::shown(pair.key) + " in __metadata__ is no text", pair.offset);
        header.metadata.emplace(std::move(pair.key), std::move(*value));
      }
      continue;
    }
    if (entry.value.get<json::Value::Object>() == nullptr) refuse("TACIT-RS17", "the entry of tensor " + shown + " is no object", entry.offset);
    // Other members are passed over, as in Python.
    json::Value const* const dtype = entry.value.find("dtype");
    json::Value const* const shape = entry.value.find("shape");
    json::Value const* const offsets = entry.value.find("data_offsets");
    if (dtype == nullptr || shape == nullptr || offsets == nullptr) {
      refuse("TACIT-RS19", "tensor " + shown + " lacks " + (dtype == nullptr ? "dtype" : shape == nullptr ? "shape" : "data_offsets"), entry.offset);
    }
    TensorInfo info;
    auto const* dtype_name = dtype->get<std::string>();
    std::optional<Dtype> const known = dtype_name == nullptr ? std::nullopt : dtype_of(*dtype_name);
    if (!known) {
      refuse("TACIT-RS20", "the dtype " + (dtype_name == nullptr ? std::string{"of another kind than text"} : json::detail::shown(*dtype_name)) + " of tensor " + shown + " is not known",
             entry.offset);
    }
    info.dtype = *known;
    auto const* sizes = shape->get<json::Value::Array>();
    if (sizes == nullptr) refuse("TACIT-RS21", "the shape of tensor " + shown + " is no array", entry.offset);
    info.shape.reserve(sizes->size());
    for (json::Value const& size : *sizes) {
      auto const* whole = size.get<std::uint64_t>();
      if (whole == nullptr) refuse("TACIT-RS21", "the shape of tensor " + shown + " holds something else than integers of 0 or more", entry.offset);
      info.shape.push_back(*whole);
    }
    auto const* pair = offsets->get<json::Value::Array>();
    if (pair == nullptr || pair->size() != 2 || (*pair)[0].get<std::uint64_t>() == nullptr || (*pair)[1].get<std::uint64_t>() == nullptr) {
      refuse("TACIT-RS22", "data_offsets of tensor " + shown + " are not two integers of 0 or more", entry.offset);
    }
    info.begin = *(*pair)[0].get<std::uint64_t>();
    info.end = *(*pair)[1].get<std::uint64_t>();
    if (info.end < info.begin) refuse("TACIT-RS23", "tensor " + shown + " ends before it begins", entry.offset);
    std::optional<std::uint64_t> const bytes = bytes_of(info.dtype, info.shape);
    if (!bytes) {
      refuse("TACIT-RS24", "the size of tensor " + shown + ", " + detail::shape_text(info.shape) + " of " + std::string{name_of(info.dtype)} + ", leaves 64 bits or ends inside a byte",
             entry.offset);
    }
    if (*bytes != info.end - info.begin) {
      refuse("TACIT-RS25", "tensor " + shown + ", " + detail::shape_text(info.shape) + " of " + std::string{name_of(info.dtype)} + ", takes " + std::to_string(*bytes) + " bytes, its offsets span " +
                 std::to_string(info.end - info.begin),
             entry.offset);
    }
    info.name = std::move(entry.key);
    found.emplace_back(std::move(info), entry.offset);
  }

  std::ranges::sort(found, [](auto const& a, auto const& b) { return std::pair{a.first.begin, a.first.end} < std::pair{b.first.begin, b.first.end}; });
  std::uint64_t const available = file_size - header.data_begin;
  std::uint64_t place = 0;
  for (auto& [info, offset] : found) {
    std::string const shown = json::detail::shown(info.name);
    if (info.end > available) {
      refuse("TACIT-RS26", "tensor " + shown + " ends at byte " + std::to_string(info.end) + " of the data, of which there are " + std::to_string(available), offset);
    }
    if (info.begin < place) refuse("TACIT-RS27", "tensor " + shown + " begins at byte " + std::to_string(info.begin) + " of the data, inside the one before it", offset);
    if (info.begin > place) {
      refuse("TACIT-RS28", "bytes " + std::to_string(place) + " to " + std::to_string(info.begin) + " of the data, before tensor " + shown + ", belong to no tensor", offset);
    }
    place = info.end;
    header.tensors.push_back(std::move(info));
  }
  if (place != available) {
    detail::refuse("TACIT-RS29", std::to_string(available - place) + " bytes after the last tensor belong to none", file, header.data_begin + place);
  }
  return header;
}

/// The header of a whole file in memory.
/// Throws: StateError, a number for each defect, with file and offset.
inline Header parse(std::span<std::byte const> bytes, std::string_view file) {
  std::uint64_t const length = read_header_length(bytes.first(std::min(bytes.size(), first_bytes)), bytes.size(), file);
  return parse_header({reinterpret_cast<char const*>(bytes.data()) + 8, static_cast<std::size_t>(length)}, bytes.size(), file);
}

/// The bytes of a tensor in the bytes of its file.
/// Throws: StateError if they do not lie there: the header is of another file.
inline std::span<std::byte const> tensor_bytes(std::span<std::byte const> bytes, Header const& header, TensorInfo const& info, std::string_view file) {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool const wraps = __builtin_add_overflow(header.data_begin, info.begin, &begin) || __builtin_add_overflow(header.data_begin, info.end, &end);
  if (wraps || begin > end || end > bytes.size()) {
    throw StateError{"TACIT-RS43", tacit::detail::message({"has ", bytes.size(), " bytes, its header puts tensor ", json::detail::shown(info.name), " elsewhere"}), std::string{file},
                     "it was changed while it was read: load it again"};
  }
  return bytes.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}

/// A tensor to write: its bytes in row-major order, borrowed.
struct TensorView {
  std::string name{};
  Dtype dtype = Dtype::f32;
  Shape shape{};
  std::span<std::byte const> bytes{};
};

namespace detail {
[[noreturn]] inline void refuse_to_write(std::string_view code, std::string const& what, std::string_view name) {
  throw StateError{code, what, "tensor " + json::detail::shown(name), "give another name, shape or data"};
}
}  // namespace detail

/// The head of a file and the order in which the bytes of its tensors follow.
struct Layout {
  std::string head{};              ///< length and header, padded to 8 bytes
  std::vector<std::size_t> order{};  ///< positions in the given list
  std::uint64_t file_size = 0;
};

/// Lays out a file as the Python package writes it, byte for byte: large element types first, then by name; metadata, if
/// there are any, first (sorted by key; the Python package leaves their order to chance).
/// Throws: StateError for a name twice, names that are not UTF-8, bytes that do not fit the shape.
inline Layout lay_out(std::span<TensorView const> tensors, Metadata const& metadata = {}) {
  Layout layout;
  layout.order.resize(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) layout.order[i] = i;
  std::ranges::sort(layout.order, [&](std::size_t a, std::size_t b) {
    if (tensors[a].dtype != tensors[b].dtype) return tensors[a].dtype > tensors[b].dtype;
    return tensors[a].name < tensors[b].name;
  });
  std::vector<std::string_view> names;
  for (TensorView const& tensor : tensors) names.push_back(tensor.name);
  std::ranges::sort(names);
  if (auto const twice = std::ranges::adjacent_find(names); twice != names.end()) detail::refuse_to_write("TACIT-RS30", "the name is given twice", *twice);

  std::string text{"{"};
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (auto const& [key, value] : metadata) {
      if (!json::is_utf8(key) || !json::is_utf8(value)) detail::refuse_to_write("TACIT-RS31", "the metadata are not UTF-8", key);
      if (text.back() != '{') text += ',';
      json::append_quoted(text, key);
      text += ':';
      json::append_quoted(text, value);
    }
    text += '}';
  }
  std::uint64_t place = 0;
  for (std::size_t i : layout.order) {
    TensorView const& tensor = tensors[i];
    if (!json::is_utf8(tensor.name) || tensor.name == "__metadata__" || tensor.name.find('\0') != std::string::npos) {
      detail::refuse_to_write("TACIT-RS31", "the name is not UTF-8, has a NUL byte, or is __metadata__", tensor.name);
    }
    if (bytes_of(tensor.dtype, tensor.shape) != tensor.bytes.size()) {
      detail::refuse_to_write("TACIT-RS32", detail::shape_text(tensor.shape) + " of " + std::string{name_of(tensor.dtype)} + " does not take " + std::to_string(tensor.bytes.size()) + " bytes",
                              tensor.name);
    }
    if (text.back() != '{') text += ',';
    json::append_quoted(text, tensor.name);
    text.append(":{\"dtype\":\"").append(name_of(tensor.dtype)).append("\",\"shape\":[");
    for (std::size_t d = 0; d < tensor.shape.size(); ++d) text.append(d == 0 ? "" : ",").append(std::to_string(tensor.shape[d]));
    text.append("],\"data_offsets\":[").append(std::to_string(place)).append(",").append(std::to_string(place + tensor.bytes.size())).append("]}");
    place += tensor.bytes.size();
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > max_header) detail::refuse_to_write("TACIT-RS33", "the header would have " + std::to_string(text.size()) + " bytes, at most " + std::to_string(max_header) + " can be read", "");
  std::uint64_t const length = text.size();
  layout.head.assign(reinterpret_cast<char const*>(&length), 8).append(text);
  layout.file_size = layout.head.size() + place;
  return layout;
}

/// The whole file in memory.
/// Throws: StateError as `lay_out`.
inline std::string serialize(std::span<TensorView const> tensors, Metadata const& metadata = {}) {
  Layout layout = lay_out(tensors, metadata);
  std::string file = std::move(layout.head);
  file.reserve(static_cast<std::size_t>(layout.file_size));
  for (std::size_t i : layout.order) file.append(reinterpret_cast<char const*>(tensors[i].bytes.data()), tensors[i].bytes.size());
  return file;
}

/// Which file of a sharded set holds which tensor: `model.safetensors.index.json`.
struct ShardIndex {
  std::map<std::string, std::string, std::less<>> weight_map{};  ///< tensor to file
  std::uint64_t total_size = 0;                                  ///< of all tensors, in bytes; 0 where the file does not say

  /// The files, each once, sorted.
  std::vector<std::string> files() const {
    std::vector<std::string> result;
    for (auto const& [tensor, file] : weight_map) result.push_back(file);
    std::ranges::sort(result);
    result.erase(std::ranges::unique(result).begin(), result.end());
    return result;
  }
};

/// A name that stays inside its directory: no separator, no `.` or `..`, no control character, at most 255 bytes of UTF-8.
constexpr bool is_plain_file_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 255 || name == "." || name == ".." || !json::is_utf8(name)) return false;
  return std::ranges::none_of(name, [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// A path below a directory: plain names with `/` between them.
constexpr bool is_inner_path(std::string_view path) noexcept {
  for (;;) {
    std::size_t const slash = path.find('/');
    if (!is_plain_file_name(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

/// Reads the index of a sharded set. A total size that is no number is passed over, as by transformers.
/// Throws: StateError for text that is no index, and for file names that would leave the directory.
inline ShardIndex parse_index(std::string_view text, std::string_view file) {
  detail::refuse_other_formats(std::as_bytes(std::span{text.substr(0, first_bytes)}), file);
  json::Value const root = json::parse(text, file, json::limits_of(text));
  json::Reader const reader{root, file};
  ShardIndex index;
  json::Value const* const metadata = root.find("metadata");
  if (json::Value const* const size = metadata == nullptr ? nullptr : metadata->find("total_size")) {
    // Python writes an integer; some tools write a float of that value.
    auto const* number = size->get<double>();
    bool const whole = number != nullptr && *number >= 0 && *number < 9.0e15 && *number == static_cast<double>(static_cast<std::uint64_t>(*number));
    if (whole) index.total_size = static_cast<std::uint64_t>(*number);
    if (auto const* exact = size->get<std::uint64_t>()) index.total_size = *exact;
  }
  for (json::Member const& member : reader["weight_map"].object()) {
    auto const* name = member.value.get<std::string>();
    if (name == nullptr || !is_inner_path(*name)) {
      detail::refuse("TACIT-RS35", "the file of tensor " + json::detail::shown(member.key) + (name == nullptr ? " is no text" : ", " + json::detail::shown(*name) + ", is no path below the index"), file,
                     member.offset, "an index may name files of its own directory, and of those below it, only");
    }
    index.weight_map.emplace(member.key, *name);
  }
  return index;
}

/// Compares an index with the headers of its files: `header_of(name)` gives the checked header of a file. A tensor that the index
/// lacks counts, and what the index says of the total size is not looked at: transformers reads such sets.
/// Throws: StateError for a tensor that its file lacks, or that two files hold.
template <class HeaderOf>
void check_index(ShardIndex const& index, std::string_view file, HeaderOf&& header_of) {
  std::map<std::string, std::string, std::less<>> held;  // tensor to file
  for (std::string const& name : index.files()) {
    Header const header = header_of(name);
    for (TensorInfo const& info : header.tensors) {
      auto const entry = index.weight_map.find(info.name);
      if (entry != index.weight_map.end() && entry->second != name) {
        detail::refuse("TACIT-RS37", "tensor " + json::detail::shown(info.name) + " is in " + json::detail::shown(name) + ", the index says " + json::detail::shown(entry->second), file, 0);
      }
      auto const [other, fresh] = held.emplace(info.name, name);
      if (!fresh) detail::refuse("TACIT-RS37", "tensor " + json::detail::shown(info.name) + " is in " + json::detail::shown(name) + " and in " + json::detail::shown(other->second), file, 0);
    }
  }
  for (auto const& [tensor, name] : index.weight_map) {
    if (!held.contains(tensor)) detail::refuse("TACIT-RS38", "tensor " + json::detail::shown(tensor) + " is not in " + json::detail::shown(name), file, 0);
  }
}

/// A split of tensors over files, none larger than asked unless a single tensor is.
struct Shards {
  std::vector<std::string> names{};                ///< model-00001-of-00003.safetensors, or model.safetensors alone
  std::vector<std::vector<TensorView>> tensors{};  ///< of each file
  std::string index{};                             ///< text of model.safetensors.index.json; empty for a single file
};

/// Splits as Hugging Face's libraries do: in the given order, a new file where the next tensor would go over the limit.
inline Shards shard(std::span<TensorView const> tensors, std::uint64_t max_bytes, std::string_view stem = "model") {
  Shards shards;
  shards.tensors.emplace_back();
  std::uint64_t size = 0;
  std::uint64_t total = 0;
  for (TensorView const& tensor : tensors) {
    if (size + tensor.bytes.size() > max_bytes && !shards.tensors.back().empty()) {
      shards.tensors.emplace_back();
      size = 0;
    }
    shards.tensors.back().push_back(tensor);
    size += tensor.bytes.size();
    total += tensor.bytes.size();
  }
  std::size_t const count = shards.tensors.size();
  auto const five = [](std::size_t n) {
    std::string const digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  if (count == 1) {
    shards.names.push_back(std::string{stem} + ".safetensors");
    return shards;
  }
  std::map<std::string_view, std::string_view> map;
  for (std::size_t i = 0; i < count; ++i) shards.names.push_back(std::string{stem} + "-" + five(i + 1) + "-of-" + five(count) + ".safetensors");
  for (std::size_t i = 0; i < count; ++i) {
    for (TensorView const& tensor : shards.tensors[i]) map.emplace(tensor.name, shards.names[i]);
  }
  // The layout of json.dumps(index, indent=2, sort_keys=True) and a line feed.
  shards.index = "{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(total) + "\n  },\n  \"weight_map\": {";
  bool first = true;
  for (auto const& [tensor, name] : map) {
    shards.index += first ? "\n    " : ",\n    ";
    first = false;
    json::append_quoted(shards.index, tensor);
    shards.index += ": ";
    json::append_quoted(shards.index, name);
  }
  shards.index += "\n  }\n}\n";
  if (shards.index.size() > max_header) {
    detail::refuse_to_write("TACIT-RS47", "the index would have " + std::to_string(shards.index.size()) + " bytes, at most " + std::to_string(max_header) + " can be read", "");
  }
  return shards;
}

}  // namespace tacit::inline v0::safetensors
