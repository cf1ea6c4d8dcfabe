// needs: libtorch
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>

#include "tacit/metric/accuracy.hpp"
#include "tacit/task/aten.hpp"

namespace event = tacit::event;

namespace accuracy_torch_tests {
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

double accuracy(at::Tensor const& prediction, at::Tensor const& target, tacit::metric::Accuracy const& config = {}) {
  tacit::metric::Accuracy::bound<Composition> metric{config};
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

TEST_CASE("F7: one score each is compared with the threshold") {
  at::Tensor const logits = at::tensor({-2.0, 0.5, 0.0, 3.0, -0.1, 2.0});  // 0 1 0 1 0 1: a score on the threshold is 0
  at::Tensor const target = at::tensor({0.0, 1.0, 0.0, 0.0, 1.0, 1.0});
  for (at::Tensor const& scores : {logits, logits.reshape({6, 1})}) {
    for (at::Tensor const& labels : {target, target.reshape({6, 1}), target.to(at::kLong), target.to(at::kBool)}) {
      CHECK(accuracy(scores, labels) == 4.0 / 6.0);
      CHECK(accuracy(scores.sigmoid(), labels, {.threshold = 0.5}) == 4.0 / 6.0);
    }
  }
  CHECK(accuracy(logits.reshape({2, 1, 3, 1}), target.reshape({2, 1, 3, 1})) == 4.0 / 6.0);  // images of one channel
  CHECK(accuracy(logits.reshape({2, 1, 3}), target.reshape({2, 3})) == 4.0 / 6.0);
  CHECK(accuracy(logits, at::tensor({0.0, 1.0, -100.0, -100.0, 1.0, 1.0})) == 3.0 / 4.0);
  try {
    accuracy(logits, at::tensor({0, 1, 2, 0, 1, 1}, at::kLong));
    FAIL("nothing was thrown");
  } catch (tacit::DataError const& error) {
    CHECK(error.code() == "TACIT-RD128");
  }
  CHECK_THROWS_AS(accuracy(logits, at::tensor({-1, 1, -1, 1, -1, 1}, at::kLong)), tacit::DataError);
}

TEST_CASE("F7: ignored labels do not count") {
  CHECK(accuracy(scores(), at::tensor({1, -100, 2, -100}, at::kLong)) == 1.0);
  CHECK(accuracy(scores(), at::tensor({0, -100, 2, -100}, at::kLong)) == 0.5);
  CHECK(accuracy(scores(), at::tensor({1, 9, 2, 9}, at::kLong), {.ignore_index = 9}) == 1.0);
  CHECK(std::isnan(accuracy(scores(), at::full({4}, -100, at::kLong))));
}

TEST_CASE("F7: the classes of an image are in dimension 1, as for the loss") {
  // By hand: the first largest along dimension 1 of [N, C, H, W].
  at::Tensor const image = at::arange(2 * 3 * 3 * 3, at::kDouble).mul(1.7).sin().reshape({2, 3, 3, 3});
  at::Tensor const labels = at::arange(2 * 3 * 3, at::kLong).remainder(3).reshape({2, 3, 3});
  auto const x = image.accessor<double, 4>();
  auto const y = labels.accessor<std::int64_t, 3>();
  double right = 0.0;
  for (int n = 0; n < 2; ++n) {
    for (int h = 0; h < 3; ++h) {
      for (int w = 0; w < 3; ++w) {
        int best = 0;
        for (int c = 1; c < 3; ++c) best = x[n][c][h][w] > x[n][best][h][w] ? c : best;
        right += best == y[n][h][w] ? 1.0 : 0.0;
      }
    }
  }
  CHECK(accuracy(image, labels) == right / 18.0);  // also where C == W
  CHECK(accuracy(image, labels.unsqueeze(1)) == right / 18.0);
  CHECK(accuracy(image.slice(3, 0, 2), labels.slice(2, 0, 2)) == accuracy(image.slice(3, 0, 2).permute({0, 2, 3, 1}), labels.slice(2, 0, 2)));
  CHECK(accuracy(scores()[0], at::tensor(1, at::kLong)) == 1.0);  // one sample
}

TEST_CASE("F7: ties count as the first class") {
  CHECK(accuracy(at::zeros({2, 3}), at::tensor({0, 1}, at::kLong)) == 0.5);
}

TEST_CASE("F7: several labels of a sample: each on its own, or refused") {
  at::Tensor const logits = at::tensor({1.0, -1.0, 2.0, -1.0, 3.0, -2.0}).reshape({2, 3});
  at::Tensor const target = at::tensor({1.0, 0.0, 1.0, 1.0, 1.0, 0.0}).reshape({2, 3});
  CHECK(accuracy(logits, target, {.multi_label = true}) == 5.0 / 6.0);
  CHECK(accuracy(logits, target.to(at::kLong), {.multi_label = true}) == 5.0 / 6.0);
  CHECK(accuracy(logits.sigmoid(), target, {.threshold = 0.5, .multi_label = true}) == 5.0 / 6.0);
  try {
    accuracy(logits, target);
    FAIL("nothing was thrown");
  } catch (tacit::UsageError const& error) {
    CHECK(error.code() == "TACIT-RU30");
    CHECK(std::string{error.what()}.find(".multi_label") != std::string::npos);
  }
  CHECK_THROWS_AS(accuracy(logits, target.to(at::kLong)), tacit::UsageError);
}

}  // namespace accuracy_torch_tests
