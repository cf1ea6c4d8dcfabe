#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/callbacks/terminate_on_nan.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/task/step_result.hpp"
#include "tacit/train/trainer.hpp"

namespace tag = tacit::tag;
using tacit::CallbackPack;

namespace stated_weight_tests {
namespace {

constexpr double nan_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

template <class Weight>
struct With {
  fake::Tensor loss;
  Weight weight;
};
struct Function {
  fake::Tensor loss;
  double weight() const { return 1.0; }
};
struct Without {
  fake::Tensor loss;
};
class Private {
 public:
  fake::Tensor loss;

 private:
  [[maybe_unused]] double weight = 1.0;
};

// T2: a number or a tensor; anything else of that name is refused.
static_assert(tacit::states_weight<With<double>> && tacit::states_weight<With<float>> && tacit::states_weight<With<int>> &&
              tacit::states_weight<With<std::int64_t>> && tacit::states_weight<With<double const>>);
static_assert(tacit::states_weight<With<fake::Tensor>> && tacit::states_tensor_weight<With<fake::Tensor>> && !tacit::states_tensor_weight<With<double>>);
static_assert(!tacit::states_weight<With<bool>> && !tacit::states_weight<With<std::string>> && !tacit::states_weight<With<std::optional<double>>> &&
              !tacit::states_weight<With<std::vector<fake::Tensor>>> && !tacit::states_weight<With<double*>> && !tacit::states_weight<Function> &&
              !tacit::states_weight<Private> && !tacit::states_weight<Without>);
static_assert(tacit::detail::names_weight<With<std::string>> && tacit::detail::names_weight<Function> && tacit::detail::names_weight<Private> &&
              !tacit::detail::names_weight<Without>);
static_assert(tacit::states_tokens<With<double>> && !tacit::states_tokens<tacit::WeightedStepResult<fake::Tensor, fake::Tensor, double>>);

template <class Weight>
Weight weight_of(double value, fake::Tensor const& like) {
  if constexpr (std::is_same_v<Weight, fake::Tensor>) {
    return tacit::tensor_traits<fake::Tensor>::scalar_like(value, like);
  } else {
    return static_cast<Weight>(value);
  }
}

/// Batches of one sample: losses of `input`, weights of `target`; the gradient is that of the loss by the weight of the model.
std::vector<fake::Batch> pairs(std::vector<double> const& losses, std::vector<double> const& weights) {
  std::vector<fake::Batch> result;
  for (std::size_t i = 0; i < losses.size(); ++i) result.push_back({fake::Tensor{std::vector{losses[i]}}, fake::Tensor{std::vector{weights[i]}}});
  return result;
}

template <class Weight, class... Policies>
auto weighed_trainer(std::shared_ptr<fake::Linear> model, Policies... policies) {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) {
    return With<Weight>{fake::mean(net.forward(batch.input)), weight_of<Weight>(batch.target->values[0], batch.target)};
  };
  return tacit::Trainer{tacit::Task{std::move(model), fake::Sgd{.lr = 0.0}, step}, policies..., CallbackPack{}};
}

template <class Error, class Work>
std::string code_of(Work const& work) {
  try {
    work();
  } catch (Error const& error) {
    return error.code() + (error.problem().find("`weight`") == std::string::npos ? "" : " weight");
  }
  return "nothing";
}

tacit::LogPoint const now{tacit::LogPoint::outside_a_run{}};

fake::Tensor scalar(double value, bool on_device) {
  fake::Tensor tensor{std::vector<double>{value}};
  tensor->on_device = on_device;
  return tensor;
}

}  // namespace

TEST_CASE("T2: a weight counts as a number of any type and as a tensor, on the host and on a device") {
  // Losses 1 and 0 of weights 1 and 99.
  auto const data = pairs({2.0, 0.0}, {1.0, 99.0});
  auto loss = [&]<class Weight>(tacit::type<Weight>, auto... policies) {
    return weighed_trainer<Weight>(std::make_shared<fake::Linear>(), policies...).train(data, {.epochs = 1, .sink = tacit::Sink::none()})[tag::train_loss{}];
  };
  CHECK(std::abs(loss(tacit::type<double>{}) - 0.01) < 1e-15);
  CHECK(std::abs(loss(tacit::type<int>{}) - 0.01) < 1e-15);
  CHECK(std::abs(loss(tacit::type<std::int64_t>{}) - 0.01) < 1e-15);
  CHECK(std::abs(loss(tacit::type<fake::Tensor>{}) - 0.01) < 1e-15);
  CHECK(std::abs(loss(tacit::type<fake::Tensor>{}, fake::Gpu{}) - 0.01) < 1e-15);
}

