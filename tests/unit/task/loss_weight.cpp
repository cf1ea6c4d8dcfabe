// needs: libtorch
#include <ATen/ops/arange.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/loss.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/policy/precision/grad_scaler.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/loss/cross_entropy.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/sync_batch_norm.hpp"
#include "tacit/train/trainer.hpp"

// What losses weigh by, and what stays finite: faults F6, F5, C18, C6 and F28 with LibTorch.

namespace loss_weight_tests {
namespace {

namespace tag = tacit::tag;
using tacit::loss::CrossEntropy;
using traits = tacit::tensor_traits<at::Tensor>;

double number(at::Tensor const& t) { return traits::read(t); }

at::Tensor logits() { return at::arange(12, at::kDouble).reshape({4, 3}).mul(0.7).sin().requires_grad_(); }
at::Tensor labels() { return at::tensor({2, -100, 1, 0}, at::kLong); }
at::Tensor class_weights() { return at::tensor({1.0, 2.0, 0.5}); }

/// sum and divisor of PyTorch's formula, label by label.
struct ByHand {
  double sum = 0.0;
  double divisor = 0.0;
};
ByHand by_hand(at::Tensor const& prediction, at::Tensor const& target, double smoothing, at::Tensor const& weights) {
  at::Tensor const log_p = prediction.detach().log_softmax(1);
  ByHand result;
  for (std::int64_t i = 0; i < target.size(0); ++i) {
    auto const label = static_cast<std::int64_t>(number(target[i]));
    if (label == -100) continue;
    double const weight = number(weights[label]);
    result.divisor += weight;
    result.sum -= (1.0 - smoothing) * weight * number(log_p[i][label]);
    for (std::int64_t c = 0; c < 3; ++c) result.sum -= smoothing / 3.0 * number(weights[c]) * number(log_p[i][c]);
  }
  return result;
}

template <class Error, class Work>
std::string code_of(Work const& work) {
  try {
    work();
  } catch (Error const& error) {
    return error.code();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("F6: cross entropy is the sum over the divisor that it states") {
  double const smoothing = GENERATE(0.0, 0.2);
  bool const is_weighted = GENERATE(false, true);
  CAPTURE(smoothing, is_weighted);
  CrossEntropy const loss{.label_smoothing = smoothing, .class_weights = is_weighted ? class_weights() : at::Tensor{}};
  ByHand const wanted = by_hand(logits(), labels(), smoothing, is_weighted ? class_weights() : at::ones({3}, at::kDouble));
  CHECK(std::abs(number(loss.weight(logits(), labels())) - wanted.divisor) < 1e-14);
  CHECK(std::abs(number(loss(logits(), labels())) - wanted.sum / wanted.divisor) < 1e-14);
  loss.check(logits(), labels());
  // The way of devices, whose labels nobody reads.
  CHECK(std::abs(number(tacit::detail::counted_labels(labels(), -100, loss.class_weights)) - wanted.divisor) < 1e-14);
}

TEST_CASE("F6: of no label the loss, its gradient and its weight are 0") {
  CrossEntropy const loss{.label_smoothing = GENERATE(0.0, 0.2), .class_weights = GENERATE(at::Tensor{}, class_weights())};
  at::Tensor x = logits();
  at::Tensor const none = at::full({4}, -100, at::kLong);
  at::Tensor const value = loss(x, none);
  CHECK(number(value) == 0.0);
  CHECK(number(loss.weight(x, none)) == 0.0);
  value.backward();
  CHECK(number(x.grad().abs().max()) == 0.0);
  CHECK(number(loss.weight(logits(), at::zeros({0}, at::kLong))) == 0.0);
}

TEST_CASE("F6: images, bytes, probabilities and strided labels are counted") {
  CHECK(number(CrossEntropy{}.weight(at::zeros({2, 3, 2, 2}), at::zeros({2, 2, 2}, at::kLong))) == 8.0);
  CHECK(number(CrossEntropy{}.weight(at::zeros({4, 3}), at::tensor({0, 1, 2, 0}, at::kByte))) == 4.0);
  CHECK(number(CrossEntropy{.ignore_index = 0}.weight(at::zeros({4, 3}), at::tensor({0, 1, 2, 0}, at::kByte))) == 2.0);
  CHECK(number(CrossEntropy{}.weight(at::zeros({4, 3}), at::zeros({4, 3}))) == 4.0);
  CHECK(number(CrossEntropy{}.weight(at::zeros({2, 3, 5}), at::zeros({2, 3, 5}))) == 10.0);
  CHECK(number(CrossEntropy{}.weight(at::zeros({3}), at::tensor(1, at::kLong))) == 1.0);
  at::Tensor const all = at::tensor({0, -100, 1, -100, 2, -100}, at::kLong).reshape({3, 2});
  CHECK(number(CrossEntropy{}.weight(at::zeros({3, 3}), all.select(1, 0))) == 3.0);
  CHECK(number(CrossEntropy{}.weight(at::zeros({3, 3}), all.select(1, 1))) == 0.0);
}

TEST_CASE("F6: class weights that do not fit are refused") {
  for (at::Tensor const& bad : {at::ones({2}, at::kDouble), at::ones({3}, at::kLong), at::tensor({1.0, -1.0, 1.0}),
                                at::tensor({1.0, std::numeric_limits<double>::quiet_NaN(), 1.0})}) {
    CHECK(code_of<tacit::ConfigError>([&] { CrossEntropy{.class_weights = bad}.check(logits(), labels()); }) == "TACIT-RC115");
  }
}

TEST_CASE("F6: labels that are ignored count neither in the update nor in the losses, however the data are divided") {
  at::Tensor const x = at::arange(40, at::kDouble).mul(0.9).sin().reshape({8, 5}).to(at::kFloat);
  at::Tensor const y = at::tensor({0, -100, -100, -100, 1, 2, 0, 1}, at::kLong);
  struct Outcome {
    double train_loss, eval_loss;
    at::Tensor weight;
  };
  auto outcome = [&](auto loss, std::int64_t batch, std::int64_t accumulation) {
    torch::nn::Linear net(5, 3);
    {
      at::NoGradGuard const guard;
      net->weight.copy_(at::arange(15, at::kFloat).mul(0.3).cos().reshape({3, 5}));
      net->bias.zero_();
    }
    tacit::Trainer one{net, loss, tacit::optim::Sgd{.lr = 1.0}, tacit::CallbackPack{}};
    auto batches = tacit::data::loader(tacit::data::TensorDataset{x, y}, {.batch_size = batch});
    auto const result = one.train(batches, {.epochs = 1, .gradient_accumulation = accumulation, .sink = tacit::Sink::none()});
    double const trained = result[tag::train_loss{}];
    return Outcome{trained, one.evaluate(batches, {.sink = tacit::Sink::none()})[tag::eval_loss{}], net->weight.detach().clone()};
  };
  auto check = [&](auto loss) {
    Outcome const whole = outcome(loss, 8, 1);
    for (auto [batch, accumulation] : {std::pair{4, 2}, {2, 4}, {3, 3}}) {
      Outcome const parts = outcome(loss, batch, accumulation);
      CHECK(std::abs(parts.train_loss - whole.train_loss) < 1e-6);
      CHECK(std::abs(parts.eval_loss - whole.eval_loss) < 1e-6);
      CHECK(parts.weight.allclose(whole.weight, 1e-5, 1e-6));
    }
  };
  check(CrossEntropy{});
  check(CrossEntropy{.label_smoothing = 0.1, .class_weights = class_weights().to(at::kFloat)});
  check(torch::nn::CrossEntropyLoss{});
  check(torch::nn::CrossEntropyLoss{torch::nn::CrossEntropyLossOptions().weight(class_weights().to(at::kFloat)).ignore_index(-100)});
}

TEST_CASE("F28: Mse names unequal types") {
  at::Tensor const prediction = at::zeros({4, 1});
  for (at::ScalarType const type : {at::kLong, at::kDouble, at::kBool}) {
    CHECK(code_of<tacit::DataError>([&] { tacit::loss::Mse{}(prediction, at::zeros({4, 1}, type)); }) == "TACIT-RD127");
  }
  CHECK(number(tacit::loss::Mse{}(prediction, at::ones({4, 1}))) == 1.0);
}

TEST_CASE("F5: the first gradient that is not finite, whatever the type") {
  double const value = GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity());
  at::ScalarType const type = GENERATE(at::kFloat, at::kDouble, at::kHalf, at::kBFloat16);
  std::vector<at::Tensor> list{at::ones({3, 4}).to(type), at::full({2}, 1e4).to(type), at::ones({}).to(type), at::zeros({0}).to(type)};
  CHECK(number(traits::first_non_finite(list)) == 0.0);
  list[2].fill_(value);
  CHECK(number(traits::first_non_finite(list)) == 3.0);
  list[1][1].fill_(value);
  CHECK(number(traits::first_non_finite(list)) == 2.0);
  std::vector<at::Tensor> const large{at::full({4}, 3e38)};  // a sum of squares overflows
  CHECK(number(traits::first_non_finite(large)) == 0.0);
}

TEST_CASE("F5: a norm that is NaN spreads to no other gradient") {
  std::vector<at::Tensor> list{at::full({2}, 3.0), at::full({1}, std::numeric_limits<double>::quiet_NaN())};
  CHECK(std::isnan(number(traits::clip_norm_(list, 1.0))));
  CHECK(number(list[0].sum()) == 6.0);
}

TEST_CASE("C7: a weight of 0 makes 0 of any value") {
  at::Tensor const bad = at::full({}, std::numeric_limits<double>::quiet_NaN(), at::kFloat);
  CHECK(number(traits::weighted(bad, at::zeros({1}, at::kLong))) == 0.0);
  CHECK(number(traits::weighted(at::full({1}, 2.5, at::kHalf), at::full({}, 3, at::kLong))) == 7.5);
}

TEST_CASE("C18: masks stay where they are while other gradients are unscaled") {
  torch::nn::Linear a(2, 2), b(2, 2);
  auto pa = tacit::parameters_of(*a), pb = tacit::parameters_of(*b);
  std::vector<tacit::ParameterSet> more;
  for (int i = 0; i < 20; ++i) more.push_back(tacit::parameters_of(*b));
  tacit::GradScaler scaler;
  scaler.backward(b->forward(a->forward(at::ones({1, 2}))).mean());
  at::Tensor const& mask = scaler.unscale(pa);
  at::TensorImpl const* const at_first = mask.unsafeGetTensorImpl();
  at::Tensor const* const place = &mask;
  for (auto& parameters : more) scaler.unscale(parameters);
  CHECK(place->unsafeGetTensorImpl() == at_first);
  CHECK(number(mask) == 0.0);
  scaler.update();
}

TEST_CASE("C18: a call of unscale that throws leaves nothing behind") {
  tacit::GradScaler scaler{{.initial = 4.0}};
  at::Tensor good = at::ones({2}).requires_grad_(), half = at::ones({2}, at::kHalf).requires_grad_();
  good.mutable_grad() = at::full({2}, 8.0);
  half.mutable_grad() = at::full({2}, 8.0, at::kHalf);
  std::vector<at::Tensor> both{good, half}, one{good};
  CHECK(code_of<tacit::ConfigError>([&] { scaler.unscale(both); }) == "TACIT-RC05");
  CHECK(number(good.grad().sum()) == 16.0);
  scaler.unscale(one);
  CHECK(number(good.grad().sum()) == 4.0);  // unscaled once
  CHECK(code_of<tacit::ConfigError>([&] { scaler.unscale(both); }) == "TACIT-RC05");  // not RU21
  scaler.update();
}

TEST_CASE("F5: a loss scale that cannot recover ends with words") {
  tacit::GradScaler scaler{{.initial = 4.0, .lowest = 1.0}};
  at::Tensor x = at::ones({2}).requires_grad_();
  std::vector<at::Tensor> parameters{x};
  auto update = [&] {
    x.mutable_grad() = at::full({2}, std::numeric_limits<double>::quiet_NaN());
    scaler.unscale(parameters);
    scaler.update();
  };
  update();
  update();  // 1: still allowed
  CHECK(code_of<tacit::ConfigError>(update) == "TACIT-RC114");
  CHECK(code_of<tacit::ConfigError>([] { tacit::GradScaler{{.initial = 1.0, .lowest = 2.0}}; }) == "TACIT-RC04");
}

TEST_CASE("C6: SyncBatchNorm alone is LibTorch's batch norm, with a mean far from 0, in each type") {
  struct Case {
    at::ScalarType type;
    double mean, deviation, tolerance;
  };
  Case const one = GENERATE(Case{at::kHalf, 300.0, 30.0, 2e-3}, Case{at::kBFloat16, 3.0, 0.3, 1.6e-2}, Case{at::kFloat, 3e4, 1.0, 2e-2}, Case{at::kDouble, 1e8, 1.0, 1e-6},
                            Case{at::kHalf, 0.0, 100.0, 2e-3});
  CAPTURE(one.type, one.mean);
  at::Tensor const x = (at::arange(512, at::kDouble).mul(1.37).sin().reshape({256, 2}) * one.deviation * std::sqrt(2.0) + one.mean).to(one.type).requires_grad_();
  at::Tensor const same = x.detach().to(at::kDouble).requires_grad_();
  at::Tensor const slope = at::arange(512, at::kDouble).mul(0.61).cos().reshape({256, 2});
  tacit::SyncBatchNorm norm(2);
  if (one.type == at::kDouble) norm->to(at::kDouble);
  at::Tensor mean = at::zeros({2}, at::kDouble), variance = at::ones({2}, at::kDouble);
  at::Tensor const wanted = at::batch_norm(same, {}, {}, mean, variance, true, 0.1, 1e-5, false);
  at::Tensor const y = norm->forward(x);
  CHECK(y.scalar_type() == one.type);
  CHECK(number((y.to(at::kDouble) - wanted).abs().max()) < one.tolerance);
  CHECK(norm->running_mean.to(at::kDouble).allclose(mean, 1e-6));
  CHECK(norm->running_var.to(at::kDouble).allclose(variance, one.type == at::kFloat ? 1e-4 : 1e-5));
  (wanted * slope).sum().backward();
  (y.to(at::kDouble) * slope).sum().backward();
  double const largest = number(same.grad().abs().max());
  CHECK(number((x.grad().to(at::kDouble) - same.grad()).abs().max()) < one.tolerance * largest);
}

TEST_CASE("C6: ranks join their statistics as one batch") {
  at::Tensor const x = (at::arange(512, at::kDouble).mul(1.37).sin().reshape({256, 2}) + 3e3).to(at::kFloat);
  at::Tensor const first = x.slice(0, 0, 100), second = x.slice(0, 100);
  tacit::SyncBatchNorm whole(2), part(2);
  at::Tensor const wanted = whole->forward(x).slice(0, 0, 100);
  // The sums of the other rank, made by a norm that sees its rows.
  at::Tensor others;
  tacit::SyncBatchNorm other(2);
  other->join([&](at::Tensor& numbers) { return others = numbers.clone(), tacit::GroupMember::Summed::all; }, 2);
  other->forward(second);
  part->join([&](at::Tensor& numbers) { return numbers.add_(others), tacit::GroupMember::Summed::all; }, 2);
  at::Tensor const y = part->forward(first);
  CHECK(number((y - wanted).abs().max()) < 1e-4);
  CHECK(part->running_var.allclose(whole->running_var, 1e-6));
  CHECK(part->running_mean.allclose(whole->running_mean));
}

TEST_CASE("F28: a batch of one value for each channel has no variance") {
  tacit::SyncBatchNorm norm(3);
  CHECK(code_of<tacit::DataError>([&] { norm->forward(at::ones({1, 3})); }) == "TACIT-RD129");
  norm->eval();
  CHECK(norm->forward(at::ones({1, 3})).size(0) == 1);
}

}  // namespace loss_weight_tests
