// needs: libtorch
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "tacit/task/aten.hpp"
#include "tacit/task/loss/cross_entropy.hpp"
#include "tacit/task/loss/mse.hpp"

namespace loss_tests {
namespace {

using Catch::Matchers::ContainsSubstring;
using tacit::loss::CrossEntropy;
using tacit::loss::Mse;
using traits = tacit::tensor_traits<at::Tensor>;

/// Logits [4, 3] with a gradient.
at::Tensor logits() { return at::arange(12, at::kDouble).reshape({4, 3}).mul(0.7).sin().requires_grad_(); }

at::Tensor labels() { return at::tensor({2, 0, 1, 1}, at::kLong); }

double by_hand(at::Tensor const& prediction, at::Tensor const& target) {
  at::Tensor const log_p = at::log_softmax(prediction.detach(), 1);
  return -traits::read(log_p.gather(1, target.unsqueeze(1)).mean());
}

template <class Error, class Function>
std::string message_of(Function function, std::string const& code) {
  try {
    function();
  } catch (Error const& error) {
    CHECK(error.code() == code);
    CHECK_FALSE(error.fix().empty());
    return error.what();
  }
  FAIL("nothing was thrown, wanted: " << code);
  return {};
}

TEST_CASE("cross entropy is the mean over samples and has a gradient") {
  at::Tensor x = logits();
  at::Tensor const loss = CrossEntropy{}(x, labels());
  CHECK(loss.dim() == 0);
  CHECK(std::abs(traits::read(loss) - by_hand(x, labels())) < 1e-15);
  loss.backward();
  at::Tensor const wanted =
      at::softmax(x.detach(), 1).scatter_add(1, labels().unsqueeze(1), at::full({4, 1}, -1.0, at::kDouble));
  CHECK(traits::grad(x).allclose(wanted.div(4.0), 1e-12));
  CrossEntropy{}.check(x, labels());
}

TEST_CASE("cross entropy leaves ignored labels out of sum and count") {
  at::Tensor const target = at::tensor({2, -100, 1, -100}, at::kLong);
  at::Tensor const kept = at::tensor({0, 2}, at::kLong);
  double const wanted = by_hand(logits().index_select(0, kept), target.index_select(0, kept));
  CHECK(std::abs(traits::read(CrossEntropy{}(logits(), target)) - wanted) < 1e-15);
  CrossEntropy{}.check(logits(), target);
  at::Tensor const other = at::tensor({2, 9, 1, 9}, at::kLong);
  CHECK(std::abs(traits::read(CrossEntropy{.ignore_index = 9}(logits(), other)) - wanted) < 1e-15);
  CrossEntropy{.ignore_index = 9}.check(logits(), other);
}

TEST_CASE("cross entropy smooths labels") {
  at::Tensor const log_p = at::log_softmax(logits().detach(), 1);
  double const wanted = 0.8 * by_hand(logits(), labels()) - 0.2 * traits::read(log_p.mean());
  CHECK(std::abs(traits::read(CrossEntropy{.label_smoothing = 0.2}(logits(), labels())) - wanted) < 1e-14);
}

TEST_CASE("cross entropy takes probabilities, several dimensions, bytes, one sample") {
  at::Tensor const p = at::softmax(logits().detach().cos(), 1);
  double const soft = -traits::read(p.mul(at::log_softmax(logits().detach(), 1)).sum()) / 4.0;
  CHECK(std::abs(traits::read(CrossEntropy{}(logits(), p)) - soft) < 1e-15);
  CrossEntropy{}.check(logits(), p);

  at::Tensor const image = logits().reshape({2, 3, 2});
  CrossEntropy{}.check(image, labels().reshape({2, 2}));
  CHECK(std::isfinite(traits::read(CrossEntropy{}(image, labels().reshape({2, 2})))));

  CrossEntropy{}.check(logits(), labels().to(at::kByte));
  CHECK(std::abs(traits::read(CrossEntropy{}(logits(), labels().to(at::kByte))) - by_hand(logits(), labels())) < 1e-15);

  CrossEntropy{}.check(logits()[0], labels()[0]);
  CHECK(std::isfinite(traits::read(CrossEntropy{}(logits()[0], labels()[0]))));
  CrossEntropy{}.check(logits().slice(0, 0, 0), labels().slice(0, 0, 0));
}

TEST_CASE("check names a bad label, its row and the classes") {
  auto const check = [](at::Tensor const& target) {
    return message_of<tacit::DataError>([&] { CrossEntropy{}.check(logits(), target); }, "TACIT-RD46");
  };
  std::string const large = check(at::tensor({2, 0, 12, 1}, at::kLong));
  CHECK_THAT(large, ContainsSubstring("label 12 in row 2 of a batch of 4, for 3 classes"));
  CHECK_THAT(large, ContainsSubstring("from 0 to 2"));
  CHECK_THAT(check(at::tensor({2, -1, 0, 1}, at::kLong)), ContainsSubstring("label -1 in row 1"));
  CHECK_THAT(check(at::tensor({2, 0, 0, 3}, at::kByte)), ContainsSubstring("label 3 in row 3"));

  at::Tensor const target = at::tensor({0, 1, 2, 5}, at::kLong).reshape({2, 2}).t();
  CHECK_THAT(message_of<tacit::DataError>(
                 [&] {
                   CrossEntropy{}.check(logits().reshape({2, 3, 2}), target);
                 },
                 "TACIT-RD46"),
             ContainsSubstring("label 5 in row 1 (element 1 of the row)"));
  // The value that is ignored by default is a bad label where another one is ignored.
  CHECK_THAT(message_of<tacit::DataError>(
                 [&] {
                   CrossEntropy{.ignore_index = 0}.check(logits(), at::tensor({0, 1, 2, -100}, at::kLong));
                 },
                 "TACIT-RD46"),
             ContainsSubstring("label -100 in row 3"));
}

TEST_CASE("a bad label of a later batch is named as well, on the CPU") {
  std::string const text = message_of<tacit::DataError>(
      [] {
        CrossEntropy{}(logits(), at::tensor({2, 0, 12, 1}, at::kLong));
      },
      "TACIT-RD46");
  CHECK_THAT(text, ContainsSubstring("label 12 in row 2"));
  message_of<tacit::DataError>([] { CrossEntropy{}(logits(), at::tensor({2, 0, 1}, at::kLong)); }, "TACIT-RD45");
  // What the check has no word for comes through as LibTorch said it.
  CHECK_THROWS_AS(CrossEntropy{}(logits().detach().to(at::kLong), labels()), c10::Error);
}

TEST_CASE("check refuses labels of a wrong type") {
  for (at::ScalarType const type : {at::kFloat, at::kDouble, at::kInt, at::kBool}) {
    std::string const text =
        message_of<tacit::DataError>([&] { CrossEntropy{}.check(logits(), labels().to(type)); }, "TACIT-RD44");
    CHECK_THAT(text, ContainsSubstring(at::toString(type)));
    CHECK_THAT(text, ContainsSubstring("[4, 3]"));
  }
}

TEST_CASE("check prints both sizes where they do not fit") {
  auto const check = [](at::Tensor const& prediction, at::Tensor const& target) {
    return message_of<tacit::DataError>([&] { CrossEntropy{}.check(prediction, target); }, "TACIT-RD45");
  };
  std::string const text = check(logits(), labels().slice(0, 0, 3));
  CHECK_THAT(text, ContainsSubstring("[4, 3]"));
  CHECK_THAT(text, ContainsSubstring("[3]"));
  check(logits(), labels().unsqueeze(1));
  check(logits().reshape({2, 3, 2}), labels());
  check(logits().reshape({2, 3, 2}), at::zeros({2, 3}, at::kLong));
  check(at::zeros({}), labels());
}

TEST_CASE("a label smoothing out of range is an error") {
  for (double const bad : {-0.1, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    message_of<tacit::ConfigError>([&] { CrossEntropy{.label_smoothing = bad}.check(logits(), labels()); },
                                   "TACIT-RC38");
  }
}

TEST_CASE("mean squared error never broadcasts") {
  at::Tensor x = at::tensor({1.0, 2.0, 4.0}, at::kDouble).requires_grad_();
  at::Tensor const y = at::tensor({1.0, 0.0, 1.0}, at::kDouble);
  at::Tensor const loss = Mse{}(x, y);
  CHECK(std::abs(traits::read(loss) - 13.0 / 3.0) < 1e-15);
  loss.backward();
  CHECK(traits::grad(x).allclose(at::tensor({0.0, 4.0 / 3.0, 2.0}, at::kDouble), 1e-12));
  Mse{}.check(x, y);

  std::string const text = message_of<tacit::DataError>([&] { Mse{}(x.unsqueeze(1), y); }, "TACIT-RD47");
  CHECK_THAT(text, ContainsSubstring("[3, 1]"));
  CHECK_THAT(text, ContainsSubstring("[3]"));
  message_of<tacit::DataError>([&] { Mse{}.check(x, y.slice(0, 0, 1)); }, "TACIT-RD47");
}

}  // namespace

}  // namespace loss_tests
