#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "tacit/core/sink.hpp"

/// The texts that policies need, too; the others stand in report/text.hpp.
namespace tacit::inline v0::report {

/// A number with so many decimals.
inline std::string fixed_text(double value, int decimals) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[400];  // the largest double has 309 digits before the point
  auto const [end, error] = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, decimals);
  return {text, end};
}

/// A number of things: "1 epoch", "2 epochs", "3 batches".
inline std::string count_text(std::int64_t number, std::string_view one) {
  std::string text = std::to_string(number) + " ";
  text.append(one).append(number == 1 ? "" : one.ends_with("tch") ? "es" : "s");
  return text;
}

/// Writes a whole line; on a terminal it takes the place of a progress bar that stands there.
inline void write_line(Sink const& sink, std::string_view text) {
  std::string line{sink.is_terminal() ? "\r\x1b[K" : ""};
  sink.write(line.append(text).append("\n"));
}

}  // namespace tacit::inline v0::report
