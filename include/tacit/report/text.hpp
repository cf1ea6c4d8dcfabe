#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "tacit/core/text.hpp"

/// Numbers and lines as people read them; the same on every machine and in every locale.
namespace tacit::inline v0::report {

/// A metric with about five digits: "0.4321", "12.3456", "1.234e-06".
inline std::string metric_text(double value) {
  double const size = std::abs(value);
  if (!std::isfinite(value) || value == 0.0) return fixed_text(value, 4);
  if (size < 1e-4 || size >= 1e9) {
    char text[32];
    auto const [end, error] = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific, 3);
    return {text, end};
  }
  return fixed_text(value, size < 1e-2 ? 6 : size < 1e2 ? 4 : size < 1e4 ? 2 : 0);
}

/// A number with as many digits as tell it from all others: "0.01".
inline std::string shortest_text(double value) {
  if (!std::isfinite(value)) return fixed_text(value, 0);
  char text[32];
  auto const [end, error] = std::to_chars(text, text + sizeof text, value);
  return {text, end};
}

/// A rate with two or three digits: "0.42", "5.3", "53", "53.7k", "1.2M".
inline std::string rate_text(double value) {
  if (!std::isfinite(value) || value < 0.0) return "?";
  if (value >= 999.5e9) return fixed_text(value / 1e12, 1) + "T";
  if (value >= 999.5e6) return fixed_text(value / 1e9, 1) + "G";
  if (value >= 999.5e3) return fixed_text(value / 1e6, 1) + "M";
  if (value >= 999.5) return fixed_text(value / 1e3, 1) + "k";
  return fixed_text(value, value < 1.0 ? 2 : value < 9.95 ? 1 : 0);
}

/// A duration: "1.2 ms", "12 ms", "0.12 s", "3.4 s", "34 s", "12:34", "1:02:03".
inline std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0.0) return "?";
  if (seconds < 0.0995) return fixed_text(seconds * 1e3, seconds < 0.00995 ? 1 : 0) + " ms";
  if (seconds < 0.995) return fixed_text(seconds, 2) + " s";
  if (seconds < 9.95) return fixed_text(seconds, 1) + " s";
  if (seconds < 59.5) return fixed_text(seconds, 0) + " s";
  if (seconds > 1e9) return "more than 30 years";
  auto two = [](std::int64_t number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  auto const whole = static_cast<std::int64_t>(seconds + 0.5);
  std::int64_t const hours = whole / 3600;
  std::string const minutes = hours > 0 ? std::to_string(hours) + ":" + two(whole / 60 % 60) : std::to_string(whole / 60);
  return minutes + ":" + two(whole % 60);
}

/// `text` on `width` columns, flushed right.
inline std::string right_text(std::string_view text, std::size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ').append(text);
}

}  // namespace tacit::inline v0::report
