// needs: libtorch
#include "tacit/task/aten.hpp"
#include "tacit/task/weight_average.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <catch2/catch_test_macros.hpp>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace aten_tests {
namespace {

using traits = tacit::tensor_traits<at::Tensor>;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

static_assert(tacit::tensor<at::Tensor>);

bool is_scalar(at::Tensor const& t, at::ScalarType type, double value) {
  return t.dim() == 0 && t.scalar_type() == type && !t.requires_grad() && traits::read(t) == value;
}

TEST_CASE("sizes and where a tensor is") {
  CHECK_FALSE(traits::defined(at::Tensor{}));
  CHECK(traits::defined(at::ones({2})));
  CHECK(traits::size0(at::ones({3, 4})) == 3);
  CHECK(traits::size0(at::ones({})) == 1);
  CHECK(traits::numel(at::ones({3, 4})) == 12);
  CHECK(traits::host_readable(at::ones({2})));
  CHECK_FALSE(traits::host_readable(at::Tensor{}));
}

TEST_CASE("read gives a scalar of any type") {
  for (at::ScalarType const type :
       {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kByte}) {
    CHECK(traits::read(at::full({}, 3, type)) == 3.0);
    CHECK(traits::read(at::full({1, 1}, 3, type)) == 3.0);
  }
  CHECK(traits::read(at::full({}, true, at::kBool)) == 1.0);
  CHECK(traits::read(at::full({}, false, at::kBool)) == 0.0);
  CHECK(std::isnan(traits::read(at::full({}, not_a_number))));
  CHECK(traits::read(at::arange(6).reshape({2, 3}).t()[1][1]) == 4.0);
  CHECK(traits::read(at::full({}, -2, at::kLong)) == -2.0);
  CHECK_THROWS_AS(traits::read(at::ones({2})), c10::Error);
}

TEST_CASE("read resolves what LibTorch holds lazily") {
  at::Tensor const z = at::view_as_complex(at::tensor({1.0, 2.0}, at::kDouble));
  at::Tensor const negative = at::imag(z.conj());
  REQUIRE(negative.is_neg());
  CHECK(traits::read(negative) == -2.0);
}

TEST_CASE("sum is new, detached and wide enough") {
  CHECK(is_scalar(traits::sum(at::arange(5)), at::kLong, 10.0));
  CHECK(is_scalar(traits::sum(at::full({7}, true, at::kBool)), at::kLong, 7.0));
  CHECK(is_scalar(traits::sum(at::full({10, 20000}, 1.0, at::kHalf)), at::kFloat, 200000.0));
  at::Tensor const x = at::ones({}, at::kFloat).requires_grad_();
  at::Tensor total = traits::sum(x);
  CHECK(is_scalar(total, at::kFloat, 1.0));
  traits::no_grad const guard;
  total.add_(1);
  CHECK(traits::read(x) == 1.0);
}

TEST_CASE("scalars made in inference mode can be updated outside") {
  at::Tensor total;
  at::Tensor flag;
  {
    c10::InferenceMode const guard;
    total = traits::scalar_like(1.5, at::ones({2}));
    flag = traits::flag_like(1.0, at::ones({2}));
  }
  CHECK(is_scalar(total, at::kDouble, 1.5));
  CHECK(is_scalar(flag, at::kFloat, 1.0));
  CHECK_FALSE(total.is_inference());
  CHECK_FALSE(flag.is_inference());
}

TEST_CASE("add_ takes every type and stays outside the graph") {
  at::Tensor total = traits::scalar_like(1.0, at::ones({}));
  traits::add_(total, at::full({}, 2.0, at::kFloat).requires_grad_(), 0.5);
  traits::add_(total, at::full({1}, 3, at::kLong), 2.0);
  traits::add_(total, at::full({1, 1}, true, at::kBool), 1.0);
  traits::add_(total, at::full({}, 2.0, at::kHalf), 1.0);
  traits::add_(total, at::full({}, 2.0, at::kDouble), -1.0);
  CHECK(is_scalar(total, at::kDouble, 9.0));

  at::Tensor narrow = at::zeros({}, at::kFloat);
  traits::add_(narrow, at::full({1}, 3.0, at::kDouble).requires_grad_(), 0.5);
  CHECK(is_scalar(narrow, at::kFloat, 1.5));
}

TEST_CASE("max_ keeps the larger and what is no number") {
  for (at::ScalarType const type : {at::kFloat, at::kDouble}) {
    at::Tensor t = at::zeros({}, type);
    traits::max_(t, at::full({}, 1.0, at::kFloat));
    traits::max_(t, at::full({1}, 0.5, at::kFloat).requires_grad_());
    CHECK(is_scalar(t, type, 1.0));
    traits::max_(t, at::full({}, not_a_number, at::kFloat));
    CHECK(std::isnan(traits::read(t)));
    traits::max_(t, at::full({}, 7.0, at::kFloat));
    CHECK(std::isnan(traits::read(t)));
  }
}

TEST_CASE("non_finite finds NaN and infinities alone") {
  for (double const bad : {not_a_number, infinity, -infinity}) {
    for (at::ScalarType const type : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
      CHECK(is_scalar(traits::non_finite(at::full({}, bad, type)), at::kFloat, 1.0));
      at::Tensor many = at::ones({3, 5}, type);
      CHECK(is_scalar(traits::non_finite(many.requires_grad_()), at::kFloat, 0.0));
      traits::no_grad const guard;
      many[2][4] = bad;
      CHECK(is_scalar(traits::non_finite(many), at::kFloat, 1.0));
    }
  }
  CHECK(is_scalar(traits::non_finite(at::full({4}, 3e38, at::kFloat)), at::kFloat, 0.0));
  CHECK(is_scalar(traits::non_finite(at::full({1}, 2.0).requires_grad_()), at::kFloat, 0.0));
  CHECK(is_scalar(traits::non_finite(at::arange(4)), at::kFloat, 0.0));
  CHECK(is_scalar(traits::non_finite(at::ones({0})), at::kFloat, 0.0));
  at::Tensor const z = at::view_as_complex(at::tensor({1.0, 2.0, infinity, 0.0}, at::kDouble).reshape({2, 2}));
  CHECK(is_scalar(traits::non_finite(z), at::kFloat, 1.0));
  CHECK(is_scalar(traits::non_finite(z[0]), at::kFloat, 0.0));
  CHECK(is_scalar(traits::non_finite(z[1]), at::kFloat, 1.0));
}

TEST_CASE("backward scales by its factor, gradients come and go") {
  at::Tensor x = at::full({3}, 2.0).requires_grad_();
  CHECK_FALSE(traits::grad(x).defined());
  traits::backward(x.mul(x).sum(), 1.0);
  CHECK(traits::grad(x).equal(at::full({3}, 4.0)));
  traits::backward(x.mul(x).sum(), 0.25);
  CHECK(traits::grad(x).equal(at::full({3}, 5.0)));
  CHECK_FALSE(traits::grad(x).requires_grad());
  traits::clear_grad(x);
  CHECK_FALSE(traits::grad(x).defined());
  traits::backward(x.mul(x).sum().reshape({1}), 2.0);
  CHECK(traits::grad(x).equal(at::full({3}, 8.0)));
  traits::set_requires_grad(x, false);
  CHECK_FALSE(traits::requires_grad(x));
  traits::set_requires_grad(x, true);
  CHECK(traits::requires_grad(x));
}

TEST_CASE("a tensor keeps its identity when it takes other data") {
  at::Tensor x = at::ones({3}).requires_grad_();
  at::Tensor const alias = x;
  traits::set_data(x, at::full({2}, 5.0, at::kDouble));
  CHECK(traits::same(x, alias));
  CHECK_FALSE(traits::same(x, at::full({2}, 5.0, at::kDouble)));
  CHECK(alias.equal(at::full({2}, 5.0, at::kDouble)));
  CHECK(x.requires_grad());
  x.mul(x).sum().backward();
  CHECK(traits::grad(x).scalar_type() == at::kDouble);
}

TEST_CASE("visit_bytes gives the elements in row-major order") {
  auto const bytes_of = [](at::Tensor const& t) {
    std::string bytes;
    traits::visit_bytes(t, [&](char const* data, std::size_t size) { bytes.append(data, size); });
    return bytes;
  };
  at::Tensor const x = at::arange(6, at::kDouble).reshape({3, 2}).requires_grad_();
  std::string const wanted = bytes_of(at::tensor({0.0, 2.0, 4.0, 1.0, 3.0, 5.0}, at::kDouble));
  CHECK(wanted.size() == 48);
  CHECK(bytes_of(x.t()) == wanted);
  CHECK(bytes_of(x) != wanted);
  CHECK(bytes_of(at::ones({0})).empty());
  at::Tensor const z = at::view_as_complex(at::tensor({1.0, 2.0}, at::kDouble));
  CHECK(bytes_of(at::imag(z.conj())) == bytes_of(at::tensor({-2.0}, at::kDouble)));
}

TEST_CASE("no_grad is scoped") {
  at::Tensor const x = at::ones({2}).requires_grad_();
  {
    traits::no_grad const guard;
    CHECK_FALSE(x.mul(2).requires_grad());
  }
  CHECK(x.mul(2).requires_grad());
}

TEST_CASE("scale_ scales all, by a number or by a tensor") {
  std::vector<at::Tensor> none;
  traits::scale_(none, 2.0);
  traits::scale_(none, at::ones({}));
  std::vector<at::Tensor> list{at::ones({2, 3}), at::ones({4}, at::kDouble),
                               at::ones({}, at::kBFloat16).requires_grad_()};
  traits::scale_(list, 2.0);
  traits::scale_(list, traits::scalar_like(3.0, list[0]));
  traits::scale_(list, at::full({1}, 0.5, at::kFloat));
  CHECK(list[0].equal(at::full({2, 3}, 3.0)));
  CHECK(list[1].equal(at::full({4}, 3.0, at::kDouble)));
  CHECK(is_scalar(list[2].detach(), at::kBFloat16, 3.0));
}

TEST_CASE("clip_norm_ gives the norm before and scales only what is too long") {
  std::vector<at::Tensor> none;
  CHECK(is_scalar(traits::clip_norm_(none, 1.0), at::kFloat, 0.0));

  std::vector<at::Tensor> list{at::full({1}, 3.0), at::full({1, 1}, 4.0)};
  CHECK(is_scalar(traits::clip_norm_(list, 6.0), at::kFloat, 5.0));
  CHECK(traits::read(list[0]) == 3.0);
  CHECK(is_scalar(traits::clip_norm_(list, 1.0), at::kFloat, 5.0));
  CHECK(std::abs(traits::read(list[0]) - 0.6) < 1e-6);
  CHECK(std::abs(traits::read(list[1]) - 0.8) < 1e-6);
}

TEST_CASE("clip_norm_ rounds on the host as it does on a device") {
  for (at::ScalarType const type : {at::kFloat, at::kDouble}) {
    for (int i = 1; i < 200; ++i) {
      at::Tensor const x = at::arange(7, type).add(0.37 * i).div(1.3);
      double const max = 0.731 * i / 7.0;
      std::vector<at::Tensor> list{x.clone()};
      at::Tensor const norm = traits::clip_norm_(list, max);
      at::Tensor const factor = norm.add(1e-6).reciprocal_().mul_(max).clamp_max_(1.0);
      REQUIRE(list[0].equal(x.mul(factor)));
    }
  }
}

TEST_CASE(
    "clip_norm_ divides by an infinite norm as torch does, leaves all as it is where the norm is NaN, and mixes "
    "types") {
  std::vector<at::Tensor> bad{at::full({2}, infinity), at::ones({1})};
  CHECK(traits::read(traits::clip_norm_(bad, 1.0)) == infinity);
  CHECK(std::isnan(traits::read(bad[0][0])));
  CHECK(traits::read(bad[1]) == 0.0);
  std::vector<at::Tensor> nan{at::full({1}, not_a_number), at::ones({1})};
  CHECK(std::isnan(traits::read(traits::clip_norm_(nan, 1.0))));
  CHECK(std::isnan(traits::read(nan[0])));
  CHECK(traits::read(nan[1]) == 1.0);

  std::vector<at::Tensor> half{at::full({1}, 60000.0, at::kHalf), at::full({1}, 60000.0, at::kHalf)};
  CHECK(std::abs(traits::read(traits::clip_norm_(half, 1.0)) / 84852.8 - 1.0) < 1e-4);
  CHECK(half[0].scalar_type() == at::kHalf);
  std::vector<at::Tensor> mixed{at::full({1}, 3.0, at::kBFloat16), at::full({1}, 4.0, at::kDouble)};
  CHECK(is_scalar(traits::clip_norm_(mixed, 1.0), at::kDouble, 5.0));
  CHECK(std::abs(traits::read(mixed[1]) - 0.8) < 1e-6);
}

TEST_CASE("an average moves floating tensors, copies others, and swaps with the model without a copy") {
  struct Net : torch::nn::Module {
    at::Tensor weight{register_parameter("weight", at::ones({2}))};
    at::Tensor tied{register_parameter("tied", weight)};
    at::Tensor mean{register_buffer("mean", at::zeros({1}, at::kDouble))};
    at::Tensor count{register_buffer("count", at::zeros({1}, at::kLong))};
  } net;
  tacit::WeightAverage average{net};
  {
    at::NoGradGuard const guard;
    net.weight.fill_(3.0);
    net.mean.fill_(8.0);
    net.count.fill_(7);
  }
  void const* const own = net.weight.const_data_ptr();
  average.update(0.25);
  {
    auto const averaged = average.swap();
    CHECK(net.weight.equal(at::full({2}, 1.5)));
    CHECK(net.mean.equal(at::full({1}, 2.0, at::kDouble)));
    CHECK(net.count.item<std::int64_t>() == 7);
    CHECK(net.weight.requires_grad());
  }
  CHECK(net.weight.const_data_ptr() == own);
  CHECK(net.weight.equal(at::full({2}, 3.0)));

  // A mask that nobody reads on the host, beside weights that it is for.
  std::vector<at::Tensor> to{at::ones({2}), at::ones({1}, at::kDouble)};
  std::vector<at::Tensor> const from{at::full({2}, not_a_number), at::full({1}, infinity, at::kDouble)};
  traits::masked_lerp_(to, from, 0.5, at::ones({}));
  CHECK(to[0].equal(at::ones({2})));
  CHECK(to[1].equal(at::ones({1}, at::kDouble)));
  std::vector<at::Tensor> const good{at::full({2}, 2.0), at::full({1}, 2.0, at::kDouble)};
  traits::masked_lerp_(to, good, 0.5, at::zeros({}));
  CHECK(to[0].equal(at::full({2}, 1.5)));
  CHECK(to[1].equal(at::full({1}, 1.5, at::kDouble)));

  torch::nn::Linear half{2, 2};
  half->to(at::kBFloat16);
  try {
    tacit::WeightAverage wrong{*half};
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC56");
  }
}

TEST_CASE("clip_value_ clamps every element") {
  std::vector<at::Tensor> list{at::arange(-2, 3, at::kFloat), at::full({1}, 0.25, at::kDouble)};
  traits::clip_value_(list, 1.0);
  CHECK(list[0].equal(at::tensor({-1.0F, -1.0F, 0.0F, 1.0F, 1.0F})));
  CHECK(list[1].item<double>() == 0.25);
}

}  // namespace

}  // namespace aten_tests