TEST_CASE("T2: a weight that is no number of items is an error that names it") {
  double const bad = GENERATE(nan_number, infinity, -infinity, -1.0);
  auto run = [&](auto one) { one.train(pairs({1.0}, {bad}), {.epochs = 1, .sink = tacit::Sink::none()}); };
  CHECK(code_of<tacit::DataError>([&] { run(weighed_trainer<double>(std::make_shared<fake::Linear>())); }) == "TACIT-RD124 weight");
  CHECK(code_of<tacit::DataError>([&] { run(weighed_trainer<fake::Tensor>(std::make_shared<fake::Linear>())); }) == "TACIT-RD124 weight");
}

TEST_CASE("T2: a weight of several elements, and of none") {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return With<fake::Tensor>{fake::mean(net.forward(batch.input)), batch.target}; };
  auto run = [&](std::vector<double> weights) {
    tacit::Trainer one{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step}, CallbackPack{}};
    one.train(std::vector<fake::Batch>{{fake::Tensor{std::vector{1.0}}, fake::Tensor{std::move(weights)}}}, {.epochs = 1, .sink = tacit::Sink::none()});
  };
  CHECK(code_of<tacit::DataError>([&] { run({1.0, 1.0}); }) == "TACIT-RD125 weight");
  CHECK(code_of<tacit::DataError>([&] { run({}); }) == "TACIT-RD125 weight");
}

TEST_CASE("F28: a loss of several elements is an error that names it, in training and in evaluation") {
  auto loss = [](fake::Tensor const& prediction, fake::Tensor const& target) { return prediction - target; };
  tacit::Trainer one{std::make_shared<fake::Linear>(), loss, fake::Sgd{}, CallbackPack{}};
  CHECK(code_of<tacit::DataError>([&] { one.train(fake::Line{8}, {.epochs = 1, .per_device_batch_size = 4, .sink = tacit::Sink::none()}); }) == "TACIT-RD126");
  CHECK(code_of<tacit::DataError>([&] { one.evaluate(fake::Line{8}, {.per_device_batch_size = 4, .sink = tacit::Sink::none()}); }) == "TACIT-RD126");
}

TEST_CASE("C7: what has weight 0 adds nothing to a mean, whatever it is and wherever it is") {
  bool const on_device = GENERATE(false, true);
  bool const weights_on_device = GENERATE(false, true);
  double const value = GENERATE(7.0, nan_number, infinity);
  tacit::basic_mean<fake::Tensor> mean;
  auto add = [&](double x, double weight) {
    if (weights_on_device) {
      mean.add(scalar(x, on_device), scalar(weight, true));
    } else {
      mean.add(scalar(x, on_device), weight);
      mean.add(x, weight);
    }
  };
  add(value, 0.0);
  CHECK(mean.weight(now) == 0.0);
  CHECK(std::isnan(mean.read(now)));
  CHECK_FALSE(std::signbit(mean.read(now)));
  add(3.0, 1.0);
  add(value, 0.0);
  add(5.0, 3.0);
  CHECK(mean.read(now) == 4.5);
}

TEST_CASE("C7: a mean takes in another one, unless a flag says not to") {
  bool const on_device = GENERATE(false, true);
  tacit::basic_mean<fake::Tensor> total, window;
  total.add(scalar(1.0, on_device), 1.0);
  window.add(scalar(nan_number, on_device), 2.0);
  fake::Tensor const skip = scalar(1.0, on_device);
  total.add(window, &skip);
  CHECK(total.read(now) == 1.0);
  window.reset();
  window.add(scalar(4.0, on_device), 2.0);
  fake::Tensor const keep = scalar(0.0, on_device);
  total.add(window, &keep);
  CHECK(total.read(now) == 3.0);
  total.add(window);
  CHECK(total.read(now) == 3.4);
}

