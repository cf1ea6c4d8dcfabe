#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/data/idx_format.hpp"

/// Comma-separated values as RFC 4180 writes them: fields in double quotes may hold delimiters, line ends and doubled
/// quotes; lines end with LF or CRLF.
namespace tacit::inline v0::data::csv {

/// What a field without text, with one of `Options::missing_words`, or that says "not a number" (nan, -NaN, nan(0)) becomes.
enum class Missing { refuse, nan, value };

struct Options {
  char delimiter = ',';
  char decimal = '.';                                     ///< stands before a number's fraction: ',' in much of Europe
  bool header = true;                                     ///< the first line holds the names of the columns
  std::vector<std::string> columns{};                     ///< the columns to read, in this order; none: all
  Missing missing = Missing::refuse;
  double missing_value = 0;                               ///< for `Missing::value`
  std::vector<std::string> missing_words{"NA", "NaN", "nan", "null", "?"};
  bool round_integers = false;                            ///< takes the nearest float64 of a whole number that has none of its own
  Bytes limit = idx::default_limit;                       ///< a larger file is refused
};

/// Numbers by rows; without a header the columns are called "0", "1", ...
struct Table {
  std::vector<std::string> columns;
  std::vector<double> values;  ///< row by row
  std::int64_t rows = 0;
};

namespace detail {

inline std::string_view trimmed(std::string_view text) {
  auto const blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Cuts text into lines of fields; knows where it is.
class Reader {
 public:
  Reader(std::string_view text, char delimiter, std::string_view file)
      : text_{text}, delimiter_{delimiter}, file_{file} {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);  // the byte order mark that some programs write
    end_of_text_ = text_.find_last_not_of(" \t\r\n") + 1;
  }

  /// From now on a blank line is a line with one empty field, unless nothing but blank lines follows.
  void keep_blank_lines() noexcept { keeps_blank_lines_ = true; }

  std::vector<std::string> const& fields() const noexcept { return fields_; }
  std::size_t line() const noexcept { return first_line_; }

  std::string place(std::size_t column) const {
    return std::string{file_} + ", line " + std::to_string(first_line_) + ", column " + std::to_string(column + 1);
  }

  /// Reads the next line that is not blank; false at the end.
  bool next() {
    while (at_ < text_.size()) {
      bool const is_row = keeps_blank_lines_ && at_ < end_of_text_;
      first_line_ = line_;
      used_ = 0;
      bool blank = true;
      do {
        if (used_ == fields_.size()) fields_.emplace_back();
        fields_[used_].clear();
        blank &= !read_field(fields_[used_]) && used_ == 0 && fields_[0].empty();
        ++used_;
      } while (accept_delimiter());
      end_line();
      if (blank && !is_row) continue;
      fields_.resize(used_);
      return true;
    }
    return false;
  }

 private:
  bool at_end_of_field() const {
    return at_ == text_.size() || text_[at_] == delimiter_ || text_[at_] == '\n' || text_[at_] == '\r';
  }
  bool accept_delimiter() {
    if (at_ == text_.size() || text_[at_] != delimiter_) return false;
    ++at_;
    return true;
  }
  void end_line() {
    if (at_ == text_.size()) return;
    if (text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    ++line_;
  }

  /// Whether the field was quoted.
  bool read_field(std::string& into) {
    if (at_ == text_.size() || text_[at_] != '"') {
      std::size_t const start = at_;
      for (; !at_end_of_field(); ++at_) {
        if (text_[at_] == '"') refuse_quote("a quote inside of an unquoted field");
      }
      into = trimmed(text_.substr(start, at_ - start));
      return false;
    }
    ++at_;
    for (;;) {
      std::size_t const quote = text_.find('"', at_);
      if (quote == std::string_view::npos) {
        throw DataError{"TACIT-RD115", "a quoted field has no end", place(used_), "close the quotes"};
      }
      std::string_view const piece = text_.substr(at_, quote - at_);
      for (char const c : piece) line_ += c == '\n' ? 1 : 0;
      into.append(piece);
      at_ = quote + 1;
      if (at_ == text_.size() || text_[at_] != '"') break;
      into += '"';
      ++at_;
    }
    if (!at_end_of_field()) refuse_quote("text behind a quoted field");
    return true;
  }
  [[noreturn]] void refuse_quote(char const* what) const {
    throw DataError{"TACIT-RD116", what, place(used_), "put the whole field into quotes and double those inside"};
  }

  std::string_view text_;
  char delimiter_;
  std::string_view file_;
  std::vector<std::string> fields_;
  std::size_t used_ = 0;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t first_line_ = 1;
  std::size_t end_of_text_ = 0;  // what follows is blank
  bool keeps_blank_lines_ = false;
};

inline std::string shown(std::string_view field) {
  std::string text = "\"";
  for (char const c : field.substr(0, 40)) text += c >= ' ' && c <= '~' ? c : '?';
  return text + (field.size() > 40 ? "...\"" : "\"");
}

inline bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Whether a decimal number outside of float64's range is too small, not too large.
inline bool is_tiny(std::string_view number) noexcept {
  std::int64_t exponent = 0;  // of ten, of the first digit that is not 0
  bool seen = false;
  bool fraction = false;
  std::size_t at = number.starts_with('-') ? 1 : 0;
  for (; at < number.size() && (is_digit(number[at]) || number[at] == '.'); ++at) {
    if (number[at] == '.') {
      fraction = true;
    } else {
      if (seen && !fraction) ++exponent;
      if (!seen && fraction) --exponent;
      seen |= number[at] != '0';
    }
  }
  if (at < number.size()) ++at;  // the e
  bool const negative = at < number.size() && number[at] == '-';
  if (at < number.size() && !is_digit(number[at])) ++at;
  constexpr std::int64_t most = std::int64_t{1} << 40;  // more digits than a text can have outweigh no exponent
  std::int64_t written = 0;
  for (; at < number.size() && is_digit(number[at]); ++at) written = std::min(most, 10 * written + (number[at] - '0'));
  return exponent + (negative ? -written : written) < 0;
}

/// Whether `value` is what a whole number says, digit for digit; true for numbers with a fraction or an exponent.
inline bool is_exact(std::string_view number, double value) {
  if (number.starts_with('-')) number.remove_prefix(1);
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  if (number.size() < 16 || !std::ranges::all_of(number, is_digit)) return true;  // 2^53 has 16 digits
  std::array<char, 512> digits;
  auto const [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), std::abs(value), std::chars_format::fixed, 0);
  return error == std::errc{} && std::string_view{digits.data(), static_cast<std::size_t>(end - digits.data())} == number;
}

/// What to do about a field that is no number, by what it looks like.
inline std::string advice(std::string_view field, Options const& options) {
  std::string letters;
  for (char const c : field) {
    bool const upper = c >= 'A' && c <= 'Z';
    if (upper || (c >= 'a' && c <= 'z')) letters += static_cast<char>(upper ? c - 'A' + 'a' : c);
  }
  bool const short_mark = field.size() <= 3 && std::ranges::all_of(field, [](char c) { return c == '-' || c == '.' || c == '*' || c == '?'; });
  constexpr std::string_view words[] = {"na", "nan", "nanna", "nana", "null", "none", "nil", "missing", "ind", "qnan", "snan"};
  if (short_mark || std::ranges::find(words, letters) != std::end(words)) {
    return tacit::detail::message({"if it stands for a missing value, add it to .missing_words"});
  }
  auto const has_comma = [&](char point) {
    std::size_t const at = field.find(point);
    return at != std::string_view::npos && field.find_first_not_of("0123456789+-eE", 0) == at && field.find_first_not_of("0123456789+-eE", at + 1) == std::string_view::npos;
  };
  if (options.decimal != ',' && has_comma(',')) return "if the comma is a decimal point, set .decimal = ','";
  if (options.decimal != '.' && has_comma('.')) return tacit::detail::message({"the decimal point is set to '", std::string(1, options.decimal), "': leave .decimal out"});
  return "leave the column out with .columns, or write numbers";
}

/// What to do about lines that do not fit the first one: they may be cut at another character.
inline std::string advice_on_delimiter(std::vector<std::string> const& names, char delimiter, std::string_view otherwise) {
  for (char const other : {';', '\t', '|', ','}) {
    if (other == delimiter || names.size() != 1 || names[0].find(other) == std::string::npos) continue;
    return tacit::detail::message({"the first line holds ", (other == '\t' ? std::string{"tabs"} : std::string{"'"} + other + "'"), ": set .delimiter = ",
                                   (other == '\t' ? std::string{"'\\t'"} : std::string{"'"} + other + "'")});
  }
  return std::string{otherwise};
}

}  // namespace detail

/// Reads the chosen columns of a text as numbers; what other columns hold is not looked at.
///
/// Spaces around unquoted fields and blank lines do not count; between the rows of a single column a blank line is a missing
/// value. Numbers are written as `std::from_chars` reads them, in any locale, and may start with a plus sign; one too small for
/// float64 is 0. A whole number that float64 cannot hold exactly is refused unless `round_integers`.
/// Throws: DataError with line and column; ConfigError for a delimiter that cannot be one.
inline Table parse(std::string_view text, std::string_view file, Options const& options = {}) {
  if (options.delimiter == '"' || options.delimiter == '\n' || options.delimiter == '\r' || !options.limit.is_set()) {
    throw ConfigError{"TACIT-RD117", "the delimiter is a quote or line end, or there is no limit on the size",
                      std::string{file}, "give a delimiter such as ',', ';' or '\\t', and a number of bytes"};
  }
  if (detail::is_digit(options.decimal) || options.decimal == options.delimiter ||
      std::string_view{"+-eE\"\n\r \t"}.find(options.decimal) != std::string_view::npos) {
    throw ConfigError{"TACIT-RC140", tacit::detail::message({"the decimal point '", std::string(1, options.decimal), "' is the delimiter, or can be no decimal point"}),
                      std::string{file}, "give .delimiter = ';' beside .decimal = ','"};
  }
  if (text.size() > static_cast<std::size_t>(options.limit.value())) {
    throw DataError{"TACIT-RD118", tacit::detail::message({"the file has ", text.size(), " bytes, the limit is ", options.limit.value()}),
                    std::string{file}, "give a higher limit if you trust the file"};
  }
  // Text has no zeros; UTF-16 has them beside each letter of ASCII.
  bool const marked = text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
  if (std::size_t const zero = text.substr(0, 4096).find('\0'); marked || zero != std::string_view::npos) {
    throw DataError{"TACIT-RD130", marked ? "the text is UTF-16 (or UTF-32), by its byte order mark" : "the text holds bytes of 0: it is UTF-16, or no text",
                    idx::detail::at_offset(file, marked ? 0 : zero), "save it as UTF-8: iconv -f UTF-16 -t UTF-8"};
  }
  detail::Reader reader{text, options.delimiter, file};
  bool more = reader.next();
  std::vector<std::string> names;
  if (more) {
    names = reader.fields();
    if (!options.header) {
      for (std::size_t column = 0; column < names.size(); ++column) names[column] = std::to_string(column);
    }
  }
  if (names.size() == 1) reader.keep_blank_lines();
  if (more && options.header) more = reader.next();
  if (!more) {
    throw DataError{"TACIT-RD119", "there are no rows", std::string{file},
                    options.header ? "the first line was taken for the names of columns: set .header = false if it is data"
                                   : "check where the file comes from"};
  }
  Table table;
  std::string number;
  std::vector<std::size_t> chosen;
  for (std::string const& wanted : options.columns.empty() ? names : options.columns) {
    std::size_t found = 0;
    std::size_t times = 0;
    for (std::size_t column = 0; column < names.size(); ++column) {
      if (names[column] != wanted) continue;
      found = column;
      ++times;
    }
    if (options.columns.empty()) {
      found = chosen.size();
      times = 1;
    }
    if (times != 1) {
      std::string all;
      for (std::string const& name : names) all.append(all.empty() ? "" : ", ").append(detail::shown(name));
      throw DataError{"TACIT-RD120",
                      tacit::detail::message({(times == 0 ? "there is no column " : "there is more than one column "), detail::shown(wanted)}),
                      tacit::detail::message({file, ", line 1"}),
                      detail::advice_on_delimiter(names, options.delimiter, tacit::detail::message({"the columns are ", all}))};
    }
    chosen.push_back(found);
    table.columns.push_back(wanted);
  }
  for (; more; more = reader.next()) {
    std::vector<std::string> const& fields = reader.fields();
    if (fields.size() != names.size()) {
      throw DataError{"TACIT-RD121",
                      tacit::detail::message({"expected ", names.size(), " fields, found ", fields.size()}),
                      tacit::detail::message({file, ", line ", reader.line()}),
                      detail::advice_on_delimiter(names, options.delimiter, "every line has as many fields as the first one")};
    }
    for (std::size_t const column : chosen) {
      std::string_view field = detail::trimmed(fields[column]);
      double value = 0;
      bool missing = field.empty();
      for (std::string const& word : options.missing_words) missing |= field == word;
      if (!missing) {
        if (field.starts_with('+') && !field.starts_with("+-")) field.remove_prefix(1);
        bool foreign = false;  // a point where the decimal point is a comma
        if (options.decimal != '.') {
          foreign = field.find('.') != std::string_view::npos;
          number.assign(field);
          std::ranges::replace(number, options.decimal, '.');
          field = number;
        }
        auto const [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
        bool const range = error == std::errc::result_out_of_range;
        bool const tiny = range && detail::is_tiny(field);
        if (tiny) value = field.starts_with('-') ? -0.0 : 0.0;
        if (foreign || end != field.data() + field.size() || (error != std::errc{} && !tiny)) {
          throw DataError{"TACIT-RD123",
                          tacit::detail::message({detail::shown(fields[column]), (range ? " is no float64: out of range" : " is no number"),
                                                  ", in column ", detail::shown(names[column])}),
                          reader.place(column), detail::advice(detail::trimmed(fields[column]), options)};
        }
        if (!options.round_integers && !detail::is_exact(field, value)) {
          throw DataError{"TACIT-RD131",
                          tacit::detail::message({detail::shown(fields[column]), " is a whole number that float64 cannot hold exactly, in column ",
                                                  detail::shown(names[column])}),
                          reader.place(column), "leave the column out with .columns, or set .round_integers = true"};
        }
        missing = std::isnan(value);
      }
      if (missing) {
        if (options.missing == Missing::refuse) {
          throw DataError{"TACIT-RD122", tacit::detail::message({"the value of column ", detail::shown(names[column]), " is missing"}),
                          reader.place(column), "set .missing to csv::Missing::nan or csv::Missing::value"};
        }
        value = options.missing == Missing::nan ? std::numeric_limits<double>::quiet_NaN() : options.missing_value;
      }
      table.values.push_back(value);
    }
    ++table.rows;
  }
  return table;
}

}  // namespace tacit::inline v0::data::csv
