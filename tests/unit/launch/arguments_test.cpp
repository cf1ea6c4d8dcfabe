#include "tacit/launch/arguments.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include <string>
#include <vector>

#include "tacit/core/units.hpp"

namespace arguments_tests {
namespace {

using tacit::launch::Arguments;

/// A command line as main gets it.
class Line {
 public:
  Line(std::initializer_list<char const*> words) : words_{words} {
    words_.insert(words_.begin(), "/some/where/program");
  }
  int argc() const { return static_cast<int>(words_.size()); }
  char const* const* argv() const { return words_.data(); }

 private:
  std::vector<char const*> words_;
};

Arguments read(Line const& line) {
  return Arguments{line.argc(),
                   line.argv(),
                   {{"data", "DIR", "where the data are"},
                    {"epochs", "N", "passes over the data (8)"},
                    {"verbose", "", "says more"}}};
}

std::string code_of(Line const& line) {
  try {
    read(line);
  } catch (tacit::ConfigError const& error) {
    // Every one of them lists what is known.
    for (char const* known : {"--data DIR", "--epochs N", "--verbose", "--device NAME", "--precision NAME", "--threads N", "--help"}) {
      CAPTURE(error.what(), known);
      CHECK(error.fix().find(known) != std::string::npos);
    }
    CHECK(error.where() == "command line");
    return error.code();
  }
  return "no error";
}

TEST_CASE("options are read in both spellings and in any order") {
  Arguments const arguments = read({"--epochs", "3", "--data=/a b/c=d", "--verbose", "--device", "cuda:1"});
  CHECK(arguments.integer("epochs", 8) == 3);
  CHECK(arguments.text("data", "") == "/a b/c=d");
  CHECK(arguments.has("verbose"));
  CHECK(arguments.text("device", "auto") == "cuda:1");
  CHECK(arguments.text("precision", "auto") == "auto");
  CHECK_FALSE(arguments.has("precision"));
  CHECK_FALSE(arguments.help_requested());
}

TEST_CASE("what is not given is the fallback") {
  Arguments const arguments = read({});
  CHECK(arguments.integer("epochs", 8) == 8);
  CHECK(arguments.number("epochs", 0.5) == 0.5);
  CHECK(arguments.text("data", "here") == "here");
  CHECK_FALSE(arguments.has("verbose"));
  CHECK(Arguments{}.text("device", "auto") == "auto");
}

TEST_CASE("numbers") {
  CHECK(read({"--epochs", "-3"}).integer("epochs", 8) == -3);
  CHECK(read({"--epochs=1e-3"}).number("epochs", 0) == 1e-3);
  CHECK(tacit::Epochs{read({"--epochs", "3"}).integer("epochs", 8)} == tacit::Epochs{3});
}

TEST_CASE("a value that is not the number that is asked for is refused") {
  auto const text = GENERATE("3x", "x", "3.5", " 3", "+3", "0x10", "99999999999999999999");
  CAPTURE(text);
  Arguments const arguments = read({"--epochs", text});
  try {
    arguments.integer("epochs", 8);
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RX10");
    CHECK(error.problem() == "--epochs is '" + std::string{text} + "', which is not a whole number");
  }
  CHECK_THROWS_AS(read({"--epochs", "3,5"}).number("epochs", 8), tacit::ConfigError);
}

TEST_CASE("a malformed command line is an error that lists the options") {
  CHECK(code_of({"--epoch", "3"}) == "TACIT-RX05");
  CHECK(code_of({"--epochs3"}) == "TACIT-RX05");
  CHECK(code_of({"--"}) == "TACIT-RX05");
  CHECK(code_of({"---epochs"}) == "TACIT-RX05");
  CHECK(code_of({"--=3"}) == "TACIT-RX05");
  CHECK(code_of({"--epochs"}) == "TACIT-RX06");
  CHECK(code_of({"--epochs="}) == "TACIT-RX06");
  CHECK(code_of({"--epochs", ""}) == "TACIT-RX06");
  CHECK(code_of({"--data", "--epochs", "3"}) == "TACIT-RX06");  // the value was forgotten, not named "--epochs"
  CHECK(code_of({"--verbose=1"}) == "TACIT-RX06");
  CHECK(code_of({"--verbose", "1"}) == "TACIT-RX07");
  CHECK(code_of({"3"}) == "TACIT-RX07");
  CHECK(code_of({"-e", "3"}) == "TACIT-RX07");
  CHECK(code_of({""}) == "TACIT-RX07");
  CHECK(code_of({"--epochs", "3", "--epochs=4"}) == "TACIT-RX08");
  CHECK(code_of({"--epochs", "3", "--data", "d"}) == "no error");
  CHECK(code_of({"--data=--epochs"}) == "no error");
}

TEST_CASE("help is a text, and neither printed nor the end of the program") {
  Arguments const arguments = read({"--wrong", "--help"});
  CHECK(arguments.help_requested());
  CHECK(arguments.help() ==
        "usage: program [options]\n"
        "  --data DIR        where the data are\n"
        "  --epochs N        passes over the data (8)\n"
        "  --verbose         says more\n"
        "  --device NAME     where to train: auto, cpu, cuda or cuda:N (auto)\n"
        "  --precision NAME  in what precision: auto, fp32, fp64, bf16 or fp16 (auto)\n"
        "  --threads N       threads on the CPU: auto, a number, all or measured (auto)\n"
        "  --help            this text\n");
  CHECK(Arguments{0, nullptr}.help().starts_with("usage: program "));
}

TEST_CASE("a program that names its policies has no options for them") {
  Line const line{"--device", "cpu"};
  CHECK_NOTHROW(Arguments{line.argc(), line.argv()});
  CHECK_THROWS_AS((Arguments{tacit::launch::own_options, line.argc(), line.argv(), {{"data", "DIR", ""}}}),
                  tacit::ConfigError);
}

TEST_CASE("a program may say more about the options that choose policies") {
  Arguments const arguments{0, nullptr, {{"device", "NAME", "cpu only"}}};
  CHECK(arguments.help().find("cpu only") != std::string::npos);
  CHECK(arguments.help().find("where to train") == std::string::npos);
}

TEST_CASE("what the program itself gets wrong is a usage error") {
  auto const code = [](auto const& make) -> std::string {
    try {
      make();
    } catch (tacit::UsageError const& error) {
      return error.code();
    }
    return "no error";
  };
  CHECK(code([] { return Arguments{0, nullptr, {{"a", "", ""}, {"a", "N", ""}}}; }) == "TACIT-RX12");
  CHECK(code([] { return Arguments{0, nullptr, {{"help", "", ""}}}; }) == "TACIT-RX12");
  CHECK(code([] { return Arguments{}.has("epochs"); }) == "TACIT-RX12");
  CHECK(code([] { return Arguments{}.integer("epochs", 1); }) == "TACIT-RX12");
}

}  // namespace

}  // namespace arguments_tests
