#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/core/sink.hpp"

namespace fake {

/// What a terminal shows: the visible lines, each at most so long as it is wide.
struct Screen {
  std::vector<std::string> lines{""};
  std::size_t column = 0;
  std::size_t widest = 0;

  void write(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      std::string& line = lines.back();
      if (text[i] == '\r') {
        column = 0;
      } else if (text[i] == '\n') {
        lines.emplace_back();
        column = 0;
      } else if (text.substr(i, 3) == "\x1b[K") {
        line.resize(column);
        i += 2;
      } else {
        if (line.size() <= column) line.resize(column + 1, ' ');
        line[column++] = text[i];
        widest = std::max(widest, column);
      }
    }
  }
  tacit::Sink sink(int columns) {
    return tacit::Sink{[](void* self, std::string_view text) { static_cast<Screen*>(self)->write(text); }, this}.with_columns(columns);
  }
};

}  // namespace fake
