// needs: libtorch
#include "tacit/auto.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
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

namespace auto_tests {
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

/// LibTorch's number of threads, until the end of a test.
class LibraryThreads {
 public:
  explicit LibraryThreads(int count) { at::set_num_threads(count); }
  LibraryThreads(LibraryThreads const&) = delete;
  LibraryThreads& operator=(LibraryThreads const&) = delete;
  ~LibraryThreads() { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

TEST_CASE("the trainer says in one line what was chosen and why") {
  LibraryThreads const threads{2};
  CHECK(said({"--device", "cpu"}) ==
        "[tacit] auto: device cpu (asked for), 1 or 2 threads (by the first batch), precision fp32 (the default), "
        "single process\n");
  CHECK(said({"--device=cpu", "--precision=bf16", "--threads=2"}) ==
        "[tacit] auto: device cpu (asked for), 2 threads (asked for), precision bf16 (asked for), single process\n");
}

/// The largest work that is told while the operators run.
double work_of(auto const& operators) {
  double largest = 0.0;
  tacit::detail::OperatorWork const watch{{&largest, [](void* to, double work) {
                                             *static_cast<double*>(to) = std::max(*static_cast<double*>(to), work);
                                             return true;
                                           }}};
  operators();
  return largest;
}

TEST_CASE("the work of an operator is its multiply-adds, or eight for each element") {
  at::Tensor const x = at::zeros({32, 784});
  CHECK(work_of([&] { at::linear(x, at::zeros({128, 784}), at::zeros({128})); }) == 128.0 * 784.0 * 32.0);
  CHECK(work_of([&] { at::linear(x, x); }) == 32.0 * 784.0 * 32.0);
  CHECK(work_of([&] { at::relu(x); }) == 8.0 * 32.0 * 784.0);
  CHECK(work_of([&] { x.view({784, 32}); }) == 0.0);
  CHECK(work_of([&] { at::bmm(at::zeros({4, 64, 32}), at::zeros({4, 32, 48})); }) == 4.0 * 64.0 * 32.0 * 48.0);
  at::Tensor const image = at::zeros({2, 3, 16, 16});
  at::Tensor const kernel = at::zeros({8, 3, 3, 3});
  CHECK(work_of([&] { at::conv2d(image, kernel); }) == 2.0 * 8.0 * 14.0 * 14.0 * 3.0 * 9.0);
  at::Tensor const query = at::zeros({2, 4, 64, 32});
  CHECK(work_of([&] { at::scaled_dot_product_attention(query, query, query); }) >= 2.0 * 4.0 * 64.0 * 64.0 * 32.0);
}

TEST_CASE("a listener that has heard enough hears no more") {
  int heard = 0;
  tacit::detail::OperatorWork const watch{{&heard, [](void* to, double) { return ++*static_cast<int*>(to) < 2; }}};
  at::Tensor const x = at::zeros({4});
  for (int i = 0; i < 5; ++i) at::relu(x);
  CHECK(heard == 2);
}

TEST_CASE("a small model computes with one thread, a large one with all, and the trainer says so") {
  LibraryThreads const threads{2};
  std::vector<int> used;
  std::ostringstream text;
  auto const train = [&](std::int64_t size, Line const& line) {
    used.clear();
    text.str("");
    at::Tensor const weight = at::zeros({size, size});
    auto const loss = [&used, &weight](at::Tensor const& prediction, at::Tensor const& target) {
      at::linear(weight, weight);
      used.push_back(at::get_num_threads());
      return tacit::loss::Mse{}(prediction, target);
    };
    tacit::Trainer trainer{std::make_shared<small::Net>(), loss, tacit::optim::Sgd{.lr = 0.1},
                           Auto{line.argc(), line.argv(), tacit::Sink{text}}, tacit::CallbackPack{}};
    trainer.train(small::Data{8}, {.epochs = 2, .sink = tacit::Sink::none()});
    CHECK(at::get_num_threads() == 2);
    CHECK(!at::hasThreadLocalCallbacks());
    return std::ranges::count(used, 2) == static_cast<std::ptrdiff_t>(used.size());
  };
  CHECK_FALSE(train(32, {"--device", "cpu"}));
  CHECK(std::ranges::count(used, 1) == static_cast<std::ptrdiff_t>(used.size()));
  CHECK(text.str().find("[tacit] auto: 1 thread of 2 (the largest operator of the first batch has 0.0 million") !=
        std::string::npos);
  CHECK(train(160, {"--device", "cpu"}));
  CHECK(text.str().find("[tacit] auto: 2 threads of 2 (") != std::string::npos);
  CHECK(train(32, {"--device", "cpu", "--threads", "all"}));
  CHECK_FALSE(train(160, {"--device", "cpu", "--threads", "1"}));
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
  CHECK(code_of({"--threads", "1"}, tacit::Cpu{}) == "TACIT-RX13");
}

TEST_CASE("a wrong command line is an error before anything is made") {
  CHECK_THROWS_AS((Auto{Line{"--device", "gpu"}.argc(), Line{"--device", "gpu"}.argv()}), tacit::ConfigError);
  CHECK(code_of({"--device", "gpu"}) == "TACIT-RC75");
  CHECK(code_of({"--precision", "half"}) == "TACIT-RC76");
  CHECK(code_of({"--threads", "0"}) == "TACIT-RC160");
  CHECK(code_of({"--threads", "x"}) == "TACIT-RC160");
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

}  // namespace auto_tests