TEST_CASE("C7: an evaluation of which nothing counts has the loss NaN, on one process and on several") {
  auto const data = pairs({1.0, 2.0}, {0.0, 0.0});
  auto one = weighed_trainer<double>(std::make_shared<fake::Linear>());
  CHECK(std::isnan(one.evaluate(data, {.sink = tacit::Sink::none()})[tag::eval_loss{}]));
  std::vector<double> losses(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    auto mine = weighed_trainer<double>(std::make_shared<fake::Linear>(), rank);
    losses[static_cast<std::size_t>(rank.number)] = mine.evaluate(data, {.sink = tacit::Sink::none()})[tag::eval_loss{}];
  });
  CHECK(std::isnan(losses[0]));
  CHECK(std::isnan(losses[1]));
}

TEST_CASE("F6, C7: a loss of weight 0 is no reason to end a run, in training and in evaluation") {
  bool const on_device = GENERATE(false, true);
  bool const by_tensor = GENERATE(false, true);
  auto const data = pairs({1.0, nan_number, 3.0}, {1.0, 0.0, 1.0});
  auto run = [&]<class Weight>(tacit::type<Weight>, auto... policies) {
    // Its gradient is finite: 0 times the model.
    auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) {
      double const x = batch.input->values[0];
      fake::Tensor const finite = fake::mean(net.forward(batch.target));
      return With<Weight>{std::isnan(x) ? finite * fake::Tensor{std::vector{0.0}} + batch.input : finite, weight_of<Weight>(batch.target->values[0], batch.target)};
    };
    tacit::Trainer one{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step}, policies..., CallbackPack{tacit::TerminateOnNaN{}}};
    auto const result = one.train(data, data, {.epochs = 1, .sink = tacit::Sink::none()});
    CHECK(result.reason == tacit::StopReason::completed);
    CHECK(std::isfinite(result[tag::train_loss{}]));
    CHECK(std::isfinite(result[tag::eval_loss{}]));
  };
  auto with = [&](auto weight) { on_device ? run(weight, fake::Gpu{}) : run(weight); };
  by_tensor ? with(tacit::type<fake::Tensor>{}) : with(tacit::type<double>{});
}

// --- a loss that states its weight ---

