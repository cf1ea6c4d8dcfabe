#pragma once

#include <cstdio>
#include <cstdlib>
#include <ostream>
#include <string_view>

#include <sys/ioctl.h>
#include <unistd.h>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// Where the library's text goes: standard output, a stream or a function; borrowed, never owned.
class Sink {
 public:
  /// Standard output; a terminal where it is one that can overwrite lines (TERM is neither unset nor "dumb").
  Sink() : write_{&to_file}, target_{stdout}, columns_{terminal_columns(STDOUT_FILENO)} {}
  Sink(std::ostream& stream) : write_{&to_stream}, target_{&stream} {}
  Sink(void (*function)(void* target, std::string_view text), void* target) : write_{function}, target_{target} {}
  /// A sink that drops everything.
  static Sink none() {
    return Sink{[](void*, std::string_view) {}, nullptr};
  }

  /// The same sink, taken for a terminal of that width (0: a log file).
  Sink with_columns(int columns) const {
    Sink copy{*this};
    copy.columns_ = columns;
    return copy;
  }

  void write(std::string_view text) const { write_(target_, text); }
  /// True if a line may be overwritten by a carriage return.
  bool is_terminal() const noexcept { return columns_ > 0; }
  int columns() const noexcept { return columns_; }

 private:
  static void to_file(void* target, std::string_view text) {
    auto* file = static_cast<std::FILE*>(target);
    std::fwrite(text.data(), 1, text.size(), file);
    std::fflush(file);
  }
  static void to_stream(void* target, std::string_view text) {
    auto& stream = *static_cast<std::ostream*>(target);
    stream.write(text.data(), static_cast<std::streamsize>(text.size())).flush();
  }
  static int terminal_columns(int descriptor) {
    if (::isatty(descriptor) == 0) return 0;
    // What runs programs in an editor or over a line says so: its lines cannot be overwritten. Without TERM nothing is known.
    char const* const kind = std::getenv("TERM");
    if (kind == nullptr || *kind == '\0' || std::string_view{kind} == "dumb") return 0;
    ::winsize size{};
    return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? static_cast<int>(size.ws_col) : 80;
  }

  void (*write_)(void*, std::string_view);
  void* target_;
  int columns_ = 0;
};

}  // namespace tacit::inline v0
