#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/data/csv_file.hpp"

namespace csv = tacit::data::csv;
using Row = std::vector<double>;

namespace csv_tests {
namespace {

csv::Table parse(std::string_view text, csv::Options const& options = {}) { return csv::parse(text, "f.csv", options); }

std::string refused(std::string_view text, csv::Options const& options = {}, std::string const& part = "") {
  try {
    (void)parse(text, options);
  } catch (tacit::Error const& error) {
    CAPTURE(std::string{error.what()}, part);
    REQUIRE(std::string{error.what()}.find(part) != std::string::npos);
    return error.code();
  }
  return "none";
}

}  // namespace

TEST_CASE("columns are read by name, in the order asked for; the others are not looked at") {
  csv::Table const table = parse("a,name,b\n1,x,2.5\n-3e2,\"y, z\",+.5\n", {.columns = {"b", "a"}});
  REQUIRE(table.columns == std::vector<std::string>{"b", "a"});
  REQUIRE(table.rows == 2);
  REQUIRE(table.values == Row{2.5, 1, 0.5, -300});
}

TEST_CASE("quotes, line ends, blanks, delimiters and the byte order mark") {
  REQUIRE(parse("\xef\xbb\xbf\"a \"\"1\"\"\",\"b\nc\"\r\n\"1\",2\r\n\r\n 3 ,\t4").columns ==
          std::vector<std::string>{"a \"1\"", "b\nc"});
  REQUIRE(parse("a,b\r\n\"1\",2\r\n\r\n 3 ,\t4").values == Row{1, 2, 3, 4});
  REQUIRE(parse("1;2\n3;4\n", {.delimiter = ';', .header = false}).values == Row{1, 2, 3, 4});
  REQUIRE(parse("1\t2\n", {.delimiter = '\t', .header = false}).values == Row{1, 2});
  REQUIRE(parse("1,2\n", {.header = false, .columns = {"1"}}).values == Row{2});
  REQUIRE(parse("1,2", {.header = false}).rows == 1);
  REQUIRE(parse("x,x\n1,2\n").values == Row{1, 2});
  REQUIRE(std::isinf(parse("inf", {.header = false}).values[0]));
}

TEST_CASE("missing values follow the policy") {
  REQUIRE(refused("a,b\n1,\n", {}, "line 2, column 2: the value of column \"b\"") == "TACIT-RD122");
  REQUIRE(refused("a,b\nNA,1\n") == "TACIT-RD122");
  REQUIRE(std::isnan(parse("a,b\n1,\n", {.missing = csv::Missing::nan}).values[1]));
  REQUIRE(parse("a,b\n?,1\n,2", {.missing = csv::Missing::value, .missing_value = -1}).values == Row{-1, 1, -1, 2});
  REQUIRE(parse("a,b\n-9,1\n", {.missing = csv::Missing::value, .missing_words = {"-9"}}).values == Row{0, 1});
}

TEST_CASE("what cannot be read is refused with line and column") {
  REQUIRE(refused("a,b\n1,2\n\"3,4\n", {}, "line 3, column 1") == "TACIT-RD115");
  REQUIRE(refused("a,b\n1,2\"3\n", {}, "line 2, column 2") == "TACIT-RD116");
  REQUIRE(refused("a,b\n\"1\"x,2\n", {}, "line 2, column 1") == "TACIT-RD116");
  REQUIRE(refused("a,b\n1,2\n3\n", {}, "line 3: expected 2 fields, found 1") == "TACIT-RD121");
  REQUIRE(refused("a,b\n1,2,3\n", {}, "found 3") == "TACIT-RD121");
  REQUIRE(refused("a,b\n\"1\n\",2\n4,5,6\n", {.columns = {"b"}}, "line 4") == "TACIT-RD121");
  REQUIRE(refused("a,\"b\nc\"\n4,5,6\n", {}, "line 3") == "TACIT-RD121");
  for (char const* const text : {"x", "1x", "0x10", "1,5e", "--1", "+-1", "1 2", "1e999"}) {
    CAPTURE(text);
    REQUIRE(refused("a\n1\n\"" + std::string{text} + "\"\n", {}, "column 1") == "TACIT-RD123");
  }
  REQUIRE(refused("") == "TACIT-RD119");
  REQUIRE(refused("a,b\n", {}, ".header = false") == "TACIT-RD119");
  REQUIRE(refused("\n\n", {.header = false}) == "TACIT-RD119");
  REQUIRE(refused("a,b\n1,2\n", {.columns = {"c"}}, "\"a\", \"b\"") == "TACIT-RD120");
  REQUIRE(refused("a,a\n1,2\n", {.columns = {"a"}}, "more than one") == "TACIT-RD120");
  REQUIRE(refused("a,b\n1,2\n", {.delimiter = '"'}) == "TACIT-RD117");
  REQUIRE(refused("a,b\n1,2\n", {.limit = tacit::unset}) == "TACIT-RD117");
  REQUIRE(refused("a,b\n1,2\n", {.limit = 7}) == "TACIT-RD118");
  REQUIRE(refused("a,b\n1,2\n", {.limit = 8}) == "none");
}

TEST_CASE("F13: whatever parses as not-a-number is missing") {
  for (char const* const text : {"nan", "NaN", "NAN", "-nan", "-NaN", "+nan", "nan(0x7)", "-nan(ind)", "NA", "null", "?", ""}) {
    CAPTURE(text);
    std::string const file = "x,y\n1,2\n" + std::string{text} + ",3\n";
    REQUIRE(refused(file, {}, "line 3, column 1") == "TACIT-RD122");
    REQUIRE(parse(file, {.missing = csv::Missing::value, .missing_value = -1}).values == Row{1, 2, -1, 3});
    REQUIRE(std::isnan(parse(file, {.missing = csv::Missing::nan}).values[2]));
  }
}

TEST_CASE("F17: between the rows of a single column a blank line is a missing value") {
  REQUIRE(refused("x\n1\n\n3\n", {}, "line 3, column 1") == "TACIT-RD122");
  REQUIRE(refused("x\n\n3\n", {}, "line 2") == "TACIT-RD122");
  REQUIRE(refused("1\r\n \t\r\n3", {.header = false}, "line 2") == "TACIT-RD122");
  REQUIRE(parse("x\n1\n\n\n3\n", {.missing = csv::Missing::value, .missing_value = -1}).values == Row{1, -1, -1, 3});
  REQUIRE(parse("x\n1\n\n3\n", {.missing = csv::Missing::nan}).rows == 3);
  REQUIRE(parse("\n\nx\n1\n3\n\n \n\r\n").values == Row{1, 3});      // before the names and behind the last row nothing is missing
  REQUIRE(parse("a,b\n1,2\n\n3,4\n").values == Row{1, 2, 3, 4});  // several columns: no row has that few fields
}

TEST_CASE("F17: a whole number that float64 cannot hold is refused, or rounded when asked") {
  for (char const* const exact : {"9007199254740992", "-9007199254740992", "+9007199254740994", "0009007199254740992", "18446744073709551616",
                                  "100000000000000000000", "9007199254740993.0", "9.007199254740993e15", "-0", "000"}) {
    CAPTURE(exact);
    REQUIRE(refused("x\n" + std::string{exact}) == "none");
  }
  for (char const* const text : {"9007199254740993", "-9007199254740993", "+9007199254740993", "09007199254740993", "9223372036854775807",
                                 "18446744073709551615", "123456789012345678901234567890"}) {
    CAPTURE(text);
    REQUIRE(refused("id,x\n" + std::string{text} + ",1\n", {}, "line 2, column 1") == "TACIT-RD131");
    REQUIRE(refused("id,x\n" + std::string{text} + ",1\n", {}, ".round_integers") == "TACIT-RD131");
    REQUIRE(parse("id,x\n" + std::string{text} + ",1\n", {.columns = {"x"}}).values == Row{1});
    REQUIRE(parse("x\n" + std::string{text}, {.round_integers = true}).rows == 1);
  }
}

TEST_CASE("F24: numbers too small for float64 are 0, those too large are refused") {
  std::string const zeros(400, '0');
  for (std::string const& text : {std::string{"1e-400"}, std::string{"-1e-400"}, std::string{"123.4e-99999999999999999999"}, "0." + zeros + "1",
                                  "0." + zeros + "1e5", "1" + zeros + "e-900", std::string{"+1e-400"}, std::string{"0e999"}}) {
    CAPTURE(text);
    REQUIRE(parse("x\n" + text).values == Row{0});
    REQUIRE(std::signbit(parse("x\n" + text).values[0]) == text.starts_with('-'));
  }
  REQUIRE(parse("x\n5e-324").values == Row{5e-324});
  for (std::string const& text : {std::string{"1e400"}, std::string{"-1e400"}, "1" + zeros, std::string{"1e99999999999999999999"},
                                  "0." + zeros + "1e999", "1" + zeros + ".5e-10"}) {
    CAPTURE(text);
    REQUIRE(refused("x\n" + text, {}, "out of range") == "TACIT-RD123");
  }
}

TEST_CASE("F24: what a text looks like stands in the message: UTF-16, marks of missing values, decimal commas, other delimiters") {
  using namespace std::string_view_literals;
  for (std::string_view const text : {"\xff\xfex\0,\0y\0\n\0"sv, "\xfe\xff\0x\0,\0y\0\n"sv, "x\0,\0y\0\n\0"sv, "\0x\0\n\0" "1"sv, "\xff\xfe\0\0x\0\0\0"sv}) {
    REQUIRE(refused(text, {}, "UTF-16") == "TACIT-RD130");
  }
  for (char const* const text : {"<NA>", "N/A", "n/a", "#N/A", "#NA", "NULL", "Null", "None", "1.#QNAN", "-1.#IND", "-", "--", ".", "missing"}) {
    CAPTURE(text);
    REQUIRE(refused("x,y\n1,2\n" + std::string{text} + ",3\n", {}, "add it to .missing_words") == "TACIT-RD123");
    REQUIRE(parse("x,y\n1,2\n" + std::string{text} + ",3\n", {.missing = csv::Missing::value, .missing_words = {text}}).values == Row{1, 2, 0, 3});
  }
  REQUIRE(refused("x;y\n1,5;2\n", {.delimiter = ';'}, ".decimal = ','") == "TACIT-RD123");
  REQUIRE(parse("x;y\n1,5;-2,25e1\n", {.delimiter = ';', .decimal = ','}).values == Row{1.5, -22.5});
  REQUIRE(parse("x;y\n1;,5\n", {.delimiter = ';', .decimal = ','}).values == Row{1, 0.5});
  REQUIRE(refused("x;y\n1.5;2\n", {.delimiter = ';', .decimal = ','}, "leave .decimal out") == "TACIT-RD123");
  REQUIRE(refused("x;y\n1.234,5;2\n", {.delimiter = ';', .decimal = ','}) == "TACIT-RD123");  // no thousands
  REQUIRE(refused("x;y\n1;2\n", {}, "leave the column out") == "TACIT-RD123");
  REQUIRE(refused("x;y\n1,5;2\n", {}, ".delimiter = ';'") == "TACIT-RD121");
  REQUIRE(refused("x\ty\n1\t2\n", {.columns = {"y"}}, ".delimiter = '\\t'") == "TACIT-RD120");
  for (char const decimal : {',', '1', '+', 'e', '"', ' '}) REQUIRE(refused("a,b\n1,2\n", {.decimal = decimal}) == "TACIT-RC140");
}

TEST_CASE("a CSV file is read from disk, larger ones than the limit are not") {
  auto const path = std::filesystem::temp_directory_path() / ("tacit_csv_" + std::to_string(::getpid()));
  {
    std::ofstream out{path};
    out << "n\n";
    for (int i = 0; i < 300000; ++i) out << i << "\n";
  }
  csv::Table const table = tacit::data::read_csv_file(path);
  REQUIRE(table.rows == 300000);
  REQUIRE(table.values[299999] == 299999);
  try {
    (void)tacit::data::read_csv_file(path, {.limit = 1000});
    FAIL("read");
  } catch (tacit::DataError const& error) {
    REQUIRE(error.code() == "TACIT-RD118");
  }
  std::filesystem::remove(path);
}

}  // namespace csv_tests
