#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/train/trainer.hpp"

template <>
struct tacit::data::collation<fake::Tensor> {
  static constexpr bool is_tensor = true;
  static fake::Tensor join(std::span<fake::Tensor const> parts, CollateContext const&) {
    std::vector<double> values;
    for (fake::Tensor const& part : parts) values.push_back(part.item());
    return fake::Tensor{std::move(values)};
  }
};

namespace {

/// The line 2 x + 1, sample by sample, with noise of each sample's own.
struct NoisyLine {
  std::int64_t size() const { return 37; }
  fake::Batch get(std::int64_t index, tacit::Random& random) const {
    double const x = static_cast<double>(index) / 37;
    return {fake::Tensor{{x}}, fake::Tensor{{2 * x + 1 + random.uniform(-0.1, 0.1)}}};
  }
};

template <class Data>
std::vector<double> trained(Data&& data, tacit::TrainOptions const& options) {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(std::forward<Data>(data), options);
  return {model->weight.item(), model->bias.item()};
}

}  // namespace

TEST_CASE("a dataset of samples trains to the same bits for any number of workers, and without a loader of one's own") {
  std::vector<double> const expected = trained(NoisyLine{}, {.epochs = 3, .per_device_batch_size = 5, .seed = 9});
  REQUIRE(expected[0] != 0.5);
  for (std::int64_t const workers : {0, 1, 3}) {
    CAPTURE(workers);
    auto batches = tacit::data::loader(NoisyLine{}, {.batch_size = 5, .shuffle = true, .workers = workers});
    REQUIRE(trained(batches, {.epochs = 3, .seed = 9}) == expected);
  }
  auto batches = tacit::data::loader(NoisyLine{}, {.batch_size = 5, .shuffle = true, .workers = 2});
  REQUIRE(trained(batches, {.epochs = 3, .seed = 10}) != expected);
}

namespace {

/// The line without noise; sample 3 is no use.
struct Line {
  std::int64_t size() const { return 8; }
  fake::Batch get(std::int64_t index) const {
    auto const x = static_cast<double>(index);
    return {fake::Tensor{{x}}, fake::Tensor{{1.0 + x}}};
  }
};
/// Leaves out samples whose input is `bad` or above.
struct Without {
  double bad = 3.0;
  fake::Batch operator()(std::span<fake::Batch> samples) const {
    std::vector<double> input;
    std::vector<double> target;
    for (fake::Batch const& sample : samples) {
      if (sample.input.item() >= bad) continue;
      input.push_back(sample.input.item());
      target.push_back(sample.target.item());
    }
    return {fake::Tensor{std::move(input)}, fake::Tensor{std::move(target)}};
  }
};
struct Twice {
  fake::Batch operator()(std::span<fake::Batch> samples) const {
    std::vector<double> input;
    for (fake::Batch const& sample : samples) input.insert(input.end(), 2, sample.input.item());
    return {fake::Tensor{input}, fake::Tensor{input}};
  }
};
struct Weighed {
  fake::Tensor loss;
  double weight;
};

std::string error_of(auto const& work) {
  try {
    work();
    return "none";
  } catch (tacit::DataError const& error) {
    return std::string{error.code()} + " " + std::string{error.where()} + ": " + std::string{error.problem()};
  }
}

}  // namespace

TEST_CASE("a collate function that leaves samples out is an error, unless the step states the weight") {
  tacit::TrainOptions const options{.epochs = 1, .sink = tacit::Sink::none()};
  auto const loader = [](auto collate) { return tacit::data::loader(Line{}, {.batch_size = 2}, collate); };
  fake::MeanSquaredError const loss;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), loss, fake::Sgd{}, tacit::CallbackPack{}};
  std::string const text = "collate gave 1 row for 2 samples, and the batch weighs as much as its samples";
  CHECK(error_of([&] { trainer.train(loader(Without{}), options); }) == "TACIT-RD139 train, epoch 0, batch 1: " + text);
  std::string const evaluated = error_of([&] { trainer.evaluate(loader(Without{}), {}); });
  CHECK(evaluated == "TACIT-RD139 evaluate, epoch 0, batch 1: " + text);
  std::string const of_none = error_of([&] { trainer.train(loader(Without{0.0}), options); });
  CHECK(of_none.starts_with("TACIT-RD139 train, epoch 0, batch 0: collate gave 0 rows for 2 samples"));
  CHECK(error_of([&] { trainer.train(loader(Without{8.0}), options); }) == "none");
  CHECK(error_of([&] { trainer.train(loader(Twice{}), options); }) == "none");

  std::vector<double> weights;
  auto const step = [&](fake::Linear& net, fake::Batch const& batch, auto&) {
    weights.push_back(static_cast<double>(batch.input.values().size()));
    return Weighed{loss(net.forward(batch.input), batch.target), weights.back()};
  };
  fake::Sgd const still{.lr = 0.0};
  auto const model = [] { return std::make_shared<fake::Linear>(); };
  tacit::Trainer both{tacit::Task{tacit::phase<"one">(model(), still, step), tacit::phase<"two">(model(), still, step)}, tacit::CallbackPack{}};
  CHECK(error_of([&] { both.train(loader(Without{7.0}), options); }) == "none");
  weights.clear();
  tacit::Trainer weighed{tacit::Task{std::make_shared<fake::Linear>(), still, step}, tacit::CallbackPack{}};
  auto const result = weighed.train(tacit::data::loader(Line{}, {.batch_size = 2}, Without{7.0}), options);
  CHECK(weights == std::vector<double>{2, 2, 2, 1});
  double sum = 0.0;
  for (int x = 0; x < 7; ++x) sum += (1.0 + 0.5 * x) * (1.0 + 0.5 * x);  // the model begins with 0.5 x
  CHECK(result[tacit::tag::train_loss{}] == Catch::Approx(sum / 7));
}
