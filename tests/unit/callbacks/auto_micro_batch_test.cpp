#include "tacit/callbacks/auto_micro_batch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
namespace stage = tacit::stage;
using Catch::Matchers::ContainsSubstring;
using tacit::AutoMicroBatch;
using tacit::CallbackPack;

namespace auto_micro_batch_tests {
namespace {

/// A memory of so many rows; what does not fit is found out in the forward pass, or in the middle of the backward pass.
struct Memory {
  static inline std::size_t rows = 1000;
  static inline bool in_backward = false;
  static inline int failures = 0;

  static void use(std::size_t count) {
    if (count <= rows) return;
    ++failures;
    throw std::bad_alloc{};
  }
};

/// y = weight * x + bias: the gradient of the bias is made before memory runs out, that of the weight after it.
class Line {
 public:
  fake::Tensor forward(fake::Tensor const& input) {
    if (!Memory::in_backward) Memory::use(input->values.size());
    fake::Tensor const product = fake::make(times(weight.item(), input->values), {weight.ptr(), input.ptr()}, [](fake::Node& self) {
      Memory::use(Memory::in_backward ? self.values.size() : 0);
      for (std::size_t i = 0; i < self.adjoint.size(); ++i) fake::add_adjoint(*self.parents[0], 0, self.adjoint[i] * self.parents[1]->values[i]);
    });
    return bias + product;
  }
  std::vector<fake::Item> named_parameters() const { return {{"weight", weight}, {"bias", bias}}; }
  std::vector<fake::Item> named_buffers() const { return {}; }
  void train(bool on = true) { training_ = on; }
  bool is_training() const { return training_; }

  fake::Tensor weight{{0.5}, true};
  fake::Tensor bias{{0.0}, true};

 private:
  static std::vector<double> times(double factor, std::vector<double> values) {
    for (double& value : values) value *= factor;
    return values;
  }
  bool training_ = true;
};

/// The loss is a mean over the weights that the step states, those of targets above 1.5 being 3.
struct WeightedResult {
  fake::Tensor loss;
  double weight;
};
WeightedResult weighted_step(Line& model, fake::Batch const& batch) {
  double total = 0.0;
  std::vector<double> weights;
  for (double target : batch.target->values) {
    weights.push_back(target > 1.5 ? 3.0 : 1.0);
    total += weights.back();
  }
  double const count = static_cast<double>(weights.size());
  for (double& weight : weights) weight *= count / total;  // for the mean below is over rows
  fake::Tensor const error = model.forward(batch.input) - batch.target;
  return {mean(fake::Tensor{std::move(weights)} * error * error), total};
}

struct Seen {
  std::vector<std::size_t> rows;
  int aborted = 0;
  int updates = 0;
};
struct Watch {
  Seen* seen;
  void on(event::TrainStepEnd const&, auto& context) { seen->rows.push_back(context.batch().input->values.size()); }
  void on(event::Aborted<stage::TrainStep> const&, auto&) { ++seen->aborted; }
  void on(event::UpdateEnd const&, auto&) { ++seen->updates; }
};

struct LeaveOut {
  tacit::Flow on(event::TrainStepStart const&, auto& context) {
    return context.batch().target->values.front() > 2.5 ? tacit::Flow::skip_batch : tacit::Flow::proceed;
  }
};
struct Fail {
  void on(event::TrainLossComputed const&, auto&) { throw std::runtime_error{"no memory of it"}; }
};

struct Outcome {
  double weight;
  double bias;
  tacit::RunResult result;
  std::string text;
};
Outcome outcome(Line const& model, tacit::RunResult result, std::string text = {}) {
  return {model.weight.item(), model.bias.item(), std::move(result), std::move(text)};
}
bool close(double a, double b) { return std::abs(a - b) <= 1e-12 * std::max(std::abs(a), std::abs(b)); }

tacit::TrainOptions options_of(std::int64_t accumulation, tacit::Sink sink = tacit::Sink::none()) {
  return {.epochs = 2, .per_device_batch_size = 16, .gradient_accumulation = accumulation, .seed = 3, .sink = std::move(sink)};
}
template <class Pack>
Outcome train_line(Pack pack, std::int64_t accumulation, std::size_t memory, bool in_backward) {
  Memory::rows = memory;
  Memory::in_backward = in_backward;
  Memory::failures = 0;
  auto model = std::make_shared<Line>();
  std::ostringstream text;
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1, .momentum = 0.5}, std::move(pack)};
  auto result = trainer.train(fake::Line{90}, options_of(accumulation, tacit::Sink{text}));
  return outcome(*model, std::move(result), text.str());
}

}  // namespace

