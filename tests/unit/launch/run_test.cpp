#include "tacit/launch/run.hpp"

#include <catch2/catch_test_macros.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/policy/precision/fp64.hpp"
#include "tacit/train/trainer.hpp"

namespace run_tests {
namespace {

using tacit::Cpu;
using tacit::Fp32;
using tacit::Fp64;

/// A device with a number, and one that some precision does not go with.
struct Card {
  using slot = tacit::slot::device;
  int index = 0;
  template <class Tensor>
  auto bind() const {
    return fake::Gpu{}.bind<Tensor>();
  }
  static Card parse(std::string_view text) {
    if (text == "card") return {};
    if (text.size() == 6 && text.back() >= '0' && text.back() <= '9') return {text.back() - '0'};
    throw tacit::ConfigError{"TACIT-RX99", "no such card", "--device", "give card:N"};
  }
};
struct Half : Fp32 {
  using excludes = tacit::list<Cpu>;
};

// The pair rules drop what makes no sense, whichever of the two says so.
static_assert(tacit::composition_count<tacit::choices<Cpu, Card>, tacit::choices<Fp32, Fp64>> == 4);
static_assert(tacit::composition_count<tacit::choices<Cpu, Card>, tacit::choices<Half, Fp32, Fp64>> == 5);
static_assert(tacit::composition_count<tacit::choices<Half, Fp32>, tacit::choices<Cpu, Card>> == 3);
static_assert(tacit::composition_count<tacit::choices<Cpu>> == 1);
static_assert(tacit::composition_count<tacit::choices<Cpu>, tacit::choices<Half>> == 0);

class Line {
 public:
  Line(std::initializer_list<char const*> words) : words_{words} { words_.insert(words_.begin(), "program"); }
  int argc() const { return static_cast<int>(words_.size()); }
  char const* const* argv() const { return words_.data(); }

