#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>

/// How a program tells its launcher why it ends.
namespace tacit::inline v0::launch {

namespace detail {
inline std::string json_text(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  std::string result{"\""};
  for (char c : text) {
    auto const byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      (result += '\\') += c;
    } else if (byte < 0x20) {
      result.append("\\u00").append(1, digits[byte / 16]).append(1, digits[byte % 16]);
    } else {
      result += c;
    }
  }
  return result + '"';
}
}  // namespace detail

/// Prints why the program ends, and writes it to the file in which torchrun looks for the root cause. Returns: the exit status, 1.
///
/// torchrun shows the first rank's message that way, and not only that some rank ended.
/// Example: `int main() try { ... } catch (std::exception const& error) { return tacit::launch::fail(error); }`
inline int fail(std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  if (char const* const path = std::getenv("TORCHELASTIC_ERROR_FILE")) {
    auto const now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    if (std::FILE* const file = std::fopen(path, "w")) {
      std::fprintf(file, "{\"message\": {\"message\": %s, \"extraInfo\": {\"timestamp\": \"%lld\", \"py_callstack\": \"\"}}}\n", detail::json_text(error.what()).c_str(),
                   static_cast<long long>(now));
      std::fclose(file);
    }
  }
  return 1;
}

}  // namespace tacit::inline v0::launch
