#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

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
