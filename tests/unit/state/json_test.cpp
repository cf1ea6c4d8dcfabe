#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include <catch2/catch_test_macros.hpp>

#include "tacit/state/json.hpp"

namespace json_tests {
namespace {

namespace json = tacit::json;

std::string message_of(std::string_view text, json::Limits limits = {}) {
  try {
    json::parse(text, "state.json", limits);
    return "accepted";
  } catch (tacit::StateError const& error) {
    return error.what();
  }
}
std::string code_of(std::string_view text, json::Limits limits = {}) {
  try {
    json::parse(text, "state.json", limits);
    return "accepted";
  } catch (tacit::StateError const& error) {
    return error.code();
  }
}
std::string rewritten(std::string_view text) {
  std::string out;
  json::append(out, json::parse(text, "text"));
  return out;
}
std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

}  // namespace

TEST_CASE("JSON: values of every kind are read and written") {
  CHECK(rewritten(R"( {"b":[1,-2,1.5,true,false,null,"x"],"a":{}} )") == R"({"a":{},"b":[1,-2,1.5,true,false,null,"x"]})");
  CHECK(rewritten(R"("\u00e9\n\t\"\\\u0001/\ud83d\ude00")") == "\"\xc3\xa9\\n\\t\\\"\\\\\\u0001/\xf0\x9f\x98\x80\"");
  CHECK(rewritten("3") == "3");
  json::Value const value = json::parse(R"({"a":1,"b":{"c":2}})", "text");
  REQUIRE(value.find("b") != nullptr);
  CHECK(*value.find("b")->find("c")->get<std::uint64_t>() == 2);
  CHECK(value.find("c") == nullptr);
}

TEST_CASE("JSON: integers are exact to 64 bits and nothing beyond") {
  CHECK(rewritten("[18446744073709551615,-9223372036854775808,9007199254740993]") == "[18446744073709551615,-9223372036854775808,9007199254740993]");
  CHECK(code_of("18446744073709551616") == "TACIT-RS04");
  CHECK(code_of("-9223372036854775809") == "TACIT-RS04");
  CHECK(code_of("[1e999]") == "TACIT-RS04");
  CHECK(*json::parse("18446744073709551616.0", "text").get<double>() == 18446744073709551616.0);
}

TEST_CASE("JSON: doubles come back as the same bits") {
  std::mt19937_64 random{5};
  for (int i = 0; i < 20000; ++i) {
    std::uint64_t const bits = random();
    double value = 0.0;
    std::memcpy(&value, &bits, 8);
    if (!std::isfinite(value)) continue;
    std::string text;
    json::append_number(text, value);
    double const back = *json::parse(text, "text").get<double>();
    if (std::memcmp(&back, &value, 8) != 0) FAIL(text);
  }
  for (double value : {0.0, -0.0, 1.0, -7.0, 1e22, 5e-324, std::numeric_limits<double>::max(), 0.1}) {
    std::string text;
    json::append_number(text, value);
    json::Value const read = json::parse(text, "text");
    REQUIRE(read.get<double>() != nullptr);
    CHECK(std::memcmp(read.get<double>(), &value, 8) == 0);
  }
}

TEST_CASE("JSON: what is not strict is refused, each defect with its number and place") {
  CHECK(code_of(R"({"a":1,"a":2})") == "TACIT-RS02");
  CHECK(message_of(R"({"a":1,"b":2,"a":3})").find("[TACIT-RS02] state.json, byte 16: the key \"a\" stands twice") == 0);
  CHECK(code_of(R"({"x":[{"a":1,"\u0061":2}]})") == "TACIT-RS02");
  CHECK(code_of(nested(64)) == "accepted");
  CHECK(code_of(nested(65)) == "TACIT-RS03");
  CHECK(code_of(nested(500'000)) == "TACIT-RS03");
  CHECK(code_of("[1,2,3]", {.values = 3}) == "TACIT-RS05");
  for (std::string_view text : {"", " ", "{", "}", "[1,]", "{\"a\":1,}", "{a:1}", "'a'", "01", "1.", ".5", "+1", "0x10", "NaN", "Infinity", "nul", "\"a",
                                "\"\\x\"", "\"\\ud800\"", "\"\\udc00\"", "// c\n1", "/* c */ 1", "1 2", "{} x", "[1", "\"\t\""}) {
    INFO(text);
    CHECK(code_of(text) == "TACIT-RS01");
  }
  CHECK(message_of("[1,x]").find("state.json, byte 3") != std::string::npos);
}

TEST_CASE("JSON: bytes that are not UTF-8, NUL bytes and byte order marks are refused") {
  for (std::string_view text : {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xe2\x82\"", "\"\xf5\x80\x80\x80\"", "\xef\xbb\xbf{}"}) {
    CHECK(code_of(text) == "TACIT-RS01");
  }
  CHECK(code_of(std::string_view{"{}\0garbage", 10}) == "TACIT-RS01");
  CHECK(code_of(std::string_view{"{}\0", 3}) == "TACIT-RS01");
  CHECK(json::is_utf8("\xf0\x9f\x98\x80 \xc3\xa9 ascii"));
  for (std::string_view text : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xe2\x82", "\xf5\x80\x80\x80", "\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80"}) {
    CHECK_FALSE(json::is_utf8(text));
  }
}

TEST_CASE("JSON: a message shows no control characters of the file, and not all of it") {
  std::string const text = message_of("{\"" + std::string(100'000, 'k') + "\\u001b[2J\":1,\"" + std::string(100'000, 'k') + "\\u001b[2J\":1}");
  CHECK(text.find("TACIT-RS02") != std::string::npos);
  CHECK(text.size() < 400);
  CHECK(message_of("\"\x1b[2J").find('\x1b') == std::string::npos);
}

TEST_CASE("JSON: the reader says what is missing, of another kind, or unknown") {
  json::Value const value = json::parse(R"({"a":{"b":[1,"x"]},"c":-1})", "text");
  json::Reader const reader{value, "m.json"};
  CHECK(reader["a"]["b"].items()[0].whole() == 1);
  CHECK(reader["a"]["b"].items()[1].text() == "x");
  CHECK_FALSE(reader.find("d").has_value());
  auto const failing = [](auto const& body) {
    try {
      body();
      return std::string{"accepted"};
    } catch (tacit::StateError const& error) {
      return std::string{error.what()};
    }
  };
  CHECK(failing([&] { (void)reader["a"]["x"]; }).find("[TACIT-RS06] m.json, \"a\": the member \"x\" is missing") == 0);
  CHECK(failing([&] { (void)reader["a"]["b"].items()[1].whole(); }).find("[TACIT-RS07] m.json, \"a.b[1]\": expected an integer of 0 or more") == 0);
  CHECK(failing([&] { (void)reader["c"].whole(); }).find("TACIT-RS07") != std::string::npos);
  CHECK(failing([&] { reader.allow_only({"a"}); }).find("[TACIT-RS08] m.json, byte 22") == 0);
  reader.allow_only({"a", "c"});
}

}  // namespace json_tests
