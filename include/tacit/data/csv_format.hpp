#pragma once

#include <charconv>
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

/// What a field without text, or with one of `Options::missing_words`, becomes.
enum class Missing { refuse, nan, value };

struct Options {
  char delimiter = ',';
  bool header = true;                                     ///< the first line holds the names of the columns
  std::vector<std::string> columns{};                     ///< the columns to read, in this order; none: all
  Missing missing = Missing::refuse;
  double missing_value = 0;                               ///< for `Missing::value`
  std::vector<std::string> missing_words{"NA", "NaN", "nan", "null", "?"};
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
  }

  std::vector<std::string> const& fields() const noexcept { return fields_; }
  std::size_t line() const noexcept { return first_line_; }

  std::string place(std::size_t column) const {
    return std::string{file_} + ", line " + std::to_string(first_line_) + ", column " + std::to_string(column + 1);
  }

  /// Reads the next line that is not blank; false at the end.
  bool next() {
    while (at_ < text_.size()) {
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
      if (blank) continue;
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
};

inline std::string shown(std::string_view field) {
  std::string text = "\"";
  for (char const c : field.substr(0, 40)) text += c >= ' ' && c <= '~' ? c : '?';
  return text + (field.size() > 40 ? "...\"" : "\"");
}

}  // namespace detail

/// Reads the chosen columns of a text as numbers; what other columns hold is not looked at.
///
/// Spaces around unquoted fields and blank lines do not count. Numbers are written as `std::from_chars` reads them,
/// in any locale, and may start with a plus sign.
/// Throws: DataError with line and column; ConfigError for a delimiter that cannot be one.
inline Table parse(std::string_view text, std::string_view file, Options const& options = {}) {
  if (options.delimiter == '"' || options.delimiter == '\n' || options.delimiter == '\r' || !options.limit.is_set()) {
    throw ConfigError{"TACIT-RD117", "the delimiter is a quote or line end, or there is no limit on the size",
                      std::string{file}, "give a delimiter such as ',', ';' or '\\t', and a number of bytes"};
  }
  if (text.size() > static_cast<std::size_t>(options.limit.value())) {
    throw DataError{"TACIT-RD118", tacit::detail::message({"the file has ", text.size(), " bytes, the limit is ", options.limit.value()}),
                    std::string{file}, "give a higher limit if you trust the file"};
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
  if (more && options.header) more = reader.next();
  if (!more) {
    throw DataError{"TACIT-RD119", "there are no rows", std::string{file},
                    options.header ? "the first line was taken for the names of columns: set .header = false if it is data"
                                   : "check where the file comes from"};
  }
  Table table;
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
                      tacit::detail::message({file, ", line 1"}), tacit::detail::message({"the columns are ", all})};
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
                      "every line has as many fields as the first one"};
    }
    for (std::size_t const column : chosen) {
      std::string_view field = detail::trimmed(fields[column]);
      bool missing = field.empty();
      for (std::string const& word : options.missing_words) missing |= field == word;
      if (missing) {
        if (options.missing == Missing::refuse) {
          throw DataError{"TACIT-RD122", tacit::detail::message({"the value of column ", detail::shown(names[column]), " is missing"}),
                          reader.place(column), "set .missing to csv::Missing::nan or csv::Missing::value"};
        }
        table.values.push_back(options.missing == Missing::nan ? std::numeric_limits<double>::quiet_NaN()
                                                               : options.missing_value);
        continue;
      }
      if (field.starts_with('+') && !field.starts_with("+-")) field.remove_prefix(1);
      double value = 0;
      auto const [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
      if (error != std::errc{} || end != field.data() + field.size()) {
        bool const range = error == std::errc::result_out_of_range;
        throw DataError{"TACIT-RD123",
                        tacit::detail::message({detail::shown(fields[column]), (range ? " is no float64: out of range" : " is no number"),
                                                ", in column ", detail::shown(names[column])}),
                        reader.place(column), "leave the column out with .columns, or write numbers"};
      }
      table.values.push_back(value);
    }
    ++table.rows;
  }
  return table;
}

}  // namespace tacit::inline v0::data::csv
