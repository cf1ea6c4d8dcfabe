#include "tacit/metric/accuracy.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;
using tacit::metric::Accuracy;

namespace accuracy_tests {
namespace {

/// The little of a matrix that an accuracy asks for: rows of classes, or with `classes` = 1 a list of numbers.
struct Scores : fake::Tensor {
  std::size_t classes = 1;

  Scores(fake::Tensor const& tensor, std::size_t width) : fake::Tensor{tensor}, classes{width} {}
  Scores argmax(std::int64_t) const {
    std::vector<double> result;
    for (std::size_t row = 0; row < values().size(); row += classes) {
      auto const first = values().begin() + static_cast<std::ptrdiff_t>(row);
      result.push_back(static_cast<double>(std::max_element(first, first + static_cast<std::ptrdiff_t>(classes)) - first));
    }
    fake::Tensor tensor{std::move(result)};
    tensor->on_device = node().on_device;
    return {tensor, 1};
  }
  Scores eq(Scores const& other) const {
    std::vector<double> result;
    for (std::size_t i = 0; i < values().size(); ++i) result.push_back(values()[i] == other.values()[i] ? 1.0 : 0.0);
    fake::Tensor tensor{std::move(result)};
    tensor->on_device = node().on_device;
    return {tensor, 1};
  }
  Scores ne(std::int64_t value) const {
    return each([value](double x) { return x != static_cast<double>(value); });
  }
  Scores gt(double value) const {
    return each([value](double x) { return x > value; });
  }
  Scores eq(std::int64_t value) const { return ne(value).each([](double x) { return x == 0.0; }); }
  Scores logical_and(Scores const& other) const {
    Scores result = *this;
    result = result.each([](double x) { return x; });
    for (std::size_t i = 0; i < values().size(); ++i) result->values[i] = values()[i] != 0.0 && other.values()[i] != 0.0 ? 1.0 : 0.0;
    return result;
  }
  Scores logical_or(Scores const& other) const {
    Scores result = each([](double x) { return x; });
    for (std::size_t i = 0; i < values().size(); ++i) result->values[i] = values()[i] != 0.0 || other.values()[i] != 0.0 ? 1.0 : 0.0;
    return result;
  }
  Scores sum(std::int64_t) const {
    std::vector<double> result;
    for (std::size_t row = 0; row < values().size(); row += classes) {
      double total = 0.0;
      for (std::size_t c = 0; c < classes; ++c) total += values()[row + c];
      result.push_back(total);
    }
    return {fake::Tensor{std::move(result)}, 1};
  }
  Scores sub(double value) const {
    return each([value](double x) { return x - value; });
  }
  Scores abs() const {
    return each([](double x) { return x < 0.0 ? -x : x; });
  }
  bool is_floating_point() const { return true; }
  std::int64_t dim() const { return classes == 1 ? 1 : 2; }
  std::int64_t size(std::int64_t dimension) const {
    return static_cast<std::int64_t>(dimension == 0 ? values().size() / classes : classes);
  }
  Scores reshape_as(Scores const&) const { return *this; }

