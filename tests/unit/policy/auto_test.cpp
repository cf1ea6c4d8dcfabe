// needs: libtorch
#include "tacit/auto.hpp"

#include <concepts>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "gpu/small_problem.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/precision/bf16.hpp"
#include "tacit/policy/precision/fp32.hpp"

// Last: LibTorch has a macro CHECK, too, and the later one counts.
#include <catch2/catch_test_macros.hpp>

namespace {

using tacit::Auto;

class Line {
 public:
  Line(std::initializer_list<char const*> words) : words_{words} { words_.insert(words_.begin(), "program"); }
  int argc() const { return static_cast<int>(words_.size()); }
  char const* const* argv() const { return words_.data(); }

 private:
  std::vector<char const*> words_;
};

template <class... Policies>
auto make_trainer(Auto const& automatic, Policies const&... policies) {
  return tacit::Trainer{
      std::make_shared<small::Net>(), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, policies..., automatic,
      tacit::CallbackPack{}};
}

/// What a trainer made with this command line says.
template <class... Policies>
std::string said(Line const& line, Policies const&... policies) {
  std::ostringstream text;
  auto const trainer = make_trainer(Auto{line.argc(), line.argv(), tacit::Sink{text}}, policies...);
  return text.str();
}
template <class... Policies>
std::string code_of(Line const& line, Policies const&... policies) {
  try {
    said(line, policies...);
  } catch (tacit::ConfigError const& error) {
    return error.code();
  }
  return "no error";
}

TEST_CASE("the trainer says in one line what was chosen and why") {
  CHECK(said({"--device", "cpu"}) ==
        "[tacit] auto: device cpu (asked for), precision fp32 (the default), single process\n");
  CHECK(said({"--device=cpu", "--precision=bf16"}) ==
        "[tacit] auto: device cpu (asked for), precision bf16 (asked for), single process\n");
}

TEST_CASE("left alone it takes the device that can be used, and says why") {
  std::string const line = said({});
  CAPTURE(line);
  CHECK(line.starts_with("[tacit] auto: device c"));
  CHECK(line.ends_with(", precision fp32 (the default), single process\n"));
  auto const problem = tacit::detail::prepare_cuda();
  if (problem.code.empty()) {
    CHECK(line.find("device cuda:0") != std::string::npos);
  } else {
    CHECK(line.find("device cpu (" + problem.what + ")") != std::string::npos);
  }
}

TEST_CASE("a policy named beside it wins its slot, and the line is silent about it") {
  CHECK(said({}, tacit::Cpu{}, tacit::Bf16{}) == "[tacit] auto: single process\n");
  CHECK(said({"--precision", "fp64"}, tacit::Cpu{}) == "[tacit] auto: precision fp64 (asked for), single process\n");
}

TEST_CASE("an option for a slot that is taken is an error, for it would be ignored") {
  CHECK(code_of({"--device", "cpu"}, tacit::Cpu{}) == "TACIT-RX13");
  CHECK(code_of({"--precision", "bf16"}, tacit::Fp32{}) == "TACIT-RX13");
  CHECK(code_of({"--precision", "bf16"}, tacit::Cpu{}) == "no error");
}

TEST_CASE("a wrong command line is an error before anything is made") {
  CHECK_THROWS_AS((Auto{Line{"--device", "gpu"}.argc(), Line{"--device", "gpu"}.argv()}), tacit::ConfigError);
  CHECK(code_of({"--device", "gpu"}) == "TACIT-RC75");
  CHECK(code_of({"--precision", "half"}) == "TACIT-RC76");
  CHECK(code_of({"--epochs", "3"}) == "TACIT-RX05");
  try {
    said({"--help"});
    FAIL("went on");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RX09");
    CHECK(error.problem().find("--device NAME") != std::string::npos);
    CHECK(error.problem().find("--precision NAME") != std::string::npos);
  }
}

TEST_CASE("the program's own options are read beside it") {
  Line const line{"--epochs", "3", "--precision", "fp64", "--device", "cpu"};
  tacit::launch::Arguments const arguments{line.argc(), line.argv(), {{"epochs", "N", "passes over the data"}}};
  std::ostringstream text;
  tacit::Trainer trainer{std::make_shared<small::Net>(), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1},
                         tacit::Auto{arguments, tacit::Sink{text}}, tacit::CallbackPack{}};
  auto const result =
      trainer.train(small::Data{8}, {.epochs = arguments.integer("epochs", 8), .sink = tacit::Sink::none()});
  CHECK(result.epochs == tacit::Epochs{3});
  CHECK(trainer.plan().device == "cpu");
  CHECK(trainer.plan().precision == "fp64");
  CHECK(text.str().find("precision fp64") != std::string::npos);
}

TEST_CASE("one type, whatever is chosen, and it trains like the named policies") {
  static_assert(std::same_as<decltype(make_trainer(Auto{})), decltype(make_trainer(Auto{0, nullptr}))>);
  Line const line{"--device", "cpu", "--precision", "bf16"};
  CHECK(
      small::same_bits(small::train(Auto{line.argc(), line.argv(), tacit::Sink::none()}), small::train(tacit::Bf16{})));
}

}  // namespace
