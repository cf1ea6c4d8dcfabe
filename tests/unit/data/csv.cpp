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
