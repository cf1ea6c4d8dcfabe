#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;

namespace task_tests {
namespace {

auto quiet() { return tacit::Sink::none(); }
tacit::TrainOptions three_epochs() { return {.epochs = 3, .per_device_batch_size = 4, .seed = 5, .sink = quiet()}; }

/// The parameters after three epochs of the plain supervised trainer: what every spelling of the same task must give.
std::pair<double, double> reference() {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1, .momentum = 0.5}, CallbackPack{}};
  trainer.train(fake::Line{18}, three_epochs());
  return {model->weight.item(), model->bias.item()};
}

struct Losses {
  fake::Tensor loss;
  double doubled;
};

}  // namespace

TEST_CASE("a task from a lambda trains as the supervised one") {
  auto model = std::make_shared<fake::Linear>();
  auto task = tacit::Task{model, fake::Sgd{.lr = 0.1, .momentum = 0.5}, [](auto& net, fake::Batch const& batch, auto&) {
                            auto const error = net.forward(batch.input) - batch.target;
                            return Losses{fake::mean(error * error), 2.0};
                          }};
  auto const [weight, bias] = reference();
  tacit::Trainer trainer{std::move(task), CallbackPack{}};
  trainer.train(fake::Line{18}, three_epochs());
  CHECK(model->weight.item() == weight);
  CHECK(model->bias.item() == bias);
}

namespace {
struct SumDoubled {
  double sum = 0.0;
  void on(event::TrainStepEnd const&, auto& context) { sum += context.output().doubled; }
};
struct CountEvalSteps {
  int steps = 0;
  double prediction = 0.0;
  void on(event::EvalStepEnd const&, auto& context) {
    ++steps;
    prediction = context.output().marker;
  }
};
struct Marked {
  fake::Tensor loss;
  double marker;
};
}  // namespace

TEST_CASE("a task from lambdas may have an evaluation step of its own") {
  auto model = std::make_shared<fake::Linear>();
  SumDoubled sum;
  CountEvalSteps evaluations;
  tacit::Trainer trainer{tacit::Task{model, fake::Sgd{},
                                     [](auto& net, fake::Batch const& batch, auto& context) {
                                       CHECK(context.is_training());
                                       auto const error = net.forward(batch.input) - batch.target;
                                       return Losses{fake::mean(error * error), 2.0};
                                     },
                                     [](auto& net, fake::Batch const& batch, auto& context) {
                                       CHECK_FALSE(context.is_training());
                                       return Marked{fake::mean(net.forward(batch.input)), 7.0};
                                     }},
                         CallbackPack{std::ref(sum), std::ref(evaluations)}};
  trainer.train(fake::Line{18}, fake::Line{8}, three_epochs());
  CHECK(sum.sum == 2.0 * 15);
  CHECK(evaluations.steps == 6);
  CHECK(evaluations.prediction == 7.0);
}

namespace {
using Base = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;
struct OwnForward : Base {
  using overrides = tacit::list<tacit::override::forward>;
  int calls = 0;
  fake::Tensor forward(fake::Tensor const& input, auto&) {
    ++calls;
    return model->forward(input);
  }
};
struct OwnLoss : Base {
  fake::Tensor loss(fake::Tensor const& prediction, fake::Tensor const& target, auto&) {
    auto const error = prediction - target;
    return fake::mean(error * error);
  }
};
struct OwnTrainStep : Base {
  auto train_step(fake::Batch const& batch, auto& context) {
    auto result = tacit::default_train_step(*this, batch, context);
    return Losses{result.loss, 1.0};
  }
};
struct OwnEvalStep : Base {
  auto eval_step(fake::Batch const& batch, auto&) { return Marked{fake::mean(model->forward(batch.input)), 1.0}; }
};
template <class Derived>
void trains_like_reference() {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{Derived{{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1, .momentum = 0.5}}}, CallbackPack{}};
  trainer.train(fake::Line{18}, fake::Line{4}, three_epochs());
  auto const [weight, bias] = reference();
  CHECK(model->weight.item() == weight);
  CHECK(model->bias.item() == bias);
  if constexpr (requires { trainer.task().calls; }) CHECK(trainer.task().calls == 3 * (5 + 1));  // the default eval step uses it too
}
}  // namespace

