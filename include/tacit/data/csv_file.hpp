#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "tacit/data/csv_format.hpp"
#include "tacit/data/idx_file.hpp"

namespace tacit::inline v0::data {

/// Reads columns of a CSV file, plain or gzip, as numbers.
/// Throws: DataError with file, line and column.
/// Cost: holds the whole text in memory while it is read.
inline csv::Table read_csv_file(std::filesystem::path const& path, csv::Options const& options = {}) {
  detail::UnpackingFile file{path};
  std::string text;
  constexpr std::size_t piece = std::size_t{1} << 20;
  // One piece over the limit is enough for `parse` to refuse it.
  auto const limit = static_cast<std::uint64_t>(std::max<std::int64_t>(options.limit.value(), 0));
  for (std::size_t found = piece; found == piece && text.size() <= limit;) {
    std::size_t const before = text.size();
    text.resize(before + piece);
    found = file.read({reinterpret_cast<std::uint8_t*>(text.data()) + before, piece});
    text.resize(before + found);
  }
  return csv::parse(text, file.name(), options);
}

}  // namespace tacit::inline v0::data