namespace {

/// The mean of the squared differences over the targets that are not negative; 0 of none.
struct Ignoring {
  static double count(fake::Tensor const& target) {
    double kept = 0.0;
    for (double value : target.values()) kept += value >= 0.0 ? 1.0 : 0.0;
    return kept;
  }
  fake::Tensor operator()(fake::Tensor const& prediction, fake::Tensor const& target) const {
    std::vector<double> share;
    double const kept = count(target);
    for (double value : target.values()) share.push_back(value >= 0.0 ? static_cast<double>(target.values().size()) / kept : 0.0);
    fake::Tensor shares{std::move(share)};
    shares->on_device = target->on_device;
    fake::Tensor const difference = prediction - target;
    return fake::mean(difference * difference * shares);
  }
};
struct ByPair : Ignoring {
  double weight(fake::Tensor const&, fake::Tensor const& target) const { return count(target); }
};
struct ByTarget : Ignoring {
  float weight(fake::Tensor const& target) const { return static_cast<float>(count(target)); }
};
struct ByTensor : Ignoring {
  fake::Tensor weight(fake::Tensor const&, fake::Tensor const& target) const {
    return tacit::tensor_traits<fake::Tensor>::scalar_like(count(target), target);
  }
};
/// Data of that name are class weights, and no statement.
struct ClassWeights : Ignoring {
  fake::Tensor weight{std::vector<double>{1.0, 2.0}};
};

struct Rows {
  std::vector<double> target{1.0, -1.0, -1.0, -1.0, 2.0, 0.0, 1.0, 3.0};
  std::int64_t size() const { return static_cast<std::int64_t>(target.size()); }
  fake::Batch get_batch(std::span<std::int64_t const> indices) const {
    std::vector<double> x, y;
    for (std::int64_t index : indices) {
      x.push_back(0.1 * static_cast<double>(index));
      y.push_back(target[static_cast<std::size_t>(index)]);
    }
    return {fake::Tensor{std::move(x)}, fake::Tensor{std::move(y)}};
  }
};

struct Outcome {
  double train_loss, weight, bias, eval_loss;
};
template <class Loss, class... Policies>
Outcome outcome(std::int64_t batch, std::int64_t accumulation, Policies... policies) {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer one{model, Loss{}, fake::Sgd{.lr = 0.1}, policies..., CallbackPack{}};
  auto batches = tacit::data::loader(Rows{}, {.batch_size = batch});
  auto const result = one.train(batches, {.epochs = 1, .gradient_accumulation = accumulation, .sink = tacit::Sink::none()});
  double const trained = result[tag::train_loss{}];
  return {trained, model->weight->values[0], model->bias->values[0], one.evaluate(batches, {.sink = tacit::Sink::none()})[tag::eval_loss{}]};
}
bool close(Outcome const& a, Outcome const& b) {
  auto near = [](double x, double y) { return std::abs(x - y) < 1e-12; };
  return near(a.train_loss, b.train_loss) && near(a.weight, b.weight) && near(a.bias, b.bias) && near(a.eval_loss, b.eval_loss);
}

template <class Loss>
using result_of = decltype(tacit::default_train_step(std::declval<tacit::Supervised<fake::Linear, Loss, fake::Sgd>&>(), std::declval<fake::Batch const&>(),
                                                     std::declval<tacit::detail::probe_context<fake::Tensor, tacit::event::UpdateEnd>&>()));
static_assert(tacit::states_weight<result_of<ByPair>> && tacit::states_weight<result_of<ByTarget>> && tacit::states_tensor_weight<result_of<ByTensor>>);
static_assert(!tacit::states_weight<result_of<Ignoring>> && !tacit::states_weight<result_of<ClassWeights>>);

}  // namespace

TEST_CASE("F6: a loss that states its weight gives the results of the whole batch, however it is divided") {
  Outcome const whole = outcome<ByPair>(8, 1);
  CHECK(close(outcome<ByPair>(4, 2), whole));
  CHECK(close(outcome<ByTarget>(4, 2), whole));
  CHECK(close(outcome<ByTensor>(4, 2), whole));
  CHECK(close(outcome<ByTensor>(4, 2, fake::Gpu{}), whole));
  CHECK(close(outcome<ByPair>(3, 3), whole));  // a window with a remainder
  CHECK_FALSE(close(outcome<Ignoring>(4, 2), whole));
  CHECK_FALSE(close(outcome<ClassWeights>(4, 2), whole));
}

TEST_CASE("F6: ranks weigh by what their losses state") {
  Outcome const whole = outcome<ByPair>(8, 1);
  std::vector<Outcome> outcomes(2);
  fake::run_ranks(2, [&](fake::Rank rank) { outcomes[static_cast<std::size_t>(rank.number)] = outcome<ByPair>(4, 1, rank); });
  CHECK(close(outcomes[0], whole));
  CHECK(close(outcomes[1], whole));
}

TEST_CASE("F6: what a loss weighs by is no count of tokens") {
  tacit::Trainer one{std::make_shared<fake::Linear>(), ByPair{}, fake::Sgd{}, CallbackPack{}};
  CHECK_THROWS_AS(one.train(Rows{}, {.epochs = 1, .limit = {.tokens = 5}, .sink = tacit::Sink::none()}), tacit::ConfigError);
}

