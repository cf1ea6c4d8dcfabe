// needs: libtorch
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <tuple>

#include "tacit/metric/accuracy.hpp"
#include "tacit/task/aten.hpp"

namespace event = tacit::event;

namespace {

struct Composition {
  using tensor_type = at::Tensor;
};
struct Output {
  at::Tensor loss;
  at::Tensor prediction;
};
/// As much of a context as the metric asks for.
struct Context {
  Output step;
  std::tuple<at::Tensor, at::Tensor> pair;
  double value = -1.0;

  Output const& output() const { return step; }
  std::tuple<at::Tensor, at::Tensor> const& batch() const { return pair; }
  void record(tacit::tag::accuracy, tacit::basic_mean<at::Tensor> const& mean) { value = mean.read(tacit::LogPoint{tacit::LogPoint::outside_a_run{}}); }
};

double accuracy(at::Tensor const& prediction, at::Tensor const& target) {
  tacit::metric::Accuracy::bound<Composition> metric{tacit::metric::Accuracy{}};
  Context context{{at::zeros({}), prediction}, {prediction, target}};
  metric.on(event::EvalEpochStart{}, context);
  metric.on(event::EvalStepEnd{}, context);
  metric.on(event::EvalStepEnd{}, context);
  metric.on(event::EvalEpochEnd{}, context);
  return context.value;
}

at::Tensor scores() { return at::tensor({0.1, 0.7, 0.2, 0.9, 0.0, 0.1, 0.2, 0.3, 0.5, 0.4, 0.3, 0.3}).reshape({4, 3}); }  // 1, 0, 2, 0

}  // namespace

TEST_CASE("accuracy of LibTorch's tensors") {
  CHECK(accuracy(scores(), at::tensor({1, 0, 2, 0}, at::kLong)) == 1.0);
  CHECK(accuracy(scores(), at::tensor({1, 1, 2, 1}, at::kLong)) == 0.5);
  CHECK(accuracy(scores().to(at::kFloat), at::tensor({1, 1, 2, 1}, at::kInt)) == 0.5);
}

TEST_CASE("a target of one column is no matrix of comparisons") {
  CHECK(accuracy(scores(), at::tensor({1, 1, 2, 1}, at::kLong).reshape({4, 1})) == 0.5);
}

TEST_CASE("probabilities and sequences") {
  CHECK(accuracy(scores(), at::tensor({0.0, 1.0, 0.0, 0.4, 0.6, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0}).reshape({4, 3})) == 0.5);
  CHECK(accuracy(scores().reshape({2, 2, 3}), at::tensor({1, 1, 2, 1}, at::kLong).reshape({2, 2})) == 0.5);
}

TEST_CASE("shapes that fit in no way are an error") {
  CHECK_THROWS_AS(accuracy(scores(), at::tensor({1, 1, 2}, at::kLong)), tacit::DataError);
}