 private:
  std::vector<char const*> words_;
};

struct Ran {
  std::string what;
  std::string line;
};
/// Runs over two devices and three precisions, of which one pair is no composition.
Ran run(Line const& line) {
  std::ostringstream text;
  std::string what =
      tacit::run(line.argc(), line.argv(), tacit::choices<Cpu, Card>{}, tacit::choices<Half, Fp32, Fp64>{},
                 tacit::Sink{text}, [](auto device, auto precision) {
                   return tacit::type_name<decltype(device)>() + " " + tacit::type_name<decltype(precision)>();
                 });
  return {what, text.str()};
}

TEST_CASE("the body gets the policies that the command line names") {
  CHECK(run({"--precision", "fp64"}).what == "Cpu Fp64");
  CHECK(run({"--device=cpu", "--precision=fp32"}).what == "Cpu Fp32");
}

TEST_CASE("what is not named is the first that is allowed") {
  CHECK(run({}).what == "Cpu Fp32");  // Half does not go with Cpu
  CHECK(run({"--device", "cpu"}).what == "Cpu Fp32");
}

TEST_CASE("one line says which composition runs and how many there are") {
  CHECK(run({"--precision", "fp64"}).line == "[tacit] run: cpu fp64, composition 2 of 5\n");
}

TEST_CASE("a composition that is not made is an error that lists those that are") {
  Line const line{"--device", "cpu", "--precision", "bf16"};
  try {
    tacit::run(line.argc(), line.argv(), tacit::choices<Cpu>{}, tacit::choices<Fp32, Fp64>{}, tacit::Sink::none(),
               [](auto, auto) {});
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RX11");
    CHECK(error.problem() == "no composition is made for --device cpu --precision bf16");
    CHECK(error.fix() == "the compositions are cpu fp32, cpu fp64");
  }
}

int device_number(Line const& line) {
  return tacit::run(line.argc(), line.argv(), tacit::choices<Cpu, Card>{}, tacit::choices<Half, Fp32>{},
                    tacit::Sink::none(), [](auto device, auto) {
                      if constexpr (std::same_as<decltype(device), Card>) {
                        return device.index;
                      } else {
                        return -1;
                      }
                    });
}

TEST_CASE("a policy that reads its text may have a parameter") {
  CHECK(device_number({"--device", "card"}) == 0);
  CHECK(device_number({"--device", "card:3"}) == 3);
  CHECK(device_number({"--device", "card:3", "--precision", "half"}) == 3);
  CHECK(device_number({"--precision", "half"}) == 0);  // the first device that goes with it
  CHECK(device_number({}) == -1);
  CHECK_THROWS_AS(device_number({"--device", "card:33"}), tacit::ConfigError);  // the policy refuses
  CHECK_THROWS_AS(device_number({"--device", "card3"}), tacit::ConfigError);    // nobody's
  CHECK_THROWS_AS(device_number({"--device", "cpu:1"}), tacit::ConfigError);    // reads no parameter
  CHECK_THROWS_AS(device_number({"--device", "cpu", "--precision", "half"}), tacit::ConfigError);
}

TEST_CASE("what the command line may say is what is among the choices") {
  try {
    device_number({"--dtype", "fp64"});
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RX05");
    CHECK(error.fix() == "the options are --device NAME, --precision NAME, --help");
  }
  try {
    device_number({"--help"});
    FAIL("went on");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RX09");
    CHECK(error.problem().find("--device NAME     one of cpu, card") != std::string::npos);
    CHECK(error.problem().find("--precision NAME  one of half, fp32") != std::string::npos);
  }
}

TEST_CASE("a program with options of its own hands over what it read") {
  Line const line{"--epochs", "3", "--device", "card:2"};
  tacit::launch::Arguments const arguments{line.argc(), line.argv(), {{"epochs", "N", "passes"}}};
  int seen = -1;
  tacit::run(arguments, tacit::choices<Cpu, Card>{}, tacit::Sink::none(), [&seen](auto device) {
    if constexpr (std::same_as<decltype(device), Card>) seen = device.index;
  });
  CHECK(seen == 2);
  CHECK(arguments.integer("epochs", 8) == 3);
}

TEST_CASE("an option that nothing would read is refused, and one that the program lists is its own") {
  auto const code_of = [](Line const& line, auto... choices) {
    tacit::launch::Arguments const arguments{line.argc(), line.argv()};
    try {
      tacit::run(arguments, choices..., tacit::Sink::none(), [](auto...) {});
    } catch (tacit::ConfigError const& error) {
      return error.code() + " " + error.problem();
    }
    return std::string{};
  };
  tacit::choices<Cpu, Card> const devices{};
  tacit::choices<Fp32, Fp64> const precisions{};
  CHECK(code_of(Line{"--threads", "2"}, devices) == "TACIT-RX13 --threads is given, but `run` chooses by --device alone");
  CHECK(code_of(Line{"--device", "cpu"}, precisions).starts_with("TACIT-RX13 --device is given"));
  CHECK(code_of(Line{"--device", "cpu", "--precision", "fp32"}, devices, precisions).empty());

  Line const line{"--threads", "2"};
  tacit::launch::Arguments const own{line.argc(), line.argv(), {{"threads", "N", "of the simulator"}}};
  CHECK(tacit::run(own, devices, tacit::Sink::none(), [&](auto) { return own.integer("threads", 1); }) == 2);
}

/// A body that is neither copied nor moved.
struct Fixed {
  Fixed() = default;
  Fixed(Fixed const&) = delete;
  Fixed& operator=(Fixed const&) = delete;
  std::unique_ptr<int> operator()(auto const&) { return std::make_unique<int>(++calls); }
  int calls = 6;
};

TEST_CASE("results and exceptions pass through, and a body need not be copied") {
  Line const line{};
  Fixed body;
  auto const result = tacit::run(line.argc(), line.argv(), tacit::choices<Cpu>{}, tacit::Sink::none(), body);
  CHECK(*result == 7);
  CHECK(body.calls == 7);
  CHECK_THROWS_AS(tacit::run(line.argc(), line.argv(), tacit::choices<Cpu>{}, tacit::Sink::none(),
                             [](auto) { throw std::runtime_error{"body"}; }),
                  std::runtime_error);
}

template <int>
struct Numbered : Cpu {};

TEST_CASE("many compositions are made for those who say so") {
  Line const line{};
  using nine = tacit::choices<Numbered<1>, Numbered<2>, Numbered<3>, Numbered<4>, Numbered<5>, Numbered<6>, Numbered<7>,
                              Numbered<8>, Numbered<9>>;
  static_assert(tacit::composition_count<nine> == 9);
  std::ostringstream text;
  tacit::run(line.argc(), line.argv(), tacit::allow_many, nine{}, tacit::Sink{text}, [](auto) {});
  CHECK(text.str().ends_with("composition 1 of 9\n"));
}

TEST_CASE("each composition trains") {
  Line const line{"--precision", "fp64"};
  double const loss =
      tacit::run(line.argc(), line.argv(), tacit::choices<Cpu, Card>{}, tacit::choices<Fp32, Fp64>{},
                 tacit::Sink::none(), [](auto device, auto precision) {
                   tacit::Trainer trainer{std::make_shared<fake::Linear>(),
                                          fake::MeanSquaredError{},
                                          fake::Sgd{.lr = 0.1},
                                          device,
                                          precision,
                                          tacit::CallbackPack{}};
                   auto const result = trainer.train(
                       fake::Line{8}, {.epochs = 2, .per_device_batch_size = 4, .sink = tacit::Sink::none()});
                   CHECK(trainer.plan().precision == (std::same_as<decltype(precision), Fp64> ? "fp64" : "fp32"));
                   return result[tacit::tag::train_loss{}];
                 });
  CHECK(loss > 0.0);
}

}  // namespace

}  // namespace run_tests
