#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "tacit/core/json_text.hpp"

/// How a program tells its launcher why it ends.
namespace tacit::inline v0::launch {

/// Prints why the program ends, and writes it to the file in which torchrun looks for the root cause. Returns: the exit status, 1.
///
/// torchrun shows the first rank's message that way, and not only that some rank ended.
/// Example: `int main() try { ... } catch (std::exception const& error) { return tacit::launch::fail(error); }`
inline int fail(std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  if (char const* const path = std::getenv("TORCHELASTIC_ERROR_FILE")) {
    auto const now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    if (std::FILE* const file = std::fopen(path, "w")) {
      std::fprintf(file, "{\"message\": {\"message\": %s, \"extraInfo\": {\"timestamp\": \"%lld\", \"py_callstack\": \"\"}}}\n", tacit::detail::json_quoted(error.what()).c_str(),
                   static_cast<long long>(now));
      std::fclose(file);
    }
  }
  return 1;
}

}  // namespace tacit::inline v0::launch
