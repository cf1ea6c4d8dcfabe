#pragma once

#include <string>
#include <string_view>

#include "tacit/version.hpp"

namespace tacit::inline v0::detail {

/// A text as a JSON string, for files that programs read. Checkpoints have the spelling of other libraries instead: state/json.hpp.
inline std::string json_quoted(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
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

}  // namespace tacit::inline v0::detail