namespace {

using traits = tacit::tensor_traits<fake::Tensor>;
fake::Tensor weight_of(fake::Batch const& batch) { return fake::Tensor{std::vector<double>{batch.target->values[0]}}; }
auto on_device = [](auto& net, fake::Batch const& batch, auto&) {
  return With<fake::Tensor>{fake::mean(net.forward(batch.input)),
                            traits::scalar_like(batch.target->values[0], batch.target)};
};
auto on_host = [](auto& net, fake::Batch const& batch, auto&) {
  return With<fake::Tensor>{fake::mean(net.forward(batch.input)), weight_of(batch)};
};
auto as_number = [](auto& net, fake::Batch const& batch, auto&) {
  return With<double>{fake::mean(net.forward(batch.input)), batch.target->values[0]};
};
auto unstated = [](auto& net, fake::Batch const& batch, auto&) {
  return Without{fake::mean(net.forward(batch.input))};
};

/// One row each, whose gradient is 1, of weight 5.
std::vector<fake::Batch> two_rows() {
  return std::vector<fake::Batch>(
      2, fake::Batch{fake::Tensor{std::vector<double>{1.0}}, fake::Tensor{std::vector<double>{5.0}}});
}
template <class First, class Second, class... Policies>
std::vector<double> phases_after(First const& first, Second const& second, std::int64_t accumulation,
                                 Policies... policies) {
  auto a = std::make_shared<fake::Linear>();
  auto b = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.1}, first),
                                     tacit::phase<"b">(b, fake::Sgd{.lr = 0.1}, second)},
                         policies..., CallbackPack{}};
  trainer.train(two_rows(), {.epochs = 1, .gradient_accumulation = accumulation, .sink = tacit::Sink::none()});
  return {a->weight->values[0], b->weight->values[0]};
}
template <class Step, class... Policies>
double one_after(Step const& step, std::int64_t accumulation, Policies... policies) {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{tacit::Task{model, fake::Sgd{.lr = 0.1}, step}, policies..., CallbackPack{}};
  trainer.train(two_rows(), {.epochs = 1, .gradient_accumulation = accumulation, .sink = tacit::Sink::none()});
  return model->weight->values[0];
}
bool is_close(double a, double b) { return std::abs(a - b) < 1e-12; }

}  // namespace

TEST_CASE(
    "a weight that stays on the device weighs its own phase alone, and one that the host knows is the same there") {
  for (std::int64_t const accumulation : {1, 2}) {
    CAPTURE(accumulation);
    double const expected = accumulation == 1 ? 0.3 : 0.4;
    for (auto const& after : {phases_after(on_device, unstated, accumulation, fake::Gpu{}),
                              phases_after(on_device, as_number, accumulation, fake::Gpu{}),
                              phases_after(unstated, on_device, accumulation, fake::Gpu{}),
                              phases_after(on_device, unstated, accumulation)}) {
      CHECK(is_close(after[0], expected));
      CHECK(is_close(after[1], expected));
    }
    CHECK(is_close(one_after(on_host, accumulation), expected));
    CHECK(is_close(one_after(on_host, accumulation, fake::Gpu{}), expected));
  }
}

TEST_CASE("weights of the host beside a device are summed over the ranks once") {
  std::vector<double> after(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    after[static_cast<std::size_t>(rank.number)] = one_after(on_host, 1, fake::Gpu{}, rank);
  });
  CHECK(is_close(after[0], 0.4));
  CHECK(is_close(after[1], 0.4));
}

TEST_CASE("a batch that did not fit in memory counts its device weight once") {
  static int backwards = 0;
  backwards = 0;
  auto const step = [](auto& net, fake::Batch const& batch, auto&) {
    fake::Tensor const mean = fake::mean(net.forward(batch.input));
    fake::Tensor const risky = fake::make(mean->values, {mean.ptr()}, [](fake::Node& self) {
      if (++backwards == 2) throw std::bad_alloc{};
      fake::add_adjoint(*self.parents[0], 0, self.adjoint[0]);
    });
    return With<fake::Tensor>{risky, traits::scalar_like(static_cast<double>(batch.input->values.size()), batch.input)};
  };
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{tacit::Task{model, fake::Sgd{.lr = 0.1}, step}, fake::Gpu{},
                         CallbackPack{tacit::AutoMicroBatch{}}};
  std::vector<fake::Batch> const data(
      2, fake::Batch{fake::Tensor{std::vector<double>{1.0, 1.0}}, fake::Tensor{std::vector<double>{1.0, 1.0}}});
  trainer.train(data, {.epochs = 1, .gradient_accumulation = 2, .sink = tacit::Sink::none()});
  CHECK(backwards > 2);
  CHECK(is_close(model->weight->values[0], 0.4));
}

}  // namespace stated_weight_tests