TEST_CASE("a derived task changes one part and keeps the others") {
  trains_like_reference<OwnForward>();
  trains_like_reference<OwnLoss>();
  trains_like_reference<OwnTrainStep>();
  trains_like_reference<OwnEvalStep>();
}

namespace {
struct DataTarget {
  fake::Tensor data;
  fake::Tensor target;
};
struct TwoFields {
  fake::Tensor x;
  fake::Tensor y;
};
template <class Batch>
void trains_on_batches_of() {
  std::vector<Batch> batches;
  for (int i = 0; i < 5; ++i) batches.push_back(Batch{fake::Tensor{{0.1 * i, 0.3}}, fake::Tensor{{1.0, 2.0}}});
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{}};
  auto const result = trainer.train(batches, {.epochs = 1, .sink = quiet()});
  CHECK(result.samples == tacit::Samples{10});
  double w = 0.5;
  double b = 0.0;
  for (int i = 0; i < 5; ++i) {
    double const e0 = w * 0.1 * i + b - 1.0;
    double const e1 = w * 0.3 + b - 2.0;
    double const dw = e0 * 0.1 * i + e1 * 0.3;
    double const db = e0 + e1;
    w -= 0.1 * dw;
    b -= 0.1 * db;
  }
  CHECK(std::abs(model->weight.item() - w) < 1e-12);
}
}  // namespace

TEST_CASE("a batch is a pair of input and target in any usual form") {
  trains_on_batches_of<fake::Batch>();
  trains_on_batches_of<DataTarget>();
  trains_on_batches_of<TwoFields>();
  trains_on_batches_of<std::pair<fake::Tensor, fake::Tensor>>();
  trains_on_batches_of<std::tuple<fake::Tensor, fake::Tensor>>();
}

namespace {
struct Nested {
  std::vector<fake::Tensor> images;
  std::pair<fake::Tensor, int> labelled;
  tacit::on_host<fake::Tensor> ids;
};
struct SeesNested {
  bool images = false;
  bool label = false;
  bool ids = true;
  void on(event::TrainStepStart const&, auto& context) {
    images = context.batch().images[1]->on_device;
    label = context.batch().labelled.first->on_device;
    ids = context.batch().ids.value->on_device;
  }
};
}  // namespace

TEST_CASE("all tensors of a batch cross to the device but those that stay on the host") {
  SeesNested seen;
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{tacit::Task{model, fake::Sgd{}, [](auto& net, Nested const& batch, auto&) { return Losses{fake::mean(net.forward(batch.images[0])), 0.0}; }},
                         fake::Gpu{}, CallbackPack{std::ref(seen)}};
  fake::Tensor const t{{1.0, 2.0}};
  std::vector<Nested> data{{{t, t}, {t, 3}, {t}}};
  trainer.train(data, {.epochs = 1, .sink = quiet()});
  CHECK(seen.images);
  CHECK(seen.label);
  CHECK_FALSE(seen.ids);
  CHECK(model->weight->on_device);
  CHECK_FALSE(t->on_device);  // the caller's data stay where they were
}

// --- phases ---

namespace {
struct PhaseLog {
  std::vector<std::string> lines;
  void on(event::TrainLossComputed const&, auto&) { lines.emplace_back("loss"); }
  void on(event::Of<"second", event::TrainLossComputed> const&, auto& context) {
    lines.emplace_back("loss of second");
    first_seen = context.output(tacit::name<"first">{}).loss.item();
  }
  void on(event::UpdateEnd const&, auto&) { lines.emplace_back("update"); }
  void on(event::TrainStepEnd const&, auto& context) {
    lines.emplace_back("step end");
    second_seen = context.output(tacit::name<"second">{}).loss.item();
  }
  double first_seen = 0.0;
  double second_seen = 0.0;
};
}  // namespace