TEST_CASE("a batch that memory cannot hold gives the same updates in parts") {
  std::int64_t const accumulation = GENERATE(1, 2, 3);
  std::size_t const memory = GENERATE(1u, 2u, 3u, 5u, 8u, 15u);
  bool const in_backward = GENERATE(false, true);
  CAPTURE(accumulation, memory, in_backward);
  Seen seen;
  Outcome const whole = train_line(CallbackPack{}, accumulation, 1000, false);
  Outcome const parts = train_line(CallbackPack{AutoMicroBatch{}, Watch{&seen}}, accumulation, memory, in_backward);
  CHECK(close(parts.weight, whole.weight));
  CHECK(close(parts.bias, whole.bias));
  CHECK(parts.result.updates == whole.result.updates);
  CHECK(parts.result.micro_batches == whole.result.micro_batches);
  CHECK(parts.result.samples == whole.result.samples);
  CHECK(close(parts.result[tacit::tag::train_loss{}], whole.result[tacit::tag::train_loss{}]));
  int halvings = 0;  // of 16 rows until they fit
  for (std::size_t rows = 16; rows > memory; rows = (rows + 1) / 2) ++halvings;
  CHECK(Memory::failures == halvings);
  CHECK(seen.aborted == halvings);
  CHECK(std::ranges::all_of(seen.rows, [&](std::size_t rows) { return rows <= memory; }));
  CHECK_THAT(parts.text, ContainsSubstring("[tacit] AutoMicroBatch: out of memory in epoch 0, step 0; parts of at most 8 rows from here on\n"));
}

TEST_CASE("what a window had done when memory ran out is done again") {
  // The third batch of the window is the first that fails: it is longer than the two before it.
  struct Growing {
    std::int64_t size() const { return 3; }
    fake::Batch get_batch(std::span<std::int64_t const> indices) const {
      std::size_t const rows = static_cast<std::size_t>(2 + 5 * indices[0]);
      std::vector<double> x;
      for (std::size_t i = 0; i < rows; ++i) x.push_back(0.1 * static_cast<double>(i));
      std::vector<double> y = x;
      return {fake::Tensor{std::move(x)}, fake::Tensor{std::move(y)}};
    }
  };
  auto train = [](auto pack, std::size_t memory, bool in_backward) {
    Memory::rows = memory;
    Memory::in_backward = in_backward;
    auto model = std::make_shared<Line>();
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, std::move(pack)};
    std::vector<fake::Batch> batches;
    for (std::int64_t i = 0; i < 3; ++i) batches.push_back(Growing{}.get_batch(std::span{&i, 1}));
    trainer.train(batches, {.epochs = 2, .gradient_accumulation = 3, .sink = tacit::Sink::none()});
    return std::pair{model->weight.item(), model->bias.item()};
  };
  bool const in_backward = GENERATE(false, true);
  auto const whole = train(CallbackPack{}, 1000, false);
  auto const parts = train(CallbackPack{AutoMicroBatch{}}, 7, in_backward);
  CHECK(close(parts.first, whole.first));
  CHECK(close(parts.second, whole.second));
}

TEST_CASE("halves of a batch whose step states a weight count as what they state") {
  auto train = [](auto pack, std::size_t memory) {
    Memory::rows = memory;
    Memory::in_backward = true;
    auto model = std::make_shared<Line>();
    auto const step = [](Line& line, fake::Batch const& batch, auto&) { return weighted_step(line, batch); };
    tacit::Trainer trainer{tacit::Task{model, fake::Sgd{.lr = 0.1, .momentum = 0.5}, step, step}, std::move(pack)};
    auto result = trainer.train(fake::Line{90}, options_of(2));
    return outcome(*model, std::move(result));
  };
  Outcome const whole = train(CallbackPack{}, 1000);
  Outcome const parts = train(CallbackPack{AutoMicroBatch{}}, 3);
  CHECK(close(parts.weight, whole.weight));
  CHECK(close(parts.bias, whole.bias));
  CHECK(close(parts.result[tacit::tag::train_loss{}], whole.result[tacit::tag::train_loss{}]));
}

