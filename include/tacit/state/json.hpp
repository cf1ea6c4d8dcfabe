#pragma once

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "tacit/core/error.hpp"

/// JSON as headers, states and manifests need it: nlohmann-json's parser under a handler that is stricter than the parser.
///
/// This header costs about 2 s of compile time; nothing that tacit.hpp reaches includes it.
namespace tacit::inline v0::json {

struct Member;

/// A value of a JSON text. Integers are exact: `std::uint64_t`, or `std::int64_t` if negative; a number with a point or an
/// exponent is a double. Objects have their members sorted by key, none twice.
struct Value {
  using Array = std::vector<Value>;
  using Object = std::vector<Member>;

  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> data;

  // Moved, never copied: the copy of a variant that runs out of memory crashes with libstdc++ 12 (R11 found it).
  // Defined where Member is complete.
  inline Value();
  inline Value(Value&& other) noexcept;
  inline Value& operator=(Value&& other) noexcept;
  inline ~Value();
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, Value>)
  explicit Value(T&& value) : data{std::forward<T>(value)} {}

  template <class T>
  T const* get() const noexcept {
    return std::get_if<T>(&data);
  }
  template <class T>
  T* get() noexcept {
    return std::get_if<T>(&data);
  }
  bool is_null() const noexcept { return data.index() == 0; }
  /// The member of that key; null where there is none, or where this is no object.
  inline Value const* find(std::string_view key) const noexcept;
  inline Value* find(std::string_view key) noexcept;

  friend inline bool operator==(Value const& a, Value const& b);

 private:
  // Not inlined: g++ 12 would take the alternatives that are not there for uninitialised ones, and warn. A template, for g++
  // warns of `noinline` on any other function of a header.
  template <int = 0>
  [[gnu::noinline]] void take(Value& other) noexcept;
};

/// A member of an object; `offset` is where its key ends in the text, in bytes.
struct Member {
  std::string key{};
  Value value{};
  std::uint64_t offset = 0;
};

template <int>
void Value::take(Value& other) noexcept {
  data = std::move(other.data);
}
inline Value::Value() = default;
inline Value::Value(Value&& other) noexcept { take(other); }
inline Value& Value::operator=(Value&& other) noexcept {
  take(other);
  return *this;
}
inline Value::~Value() = default;

inline bool operator==(Member const& a, Member const& b) { return a.key == b.key && a.value == b.value; }
inline bool operator==(Value const& a, Value const& b) { return a.data == b.data; }

inline Value const* Value::find(std::string_view key) const noexcept {
  auto const* object = std::get_if<Object>(&data);
  if (object == nullptr) return nullptr;
  auto const at = std::ranges::lower_bound(*object, key, {}, [](Member const& member) { return std::string_view{member.key}; });
  return at != object->end() && at->key == key ? &at->value : nullptr;
}
inline Value* Value::find(std::string_view key) noexcept { return const_cast<Value*>(std::as_const(*this).find(key)); }

/// An array and an object of the given values; an initializer list would copy them.
template <class... Values>
Value array_of(Values... values) {
  Value::Array array;
  (array.push_back(std::move(values)), ...);
  return Value{std::move(array)};
}
/// Requires: the members come sorted by key.
template <class... Members>
Value object_of(Members... members) {
  Value::Object object;
  (object.push_back(std::move(members)), ...);
  return Value{std::move(object)};
}

/// What a text may ask for. A text of n bytes takes at most about 30 n bytes of memory.
struct Limits {
  std::size_t depth = 64;          ///< nesting of arrays and objects; writers keep to it too
  std::size_t values = 8'000'000;  ///< of all kinds together
};
/// The limits for a text that its writer does not count: as many values as its bytes can hold.
constexpr Limits limits_of(std::string_view text) noexcept { return {.values = text.size()}; }