  template <class Function>
  Scores each(Function const& function) const {
    std::vector<double> result;
    for (double value : values()) result.push_back(static_cast<double>(function(value)));
    fake::Tensor tensor{std::move(result)};
    tensor->on_device = node().on_device;
    return {tensor, classes};
  }
};

/// Predicts class (x mod 3) with certainty.
struct Modulo {
  fake::Tensor weight{std::vector<double>{1.0}, true};
  bool training = true;
  Scores forward(fake::Tensor const& x) {
    std::vector<double> values;
    for (double value : x.values()) {
      for (int c = 0; c < 3; ++c) values.push_back(static_cast<int>(value) % 3 == c ? 1.0 : 0.0);
    }
    fake::Tensor tensor{std::move(values)};
    tensor->on_device = x->on_device;
    return {tensor * weight, 3};
  }
  std::vector<fake::Item> named_parameters() const { return {{"weight", weight}}; }
  std::vector<fake::Item> named_buffers() const { return {}; }
  void train(bool on = true) { training = on; }
  bool is_training() const { return training; }
};
struct AnyLoss {
  fake::Tensor operator()(Scores const& prediction, Scores const&) const { return fake::mean(prediction); }
};

/// Samples x = 0, 1, ... of class 0 each, or with probabilities of which class 0 has most.
template <class Batch>
struct Numbers {
  std::int64_t count;
  std::size_t width = 1;
  std::size_t surplus = 0;
  std::int64_t size() const { return count; }
  Batch get_batch(std::span<std::int64_t const> indices) const {
    std::vector<double> x;
    std::vector<double> target;
    for (std::int64_t index : indices) {
      x.push_back(static_cast<double>(index));
      for (std::size_t c = 0; c < width; ++c) target.push_back(width == 1 ? 0.0 : c == 0 ? 0.6 : 0.2);
    }
    for (std::size_t i = 0; i < surplus; ++i) target.push_back(0.0);
    return {fake::Tensor{std::move(x)}, Scores{fake::Tensor{std::move(target)}, width}};
  }
};
struct InputTarget {
  fake::Tensor input;
  Scores target;
};
struct DataTarget {
  fake::Tensor data;
  Scores target;
};
struct Fields {
  fake::Tensor pixels;
  Scores label;
};

template <class... Policies>
auto make(Policies... policies) {
  return tacit::Trainer{std::make_shared<Modulo>(), AnyLoss{}, fake::Sgd{}, policies..., CallbackPack{Accuracy{}}};
}

}  // namespace

TEST_CASE("the share of samples whose prediction is largest at the target") {
  std::int64_t const batch = GENERATE(1, 3, 4, 100);
  auto one = make();
  auto const result = one.evaluate(Numbers<InputTarget>{10}, {.per_device_batch_size = batch, .sink = tacit::Sink::none()});
  CHECK(result[tag::accuracy{}] == 4.0 / 10.0);  // 0, 3, 6, 9; a short last batch counts by its samples
}

TEST_CASE("batches of any supported form, class numbers or probabilities") {
  auto one = make();
  auto accuracy = [&](auto data) { return one.evaluate(data, {.per_device_batch_size = 3, .sink = tacit::Sink::none()})[tag::accuracy{}]; };
  CHECK(accuracy(Numbers<DataTarget>{7}) == 3.0 / 7.0);
  CHECK(accuracy(Numbers<Fields>{7}) == 3.0 / 7.0);
  CHECK(accuracy(Numbers<std::pair<fake::Tensor, Scores>>{7}) == 3.0 / 7.0);
  CHECK(accuracy(Numbers<InputTarget>{7, 3}) == 3.0 / 7.0);
}

TEST_CASE("one value an evaluation, of that evaluation alone") {
  auto one = make();
  one.train(Numbers<InputTarget>{6}, Numbers<InputTarget>{4}, {.epochs = 2, .evaluation = {.every_updates = 1}, .sink = tacit::Sink::none()});
  auto const values = one.history().values(tag::accuracy{});
  CHECK(values.size() == 2);  // each epoch has one update, which is its last
  for (auto const& entry : values) CHECK(entry.value == 0.5);
}

TEST_CASE("over ranks it is the accuracy of all samples") {
  std::vector<double> values(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    auto one = make(rank);
    values[static_cast<std::size_t>(rank.number)] =
        one.evaluate(Numbers<InputTarget>{11}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()})[tag::accuracy{}];
  });
  CHECK(values[0] == 4.0 / 11.0);
  CHECK(values[1] == 4.0 / 11.0);
}

TEST_CASE("it reads the device once an evaluation") {
  auto one = make(fake::Gpu{});
  fake::device_reads = 0;
  auto const result = one.evaluate(Numbers<InputTarget>{12}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(result[tag::accuracy{}] == 4.0 / 12.0);
  CHECK(fake::device_reads == 2);  // the loss and the accuracy: the labels of this data stay on the host
}

TEST_CASE("a target that fits in no way is an error") {
  auto one = make();
  try {
    one.evaluate(Numbers<InputTarget>{4, 1, 1}, {.per_device_batch_size = 4, .sink = tacit::Sink::none()});
    FAIL("accepted");
  } catch (tacit::DataError const& error) {
    CHECK(error.code() == "TACIT-RD60");
    CHECK(error.problem() == "the prediction has sizes [4, 3], the target [5]");
  }
}

}  // namespace accuracy_tests