TEST_CASE("each phase of a task has its own parameters, loss and updates") {
  auto first = std::make_shared<fake::Linear>(0.5, 0.0);
  auto second = std::make_shared<fake::Linear>(1.5, 0.0);
  PhaseLog log;
  tacit::Trainer trainer{
      tacit::Task{tacit::phase<"first">(first, fake::Sgd{.lr = 0.1},
                                        [&](auto& net, fake::Batch const& batch, auto&) {
                                          auto const error = net.forward(batch.input) - batch.target;
                                          return tacit::StepResult<fake::Tensor, int>{fake::mean(error * error), 0};
                                        }),
                  tacit::phase<"second">(second, fake::Sgd{.lr = 0.1},
                                         [&](auto& net, fake::Batch const& batch, auto&) {
                                           // Through both models: the first must keep clear of these gradients.
                                           auto const both = first->forward(net.forward(batch.input));
                                           return tacit::StepResult<fake::Tensor, int>{fake::mean(both * both), 0};
                                         })},
      CallbackPack{std::ref(log)}};
  auto const result = trainer.train(fake::Line{4}, fake::Line{2}, {.epochs = 2, .per_device_batch_size = 4, .sink = quiet()});
  CHECK(result.updates == tacit::Updates{2});
  double w1 = 0.5;
  double b1 = 0.0;
  double w2 = 1.5;
  double b2 = 0.0;
  for (int epoch = 0; epoch < 2; ++epoch) {
    double dw = 0.0;
    double db = 0.0;
    for (int i = 0; i < 4; ++i) {
      double const x = i / 4.0;
      double const e = w1 * x + b1 - 2.0 * x - 1.0;
      dw += 2.0 * e * x / 4.0;
      db += 2.0 * e / 4.0;
    }
    w1 -= 0.1 * dw;
    b1 -= 0.1 * db;
    dw = 0.0;
    db = 0.0;
    for (int i = 0; i < 4; ++i) {
      double const x = i / 4.0;
      double const y = w1 * (w2 * x + b2) + b1;  // sees what the first phase learnt just now
      dw += 2.0 * y * w1 * x / 4.0;
      db += 2.0 * y * w1 / 4.0;
    }
    w2 -= 0.1 * dw;
    b2 -= 0.1 * db;
  }
  CHECK(std::abs(first->weight.item() - w1) < 1e-12);
  CHECK(std::abs(first->bias.item() - b1) < 1e-12);
  CHECK(std::abs(second->weight.item() - w2) < 1e-12);
  CHECK(std::abs(second->bias.item() - b2) < 1e-12);
  CHECK(first->weight->requires_grad);
  std::vector<std::string> const once{"loss", "update", "loss of second", "step end", "update"};
  std::vector<std::string> twice{once};
  twice.insert(twice.end(), once.begin(), once.end());
  CHECK(log.lines == twice);
  CHECK(log.first_seen != 0.0);
  CHECK(log.second_seen != 0.0);
  CHECK(trainer.history().has(tacit::on<"first", tag::train_loss>{}));
  CHECK(trainer.history().has(tacit::on<"second", tag::eval_loss>{}));
  CHECK(trainer.describe().find("second") != std::string::npos);
}

TEST_CASE("accumulation in phases equals the big batch") {
  auto run = [](std::int64_t batch, std::int64_t accumulation) {
    auto first = std::make_shared<fake::Linear>(0.5, 0.0);
    auto second = std::make_shared<fake::Linear>(1.5, 0.0);
    auto step = [](auto& net, fake::Batch const& b, auto&) {
      auto const error = net.forward(b.input) - b.target;
      return tacit::StepResult<fake::Tensor, int>{fake::mean(error * error), 0};
    };
    tacit::Trainer trainer{tacit::Task{tacit::phase<"first">(first, fake::Sgd{}, step), tacit::phase<"second">(second, fake::Sgd{}, step)}, CallbackPack{}};
    trainer.train(fake::Line{13}, {.epochs = 3, .per_device_batch_size = batch, .gradient_accumulation = accumulation, .sink = quiet()});
    return std::pair{first->weight.item(), second->weight.item()};
  };
  auto const big = run(6, 1);
  auto const small = run(2, 3);
  CHECK(std::abs(big.first - small.first) < 1e-12);
  CHECK(std::abs(big.second - small.second) < 1e-12);
}

// --- weights ---

namespace {
struct Weighted {
  fake::Tensor loss;
  double weight;
};
}  // namespace

