#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

namespace detail {
/// A text or a whole number in a message.
class piece {
 public:
  piece(char const* text) noexcept : text_{text} {}
  piece(std::string_view text) noexcept : text_{text} {}
  piece(std::string const& text) noexcept : text_{text} {}
  template <std::signed_integral I>
    requires(!std::same_as<I, char>)
  piece(I value) noexcept : piece{number{}, static_cast<long long>(value)} {}
  template <std::unsigned_integral I>
    requires(!std::same_as<I, bool> && !std::same_as<I, char>)
  piece(I value) noexcept : piece{number{}, static_cast<unsigned long long>(value)} {}

  void append_to(std::string& text) const {
    if (length_ == 0) {
      text.append(text_);
    } else {
      text.append(digits_, length_);
    }
  }

 private:
  struct number {};
  template <class I>
  piece(number, I value) noexcept
      : length_{static_cast<std::size_t>(std::to_chars(digits_, digits_ + sizeof digits_, value).ptr - digits_)} {}

  std::string_view text_{};
  char digits_[20];
  std::size_t length_ = 0;  // of the digits; 0: a text
};

/// One text of many pieces.
///
/// What fails is rare and built out of line: a chain of `+` costs each place that throws five times the code.
inline std::string message(std::initializer_list<piece> pieces) {
  std::string text;
  for (piece const& one : pieces) one.append_to(text);
  return text;
}
/// `[8, 5]`
template <class Sizes>
std::string sizes_text(Sizes const& sizes) {
  std::string text{"["};
  for (auto const size : sizes) text.append(text.size() > 1 ? ", " : "").append(std::to_string(size));
  return text + "]";
}
}  // namespace detail

/// An error that says what is wrong, where, and what to do; `code()` is a number of docs/errors.md.
class Error : public std::runtime_error {
 public:
  Error(std::string_view code, std::string_view what, std::string_view where, std::string_view fix)
      : std::runtime_error{message(code, what, where, fix)}, code_{code}, problem_{what}, where_{where}, fix_{fix} {}

  std::string const& code() const noexcept { return code_; }
  std::string const& problem() const noexcept { return problem_; }
  std::string const& where() const noexcept { return where_; }
  std::string const& fix() const noexcept { return fix_; }

 private:
  static std::string message(std::string_view code, std::string_view what, std::string_view where, std::string_view fix) {
    std::string text{"["};
    text.append(code).append("] ").append(where).append(": ").append(what);
    if (!fix.empty()) text.append("; ").append(fix);
    return text;
  }

  std::string code_;
  std::string problem_;
  std::string where_;
  std::string fix_;
};

/// An option, a policy parameter or a command line that cannot be used.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// Data that cannot be trained on: missing, malformed, of unequal shapes, empty.
class DataError : public Error {
 public:
  using Error::Error;
};

/// Saved state that does not fit the program.
class StateError : public Error {
 public:
  using Error::Error;
};

/// Processes that disagree, or a launcher's environment that contradicts itself.
class DistributedError : public Error {
 public:
  using Error::Error;
};

/// A call at a time when it is not allowed.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace tacit::inline v0
