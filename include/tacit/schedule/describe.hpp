#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tacit/schedule/schedule.hpp"
#include "tacit/version.hpp"

namespace tacit::inline v0::schedule {

/// A line for each phase with its updates and the values at its ends, and a plot of the whole in text.
///
/// Of an endless phase it shows as many updates as the phases before it have, and 100 at least.
template <std::size_t N>
std::string describe(Bound<N> const& bound) {
  auto const number = [](double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.4g", value);
    return std::string{text.data()};
  };
  std::string text;
  std::int64_t end = 0;
  for (Phase const& phase : bound.phases()) {
    if (phase.begin == phase.end) continue;
    std::int64_t const begin = phase.begin.value();
    std::int64_t const shown = phase.is_endless ? begin + std::max<std::int64_t>(begin, 100) : phase.end.value();
    end = std::max(end, shown);
    text.append("updates ").append(std::to_string(begin)).append(" to ");
    text.append(phase.is_endless ? "the end" : std::to_string(shown - 1)).append(": ").append(name_of(phase.shape)).append(", ");
    text.append(number(bound(phase.begin))).append(" to ").append(number(bound(UpdateIndex{shown - 1}))).append("\n");
  }
  if (end == 0) return "no updates\n";

  constexpr std::int64_t width = 60;
  constexpr int height = 8;
  std::vector<double> values;
  std::int64_t const columns = std::min(width, end);
  for (std::int64_t column = 0; column < columns; ++column) {
    double const part = columns == 1 ? 0.0 : static_cast<double>(column) / static_cast<double>(columns - 1);
    values.push_back(bound(UpdateIndex{std::llround(part * static_cast<double>(end - 1))}));
  }
  auto const [low, high] = std::minmax_element(values.begin(), values.end());
  double const span = *high > *low ? *high - *low : 1.0;
  for (int row = height - 1; row >= 0; --row) {
    std::string label = row == height - 1 ? number(*high) : row == 0 ? number(*low) : std::string{};
    std::string line = std::string(10 - std::min<std::size_t>(label.size(), 10), ' ') + label + " |";
    for (double value : values) line += std::lround((value - *low) / span * (height - 1)) == row ? '*' : ' ';
    line.erase(line.find_last_not_of(' ') + 1);
    text.append(line).append("\n");
  }
  std::string const last = std::to_string(end - 1);
  auto const gap = static_cast<std::size_t>(std::max<std::int64_t>(columns - 1 - static_cast<std::int64_t>(last.size()), 1));
  return text.append(11, ' ').append("+").append(static_cast<std::size_t>(columns), '-').append("\n").append(12, ' ').append("0").append(gap, ' ').append(last).append("\n");
}

}  // namespace tacit::inline v0::schedule