namespace detail {

inline std::string at_offset(std::string_view file, std::uint64_t offset) {
  return std::string{file} + ", byte " + std::to_string(offset);
}

/// The length of the UTF-8 sequence that `text` begins with; 0 where it is none (RFC 3629).
constexpr std::size_t utf8_length(std::string_view text) noexcept {
  auto const at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  auto const follows = [&](std::size_t i) { return (at(i) & 0xc0U) == 0x80U; };
  unsigned const a = at(0);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return follows(1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    bool const in_range = !(a == 0xe0 && at(1) < 0xa0) && !(a == 0xed && at(1) > 0x9f);
    return in_range && follows(1) && follows(2) ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    bool const in_range = !(a == 0xf0 && at(1) < 0x90) && !(a == 0xf4 && at(1) > 0x8f);
    return in_range && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

/// The length of the character that `text` begins with if a terminal can show it; 0 for control characters, for those that change
/// the direction of what follows or take no room, and for bytes that are no UTF-8.
constexpr std::size_t shown_length(std::string_view text) noexcept {
  std::size_t const length = utf8_length(text);
  auto const at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (length == 1) return at(0) >= 0x20 && at(0) != 0x7f ? 1 : 0;
  if (length == 2) return at(0) == 0xc2 && at(1) < 0xa0 ? 0 : 2;  // U+0080 to U+009F
  if (length == 3) {
    unsigned const code = (at(0) & 0x0fU) << 12U | (at(1) & 0x3fU) << 6U | (at(2) & 0x3fU);
    bool const hidden = (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
    return hidden ? 0 : 3;
  }
  return length;
}

/// Text of a file in a message: quoted, without what a terminal would take for a command, not longer than a line.
inline std::string shown(std::string_view text) {
  std::string result{"\""};
  while (!text.empty() && result.size() <= 80) {
    std::size_t const length = shown_length(text);
    if (length == 0) result += '?';
    result += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(utf8_length(text), 1));
  }
  return result + (text.empty() ? "\"" : "...\"");
}

/// The characters of a text; the place where the parser is stays readable through `position`, for messages.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = char const*;
  using reference = char const&;

  CountingIterator(char const* at, char const** position) : at_{at}, position_{position} {}
  reference operator*() const noexcept { return *at_; }
  CountingIterator& operator++() noexcept {
    *position_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) noexcept {
    CountingIterator const before{*this};
    ++*this;
    return before;
  }
  friend bool operator==(CountingIterator const& a, CountingIterator const& b) noexcept { return a.at_ == b.at_; }

 private:
  char const* at_;
  char const** position_;
};

/// Builds the value and stops the parser at the first thing that is not strict.
class Builder {
 public:
  Builder(std::string_view text, std::string_view file, Limits limits)
      : position{text.data()}, start_{text.data()}, file_{file}, limits_{limits} {}

  char const* position;  // where the parser is
  Value result{};

  bool null() { return add(Value{}); }
  bool boolean(bool value) { return add(Value{value}); }
  bool number_integer(std::int64_t value) {
    if (value >= 0) return add(Value{static_cast<std::uint64_t>(value)});  // -0
    return add(Value{value});
  }
  bool number_unsigned(std::uint64_t value) { return add(Value{value}); }
  bool number_float(double value, std::string const& text) {
    // The parser hands integers that fit no 64 bits over as doubles.
    if (text.find_first_of(".eE") == std::string::npos) {
      refuse("TACIT-RS04", "the integer " + text.substr(0, 40) + " does not fit into 64 bits", offset());
    }
    return add(Value{value});
  }
  bool string(std::string& value) { return add(Value{std::move(value)}); }
  template <class Binary>
  bool binary(Binary&) {
    return false;  // no such thing in text
  }
  bool start_object(std::size_t) { return open(Value{Value::Object{}}); }
  bool key(std::string& name) {
    keys_.back() = std::move(name);
    key_offsets_.back() = offset();
    return true;
  }
  bool end_object() {
    auto& members = *open_.back()->get<Value::Object>();
    std::ranges::sort(members, [](Member const& a, Member const& b) { return std::tie(a.key, a.offset) < std::tie(b.key, b.offset); });
    auto const twice = std::ranges::adjacent_find(members, {}, &Member::key);
    if (twice != members.end()) {
      refuse("TACIT-RS02", "the key " + shown(twice->key) + " stands twice in one object", std::next(twice)->offset);
    }
    return close();
  }
  bool start_array(std::size_t) { return open(Value{Value::Array{}}); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t at, std::string const&, nlohmann::json::exception const& error) {
    std::uint64_t const place = at == 0 ? 0 : at - 1;
    if (error.id == 406) refuse("TACIT-RS04", "a number is too great for a double", place);
    std::string_view what = error.what();
    if (auto const end = what.find("; last read"); end != std::string_view::npos) what = what.substr(0, end);
    if (auto const begin = what.find(": "); begin != std::string_view::npos) what = what.substr(begin + 2);
    refuse("TACIT-RS01", "is not JSON: " + std::string{what.substr(0, 200)}, place);
  }

  [[noreturn]] void refuse(std::string_view code, std::string const& what, std::uint64_t at) const {
    throw StateError{code, what, at_offset(file_, at), "the file is damaged or was not written by Tacit or the safetensors library; take another copy"};
  }

 private:
  std::uint64_t offset() const noexcept { return static_cast<std::uint64_t>(position - start_); }

  bool add(Value value) {
    place(std::move(value));
    return true;
  }
  Value& place(Value value) {
    if (++count_ > limits_.values) refuse("TACIT-RS05", "more than " + std::to_string(limits_.values) + " values", offset());
    if (open_.empty()) {
      result = std::move(value);
      return result;
    }
    if (auto* array = open_.back()->get<Value::Array>()) return array->emplace_back(std::move(value));
    auto& object = *open_.back()->get<Value::Object>();
    object.push_back({std::move(keys_.back()), std::move(value), key_offsets_.back()});
    return object.back().value;
  }
  bool open(Value value) {
    if (open_.size() == limits_.depth) {
      refuse("TACIT-RS03", "nested deeper than " + std::to_string(limits_.depth) + " levels", offset());
    }
    Value& placed = place(std::move(value));
    // The address holds until it is closed: its parent gets no further element before that.
    open_.push_back(&placed);
    keys_.emplace_back();
    key_offsets_.push_back(0);
    return true;
  }
  bool close() {
    open_.pop_back();
    keys_.pop_back();
    key_offsets_.pop_back();
    return true;
  }

  char const* start_;
  std::string_view file_;
  Limits limits_;
  std::size_t count_ = 0;
  std::vector<Value*> open_;
  std::vector<std::string> keys_;
  std::vector<std::uint64_t> key_offsets_;
};

}  // namespace detail

/// Whether all of a text is UTF-8.
constexpr bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    std::size_t const length = detail::utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// The value of a JSON text (RFC 8259) and nothing beside it; `file` is named in messages.
///
/// Refused beyond the standard: a key twice in an object, more nesting than `limits.depth`, integers outside of 64 bits,
/// bytes that are not UTF-8, a byte order mark, NUL bytes.
/// Throws: StateError, a number for each defect, with the byte where it was found.
inline Value parse(std::string_view text, std::string_view file, Limits limits = {}) {
  detail::Builder builder{text, file, limits};
  // The parser takes a NUL for the end of the text, and skips a byte order mark.
  if (auto const nul = text.find('\0'); nul != std::string_view::npos) builder.refuse("TACIT-RS01", "is not JSON: a NUL byte", nul);
  if (text.starts_with("\xef\xbb\xbf")) builder.refuse("TACIT-RS01", "is not JSON as RFC 8259 has it: a byte order mark", 0);
  detail::CountingIterator const first{text.data(), &builder.position};
  detail::CountingIterator const last{text.data() + text.size(), &builder.position};
  nlohmann::json::sax_parse(first, last, &builder);
  return std::move(builder.result);
}

/// Appends a text as a JSON string, as serde_json and Python (`ensure_ascii=False`) write it.
/// Requires: `text` is UTF-8.
inline void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          constexpr std::string_view digits = "0123456789abcdef";
          out.append("\\u00").append(1, digits[static_cast<unsigned char>(c) >> 4U]).append(1, digits[static_cast<unsigned char>(c) & 15U]);
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

/// Appends a finite number in the fewest digits that read back as the same double, always with a point or an exponent.
inline void append_number(std::string& out, double value) {
  char digits[40];
  auto const end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  std::string_view const text{digits, static_cast<std::size_t>(end - digits)};
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";  // also for -0.0: an integer has no sign of zero
}

/// Appends a value without any white space.
/// Requires: texts are UTF-8, numbers finite.
inline void append(std::string& out, Value const& value) {
  if (auto const* flag = value.get<bool>()) {
    out += *flag ? "true" : "false";
  } else if (auto const* negative = value.get<std::int64_t>()) {
    out += std::to_string(*negative);
  } else if (auto const* whole = value.get<std::uint64_t>()) {
    out += std::to_string(*whole);
  } else if (auto const* number = value.get<double>()) {
    append_number(out, *number);
  } else if (auto const* text = value.get<std::string>()) {
    append_quoted(out, *text);
  } else if (auto const* array = value.get<Value::Array>()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i != 0) out += ',';
      append(out, (*array)[i]);
    }
    out += ']';
  } else if (auto const* object = value.get<Value::Object>()) {
    out += '{';
    for (std::size_t i = 0; i < object->size(); ++i) {
      if (i != 0) out += ',';
      append_quoted(out, (*object)[i].key);
      out += ':';
      append(out, (*object)[i].value);
    }
    out += '}';
  } else {
    out += "null";
  }
}

