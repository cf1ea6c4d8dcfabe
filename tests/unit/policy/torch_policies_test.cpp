// needs: libtorch
#include <ATen/autocast_mode.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <concepts>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "gpu/small_problem.hpp"
#include "laws/policy_laws.hpp"
#include "tacit/policy/device/auto_device.hpp"
#include "tacit/policy/precision/auto_precision.hpp"
#include "tacit/policy/precision/bf16.hpp"
#include "tacit/policy/precision/bf16_pure.hpp"
#include "tacit/policy/precision/fp16.hpp"
#include "tacit/policy/precision/fp64.hpp"

// Last: LibTorch has a macro CHECK, too, and the later one counts.
#include <catch2/catch_test_macros.hpp>

namespace torch_policies_tests {
namespace {

using tacit::AutoDevice;
using tacit::AutoPrecision;
using tacit::AutocastScope;

// Our declarations and LibTorch's are the same ones: a second overload would make these ambiguous.
static_assert(std::same_as<decltype(at::autocast::is_autocast_enabled), bool(at::DeviceType)>);
static_assert(std::same_as<decltype(at::autocast::set_autocast_enabled), void(at::DeviceType, bool)>);
static_assert(std::same_as<decltype(at::autocast::get_autocast_dtype), at::ScalarType(at::DeviceType)>);
static_assert(std::same_as<decltype(at::autocast::set_autocast_dtype), void(at::DeviceType, at::ScalarType)>);
static_assert(std::same_as<decltype(at::autocast::clear_cache), void()>);
static_assert(std::same_as<decltype(at::autocast::increment_nesting), int()>);
static_assert(std::same_as<decltype(at::autocast::decrement_nesting), int()>);

static_assert(std::is_empty_v<tacit::Bf16> && std::is_empty_v<tacit::Fp64>);
static_assert(tacit::device_policy<tacit::Cuda, at::Tensor> && tacit::device_policy<AutoDevice, at::Tensor>);

TEST_CASE("policies on LibTorch's tensor keep their laws") {
  using laws::Broken;
  CHECK(laws::check_device<at::Tensor>(tacit::Cpu{}, small::make) == Broken{});
  CHECK(laws::check_device<at::Tensor>(AutoDevice{.choice = "cpu"}, small::make) == Broken{});
  CHECK(laws::check_precision<at::Tensor>(tacit::Fp32{}, tacit::Cpu{}, small::make) == Broken{});
  CHECK(laws::check_precision<at::Tensor>(tacit::Fp64{}, tacit::Cpu{}, small::make) == Broken{});
  CHECK(laws::check_precision<at::Tensor>(tacit::Bf16{}, tacit::Cpu{}, small::make) == Broken{});
  CHECK(laws::check_precision<at::Tensor>(tacit::Fp16{}, tacit::Cpu{}, small::make) == Broken{});
  CHECK(laws::check_precision<at::Tensor>(tacit::Bf16Pure{}, tacit::Cpu{}, small::make) == Broken{});
  for (char const* choice : {"auto", "fp32", "fp64", "bf16", "fp16"}) {
    CAPTURE(choice);
    CHECK(laws::check_precision<at::Tensor>(AutoPrecision{.choice = choice}, tacit::Cpu{}, small::make) == Broken{});
    CHECK(laws::check_precision<at::Tensor>(AutoPrecision{.choice = choice}, AutoDevice{.choice = "cpu"},
                                            small::make) == Broken{});
  }
  CHECK(laws::check_distribution<at::Tensor>(tacit::SingleProcess{}, tacit::Cpu{}, small::make) == Broken{});
}

// --- autocast ---

struct AutocastState {
  bool enabled = at::autocast::is_autocast_enabled(at::kCPU);
  at::ScalarType type = at::autocast::get_autocast_dtype(at::kCPU);
  bool operator==(AutocastState const&) const = default;
};

TEST_CASE("an autocast scope puts back what was there") {
  AutocastState const before;
  REQUIRE_FALSE(before.enabled);
  {
    AutocastScope const outer{at::kCPU, at::kHalf};
    AutocastState const half{true, at::kHalf};
    CHECK(AutocastState{} == half);
    {
      AutocastScope const inner{at::kCPU, at::kBFloat16};
      CHECK(AutocastState{} == AutocastState{true, at::kBFloat16});
    }
    CHECK(AutocastState{} == half);
    auto const step = [] {
      AutocastScope const inner{at::kCPU, at::kBFloat16};
      throw std::runtime_error{"in a step"};
    };
    CHECK_THROWS_AS(step(), std::runtime_error);
    CHECK(AutocastState{} == half);
    AutocastScope const nothing;
    CHECK(AutocastState{} == half);
  }
  CHECK(AutocastState{} == before);
  CHECK(at::autocast::increment_nesting() == 1);  // every level was given back
  at::autocast::decrement_nesting();
}

TEST_CASE("under bf16 a layer computes in bfloat16 and its parameters' gradients are float32") {
  at::Tensor const weight = at::ones({2, 3}).set_requires_grad(true);
  at::Tensor output;
  {
    AutocastScope const scope{at::kCPU, at::kBFloat16};
    output = at::linear(at::ones({1, 3}), weight);
  }
  CHECK(output.scalar_type() == at::kBFloat16);
  output.sum().backward();
  CHECK(weight.grad().scalar_type() == at::kFloat);
  CHECK(weight.scalar_type() == at::kFloat);
}

/// A caller who has autocast on around everything, as one moving from a hand-written loop may: casts then outlive our
/// scope.
class CallersAutocast {
 public:
  CallersAutocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::increment_nesting();
  }
  CallersAutocast(CallersAutocast const&) = delete;
  CallersAutocast& operator=(CallersAutocast const&) = delete;
  ~CallersAutocast() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
};

TEST_CASE("casts made in evaluation do not cost a training step its gradients") {
  at::Tensor const weight = at::ones({2, 3}).set_requires_grad(true);
  at::Tensor const input = at::ones({1, 3});
  CallersAutocast const callers;
  {
    at::NoGradGuard const no_grad;
    AutocastScope const scope{at::kCPU, at::kBFloat16};
    at::linear(input, weight);
  }
  at::Tensor output;
  {
    AutocastScope const scope{at::kCPU, at::kBFloat16};
    output = at::linear(input, weight);
  }
  REQUIRE(output.requires_grad());
  output.sum().backward();
  CHECK(weight.grad().defined());
}

TEST_CASE("casts made by the caller in evaluation do not, either") {
  at::Tensor const weight = at::ones({2, 3}).set_requires_grad(true);
  CallersAutocast const callers;
  {
    at::NoGradGuard const no_grad;
    at::linear(at::ones({1, 3}), weight);
  }
  AutocastScope const scope{at::kCPU, at::kBFloat16};
  CHECK(at::linear(at::ones({1, 3}), weight).requires_grad());
}

TEST_CASE("casts made before an update are not taken after it") {
  at::Tensor const weight = at::ones({1, 1}).set_requires_grad(true);
  at::Tensor const input = at::ones({1, 1});
  CallersAutocast const callers;
  auto const step = [&] {
    AutocastScope const scope{at::kCPU, at::kBFloat16};
    return at::linear(input, weight).item<double>();
  };
  CHECK(step() == 1.0);
  {
    at::NoGradGuard const no_grad;
    weight.mul_(2);
  }
  CHECK(step() == 2.0);
}

// --- training ---

TEST_CASE("bf16 trains float32 parameters, through evaluations in between") {
  small::Trained const plain = small::train();
  small::Trained const mixed = small::train(tacit::Bf16{});
  CHECK(mixed.precision == "bf16");
  for (at::Tensor const& parameter : mixed.parameters()) CHECK(parameter.scalar_type() == at::kFloat);
  for (at::Tensor const& output : mixed.net->outputs) CHECK(output.scalar_type() == at::kBFloat16);
  CHECK(mixed.train_loss < 0.2);
  CHECK(std::abs(mixed.train_loss - plain.train_loss) < 0.05 * plain.train_loss + 1e-3);
  CHECK(small::difference(mixed, plain) < 0.05);
  CHECK(small::difference(mixed, plain) > 0.0);
}

TEST_CASE("bf16 under a caller's own autocast gives the same bits") {
  small::Trained const mixed = small::train(tacit::Bf16{});
  CallersAutocast const callers;
  CHECK(small::same_bits(small::train(tacit::Bf16{}), mixed));
}

TEST_CASE("fp64 takes parameters, buffers and inputs, and leaves integers") {
  small::Trained const plain = small::train();
  small::Trained const wide = small::train(tacit::Fp64{});
  CHECK(wide.precision == "fp64");
  for (at::Tensor const& parameter : wide.parameters()) CHECK(parameter.scalar_type() == at::kDouble);
  for (at::Tensor const& output : wide.net->outputs) CHECK(output.scalar_type() == at::kDouble);
  CHECK(wide.net->scale.scalar_type() == at::kDouble);
  CHECK(wide.net->count.scalar_type() == at::kLong);
  CHECK(wide.net->count.item<double>() == static_cast<double>(wide.net->outputs.size()));
  CHECK(small::difference(wide, plain) < 1e-4);
  CHECK(small::difference(wide, plain) > 0.0);
}

TEST_CASE("what is chosen at run time computes what is named at compile time, to the last bit") {
  CHECK(small::same_bits(small::train(AutoDevice{.choice = "cpu"}), small::train()));
  CHECK(small::same_bits(small::train(AutoPrecision{}), small::train()));
  CHECK(small::same_bits(small::train(AutoPrecision{.choice = "fp32"}), small::train()));
  CHECK(small::same_bits(small::train(AutoPrecision{.choice = "fp64"}), small::train(tacit::Fp64{})));
  CHECK(small::same_bits(small::train(AutoPrecision{.choice = "bf16"}), small::train(tacit::Bf16{})));
  CHECK(small::same_bits(small::train(AutoDevice{.choice = "cpu"}, AutoPrecision{.choice = "bf16"}),
                         small::train(tacit::Bf16{})));
}

TEST_CASE("a text that names nothing is refused when the trainer is made") {
  auto const code = [](auto const& policy) -> std::string {
    try {
      small::train(policy);
    } catch (tacit::ConfigError const& error) {
      return error.code();
    }
    return "no error";
  };
  CHECK(code(AutoDevice{.choice = "gpu"}) == "TACIT-RC75");
  CHECK(code(AutoPrecision{.choice = "half"}) == "TACIT-RC76");
}

TEST_CASE("to_float64") {
  using traits = tacit::tensor_traits<at::Tensor>;
  CHECK(traits::to_float64(at::zeros({2}, at::kBFloat16)).scalar_type() == at::kDouble);
  CHECK(traits::to_float64(at::zeros({2}, at::kComplexFloat)).scalar_type() == at::kComplexDouble);
  CHECK(traits::to_float64(at::zeros({2}, at::kInt)).scalar_type() == at::kInt);
  CHECK(traits::to_float64(at::zeros({2}, at::kBool)).scalar_type() == at::kBool);
  CHECK_FALSE(traits::to_float64(at::Tensor{}).defined());
}

}  // namespace

}  // namespace torch_policies_tests
