#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <memory>
#include <span>
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