TEST_CASE("a step's own weight decides how micro-batches and the epoch's loss are averaged") {
  // Tokens: batch i holds i + 1 of them, its loss is their mean.
  struct TokenBatch {
    fake::Tensor x;
  };
  std::vector<TokenBatch> data;
  for (int i = 0; i < 5; ++i) data.push_back({fake::Tensor{std::vector<double>(static_cast<std::size_t>(i + 1), 0.2 * i)}});
  auto step = [](auto& net, TokenBatch const& batch, auto&) {
    auto const y = net.forward(batch.x);
    return Weighted{fake::mean(y * y), static_cast<double>(batch.x.values().size())};
  };
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{tacit::Task{model, fake::Sgd{.lr = 0.05}, step}, CallbackPack{}};
  auto const result = trainer.train(data, {.epochs = 1, .gradient_accumulation = 5, .sink = quiet()});
  double dw = 0.0;
  double db = 0.0;
  double loss = 0.0;
  for (int i = 0; i < 5; ++i) {
    double const x = 0.2 * i;
    double const y = 0.5 * x;
    dw += (i + 1) / 15.0 * 2.0 * y * x;
    db += (i + 1) / 15.0 * 2.0 * y;
    loss += (i + 1) / 15.0 * y * y;
  }
  CHECK(std::abs(model->weight.item() - (0.5 - 0.05 * dw)) < 1e-13);
  CHECK(std::abs(model->bias.item() + 0.05 * db) < 1e-13);
  CHECK(std::abs(result[tag::train_loss{}] - loss) < 1e-13);
  CHECK(trainer.train(data, {.limit = {.tokens = 6}, .sink = quiet()}).updates == tacit::Updates{3});
}

// --- eval sets, order, extras ---

namespace {
struct WatchClean {
  using watches = tacit::watches<tacit::on<"clean", tag::eval_loss>>;
  double last = 0.0;
  void on(event::TrainingRunEpochEnd const&, auto& context) { last = context.latest(tacit::on<"clean", tag::eval_loss>{}); }
};
}  // namespace

TEST_CASE("named eval sets have their own metrics beside the plain one") {
  WatchClean watch;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"clean", "noisy">{}, CallbackPack{std::ref(watch)}};
  fake::Line const clean{6};
  trainer.train(fake::Line{12}, fake::Line{4}, {.epochs = 2, .sink = quiet()}, tacit::eval_data<"noisy">(fake::Line{3}), tacit::eval_data<"clean">(clean));
  CHECK(trainer.history().values(tacit::on<"clean", tag::eval_loss>{}).size() == 2);
  CHECK(trainer.history().values(tacit::on<"noisy", tag::eval_loss>{}).size() == 2);
  CHECK(trainer.history().values(tag::eval_loss{}).size() == 2);
  CHECK(watch.last == trainer.history().latest(tacit::on<"clean", tag::eval_loss>{}));
}

namespace {
struct A {
  std::string* log;
  void on(event::TrainingRunStart const&, auto&) { *log += 'a'; }
};
struct B {
  using runs_before = tacit::runs_before<A>;
  std::string* log;
  void on(event::TrainingRunStart const&, auto&) { *log += 'b'; }
};
struct C {
  using runs_after = tacit::runs_after<B>;
  std::string* log;
  void on(event::TrainingRunStart const&, auto&) { *log += 'c'; }
};
struct Last {
  using runs_last = tacit::runs_last;
  std::string* log;
  void on(event::TrainingRunStart const&, auto&) { *log += 'z'; }
};
}  // namespace

TEST_CASE("constraints change the order of calls only where they must") {
  std::string log;
  auto run = [&](auto pack) {
    log.clear();
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, std::move(pack)};
    trainer.train(fake::Line{2}, {.epochs = 1, .sink = quiet()});
    return log;
  };
  CHECK(run(CallbackPack{A{&log}, B{&log}, C{&log}}) == "bac");
  CHECK(run(CallbackPack{C{&log}, A{&log}}) == "ca");
  CHECK(run(CallbackPack{Last{&log}, C{&log}, A{&log}, B{&log}}) == "bcaz");
  CHECK(run(CallbackPack{Last{&log}, CallbackPack{A{&log}, CallbackPack{B{&log}}}}) == "baz");
}

namespace {
struct LossWithTensor {
  fake::Tensor scale{{2.0}};
  fake::Tensor operator()(fake::Tensor const& prediction, fake::Tensor const& target) const {
    auto const error = (prediction - target) * scale;
    return fake::mean(error * error);
  }
  void visit_tensors(auto const& visit) { visit(scale); }
};
}  // namespace

TEST_CASE("tensors of a loss reach the device") {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), LossWithTensor{}, fake::Sgd{}, fake::Gpu{}, CallbackPack{}};
  CHECK(trainer.task().criterion.scale->on_device);
}

}  // namespace task_tests