TEST_CASE("parts that a handler leaves out are left out alone") {
  Memory::rows = 1;  // a part is one row: those with a target above 2.5 do not count
  Memory::in_backward = false;
  auto model = std::make_shared<Line>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, CallbackPack{LeaveOut{}, AutoMicroBatch{.rows = 1}}};
  std::vector<fake::Batch> const batches{{fake::Tensor{{0.1, 0.2, 0.9}}, fake::Tensor{{1.0, 2.0, 3.0}}}};
  auto const result = trainer.train(batches, {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(result.samples == tacit::Samples{2});
  double const errors[] = {0.05 - 1.0, 0.1 - 2.0};
  CHECK(close(model->bias.item(), -0.1 * (errors[0] + errors[1])));
  CHECK(close(model->weight.item(), 0.5 - 0.1 * (errors[0] * 0.1 + errors[1] * 0.2)));
}

TEST_CASE("one row that does not fit ends the run with what memory threw") {
  CHECK_THROWS_AS(train_line(CallbackPack{AutoMicroBatch{}}, 2, 0, false), std::bad_alloc);
  CHECK(Memory::failures == 5);  // 16, 8, 4, 2, 1
  CHECK_THROWS_AS(train_line(CallbackPack{}, 2, 8, false), std::bad_alloc);
}

TEST_CASE("errors of another kind are none of memory") {
  CHECK_THROWS_AS(train_line(CallbackPack{Fail{}, AutoMicroBatch{}}, 1, 1000, false), std::runtime_error);
}

TEST_CASE("tensors of one batch that differ in rows are not torn apart") {
  Memory::rows = 2;
  Memory::in_backward = false;
  tacit::Trainer trainer{std::make_shared<Line>(), [](fake::Tensor const& y, fake::Tensor const&) { return mean(y * y); }, fake::Sgd{.lr = 0.1},
                         CallbackPack{AutoMicroBatch{}}};
  std::vector<fake::Batch> const batches{{fake::Tensor{{1.0, 2.0, 3.0, 4.0}}, fake::Tensor{{1.0, 2.0, 3.0}}}};
  CHECK_THROWS_AS(trainer.train(batches, {.epochs = 1, .sink = tacit::Sink::none()}), std::bad_alloc);
}

TEST_CASE("the size that fits is state, and may be given") {
  Seen seen;
  Outcome const parts = train_line(CallbackPack{AutoMicroBatch{.rows = 6}, Watch{&seen}}, 1, 1000, false);
  Outcome const whole = train_line(CallbackPack{}, 1, 1000, false);
  CHECK(close(parts.weight, whole.weight));
  CHECK(std::vector(seen.rows.begin(), seen.rows.begin() + 3) == std::vector<std::size_t>{6, 6, 4});
  CHECK(seen.updates == 12);
  CHECK_THAT(parts.text, ContainsSubstring("[tacit] AutoMicroBatch: parts of at most 6 rows\n"));
  try {
    train_line(CallbackPack{AutoMicroBatch{.rows = 0}}, 1, 1000, false);
    FAIL("no error");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC69");
  }
}

namespace {

/// The memory of rank 1 holds two rows.
struct TightOnRank1 {
  int rank;
  int failures = 0;
  void use(std::size_t rows) {
    if (rank != 1 || rows <= 2) return;
    ++failures;
    throw std::bad_alloc{};
  }
};

}  // namespace

TEST_CASE("a rank halves its batches, and the others do not have to know") {
  std::int64_t const accumulation = GENERATE(1, 2);
  auto train = [&](TightOnRank1* tight, std::int64_t batch, auto... policies) {
    auto model = std::make_shared<fake::Linear>();
    auto loss = [tight](fake::Tensor const& y, fake::Tensor const& target) {
      if (tight != nullptr) tight->use(y->values.size());
      return mean((y - target) * (y - target));
    };
    tacit::Trainer trainer{model, loss, fake::Sgd{.lr = 0.05}, policies..., CallbackPack{AutoMicroBatch{}}};
    trainer.train(fake::Line{26}, {.epochs = 3, .per_device_batch_size = batch, .gradient_accumulation = accumulation, .seed = 3, .sink = tacit::Sink::none()});
    std::vector<double> values;
    for (auto&& item : model->named_parameters()) values.insert(values.end(), item.value()->values.begin(), item.value()->values.end());
    return values;
  };
  std::vector<double> const one = train(nullptr, 8);
  std::vector<std::vector<double>> ranks(2);
  std::vector<int> failures(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    TightOnRank1 tight{rank.number};
    ranks[static_cast<std::size_t>(rank.number)] = train(&tight, 4, rank);
    failures[static_cast<std::size_t>(rank.number)] = tight.failures;
  });
  CHECK(failures == std::vector{0, 1});
  CHECK(ranks[0] == ranks[1]);
  REQUIRE(ranks[0].size() == one.size());
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(std::abs(ranks[0][i] - one[i]) <= 1e-12 * std::abs(one[i]));
}

}  // namespace auto_micro_batch_tests