/// A value with its path and file: reads with checks whose messages say where.
class Reader {
 public:
  Reader(Value const& value, std::string_view file, std::string path = {}) : value_{&value}, file_{file}, path_{std::move(path)} {}

  Value const& value() const noexcept { return *value_; }
  std::string const& path() const noexcept { return path_; }

  /// Throws: StateError where there is no such member.
  Reader operator[](std::string_view key) const {
    auto found = find(key);
    if (!found) fail("TACIT-RS06", "the member " + detail::shown(key) + " is missing");
    return *std::move(found);
  }
  std::optional<Reader> find(std::string_view key) const {
    object();
    Value const* found = value_->find(key);
    if (found == nullptr) return std::nullopt;
    return Reader{*found, file_, path_.empty() ? std::string{key} : path_ + "." + std::string{key}};
  }
  Value::Object const& object() const { return as<Value::Object>("an object"); }
  std::vector<Reader> items() const {
    std::vector<Reader> result;
    auto const& array = as<Value::Array>("an array");
    for (std::size_t i = 0; i < array.size(); ++i) result.emplace_back(array[i], file_, path_ + "[" + std::to_string(i) + "]");
    return result;
  }
  /// One of them; for arrays too long to have a Reader for each at a time.
  std::size_t count() const { return as<Value::Array>("an array").size(); }
  Reader item(std::size_t i) const { return {as<Value::Array>("an array")[i], file_, path_ + "[" + std::to_string(i) + "]"}; }
  std::string const& text() const { return as<std::string>("a text"); }
  std::uint64_t whole() const { return as<std::uint64_t>("an integer of 0 or more"); }
  bool flag() const { return as<bool>("true or false"); }
  double number() const { return as<double>("a number with a point or an exponent"); }

  /// Throws: StateError if there is a member that is not among the known ones.
  void allow_only(std::initializer_list<std::string_view> known) const {
    for (Member const& member : object()) {
      if (std::ranges::find(known, member.key) == known.end()) {
        throw StateError{"TACIT-RS08", tacit::detail::message({"the member ", detail::shown(member.key), " of ", place(), " is not known"}),
                         detail::at_offset(file_, member.offset), "the file is damaged, or of a newer version of Tacit"};
      }
    }
  }
  [[noreturn]] void fail(std::string_view code, std::string const& what) const {
    throw StateError{code, what, std::string{file_} + ", " + place(), "the file is damaged or of another kind; take another copy"};
  }

 private:
  std::string place() const { return path_.empty() ? "top level" : detail::shown(path_); }
  template <class T>
  T const& as(std::string_view wanted) const {
    auto const* found = value_->get<T>();
    if (found == nullptr) fail("TACIT-RS07", "expected " + std::string{wanted});
    return *found;
  }

  Value const* value_;
  std::string_view file_;
  std::string path_;
};

}  // namespace tacit::inline v0::json
