// CSV text; the first byte chooses the options. What is accepted is written as plain numbers and read as the same.

#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "reliability/fuzz/mutate.hpp"
#include "tacit/data/csv_format.hpp"

namespace csv = tacit::data::csv;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

csv::Options options_of(std::uint8_t choice) {
  static constexpr char delimiters[] = {',', ';', '\t', ' '};
  csv::Options options{.delimiter = delimiters[choice % 4], .header = (choice & 4) != 0};
  options.missing = static_cast<csv::Missing>((choice >> 3) % 3);
  options.missing_value = -1;
  if ((choice & 64) != 0) options.columns = {options.header ? "a" : "0"};
  return options;
}

std::string text_of(csv::Table const& table) {
  std::string text;
  for (std::size_t i = 0; i < table.values.size(); ++i) {
    char digits[32];
    auto const written = std::to_chars(digits, digits + sizeof digits, table.values[i]);
    text.append(digits, written.ptr);
    text += (i + 1) % table.columns.size() == 0 ? '\n' : ',';
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    csv::Table const table = csv::parse({reinterpret_cast<char const*>(data) + 1, size - 1}, "file", options_of(data[0]));
    require(table.rows >= 1 && !table.columns.empty() && table.values.size() == table.columns.size() * static_cast<std::size_t>(table.rows));
    csv::Table const again = csv::parse(text_of(table), "again", {.header = false, .missing_words = {}});
    require(again.rows == table.rows && again.columns.size() == table.columns.size());
    for (std::size_t i = 0; i < table.values.size(); ++i) {
      bool const both_nan = std::isnan(table.values[i]) && std::isnan(again.values[i]);
      require(both_nan || std::bit_cast<std::uint64_t>(table.values[i]) == std::bit_cast<std::uint64_t>(again.values[i]));
    }
  } catch (tacit::DataError const&) {
  }
  return 0;
}

/// Changes the text with what CSV is made of.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  static constexpr std::string_view tokens[] = {",", ";", "\t", " ", "\n", "\r\n", "\r", "\"", "\"\"", "\",\"", "\"\n\"", "a", "0", "1", "-2.5e3", "+.5", "1e999", "1e-400", "nan",
                                                "inf", "-inf", "NA", "?", "null", "a,b\n", "1,2\n", "\xef\xbb\xbf", "0x10", "\xff"};
  if (size < 2 || max_size < 16 || seed % 16 == 0) return give_back(mutated_bytes({reinterpret_cast<char const*>(data), size}, max_size), data, max_size);
  std::string const first(1, static_cast<char>(data[0]));
  return give_back(first + mutated_text({reinterpret_cast<char const*>(data) + 1, size - 1}, max_size - 1, seed / 16, tokens), data, max_size);
}
