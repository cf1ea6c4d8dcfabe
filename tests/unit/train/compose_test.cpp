#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <catch2/catch_test_macros.hpp>

#include "fake/tensor.hpp"
#include "tacit/callbacks/lambda.hpp"
#include "tacit/train/trainer.hpp"

// What a composition makes of its arguments, where only a run can tell.

namespace compose_tests {
namespace {

namespace event = tacit::event;
using tacit::CallbackPack;

struct Count {
  int updates = 0;
  void on(event::UpdateEnd const&, auto&) { ++updates; }
};
struct Numbered : fake::Gpu {
  int index = 3;
};
using Supervised = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;

auto model() { return std::make_shared<fake::Linear>(); }
fake::Line const data{8};
tacit::TrainOptions const once{.epochs = 1, .per_device_batch_size = 4};

struct Output {
  fake::Tensor loss;
};

fake::Tensor plain_loss(fake::Tensor const& prediction, fake::Tensor const& target) { return fake::MeanSquaredError{}(prediction, target); }

/// A task of its own: no base class, a step and the parts that the trainer asks for.
struct Autoencoder {
  using slot = tacit::slot::task;
  using tensor_type = fake::Tensor;
  std::shared_ptr<fake::Linear> model;
  fake::Sgd optimizer{};
  int steps = 0;
  Output train_step(fake::Batch const& batch, auto&) {
    ++steps;
    return {fake::mean((model->forward(batch.input) - batch.input) * (model->forward(batch.input) - batch.input))};
  }
};

}  // namespace

TEST_CASE("policies written into the full form are made by default where no argument gives them") {
  tacit::Trainer<Supervised, Numbered, tacit::Fp32, tacit::SingleProcess, CallbackPack<Count>> trainer{model(), fake::MeanSquaredError{}, fake::Sgd{}};
  CHECK(trainer.train(data, once).updates == tacit::Updates{2});
  CHECK(trainer.describe().find("Numbered (fake gpu)") != std::string::npos);
  CHECK(trainer.describe().find("Count") != std::string::npos);
}

TEST_CASE("arguments and the full form may both name a policy") {
  Count count;
  tacit::Trainer<Supervised, fake::Gpu, tacit::Fp32, tacit::SingleProcess, CallbackPack<std::reference_wrapper<Count>>> trainer{
      model(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{std::ref(count)}, fake::Gpu{}};
  trainer.train(data, once);
  CHECK(count.updates == 2);
}

TEST_CASE("a pack may be given for its eval sets to be added") {
  tacit::Trainer<Supervised, tacit::Cpu, tacit::Fp32, tacit::SingleProcess, CallbackPack<Count, tacit::eval_sets<"noisy">>> trainer{
      model(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"noisy">{}, CallbackPack{Count{}}};
  auto const result = trainer.train(data, data, once, tacit::eval_data<"noisy">(data));
  CHECK(result[tacit::on<"noisy", tacit::tag::eval_loss>{}] == result[tacit::tag::eval_loss{}]);

  tacit::Trainer<Supervised, tacit::Cpu, tacit::Fp32, tacit::SingleProcess, CallbackPack<Count, tacit::eval_sets<"noisy">>> by_default{
      model(), fake::MeanSquaredError{}, fake::Sgd{}};
  CHECK(by_default.train(data, data, once, tacit::eval_data<"noisy">(data)).updates == tacit::Updates{2});
}

TEST_CASE("a task of one's own needs no base class") {
  tacit::Trainer trainer{Autoencoder{.model = model()}, CallbackPack{}};
  auto const before = trainer.model().weight.item();
  trainer.train(data, once);
  CHECK(trainer.model().weight.item() != before);
  CHECK(trainer.evaluate(data)[tacit::tag::eval_loss{}] > 0.0);
  CHECK(trainer.task().steps == 3);  // two in training, one in evaluation
}

TEST_CASE("lambdas with captures are steps and losses too") {
  double seen = 0.0;
  auto step = tacit::stateful(
      [&seen](auto& net, fake::Batch const& batch, auto&, std::int64_t& calls) {
        seen = static_cast<double>(++calls);
        return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
      },
      std::int64_t{10});
  tacit::Trainer trainer{tacit::Task{model(), fake::Sgd{}, step}, CallbackPack{}};
  trainer.train(data, once);
  CHECK(seen == 12.0);

  int calls = 0;
  auto loss = tacit::stateless([&calls](fake::Tensor const& prediction, fake::Tensor const& target) {
    ++calls;
    return fake::mean((prediction - target) * (prediction - target));
  });
  tacit::Trainer other{model(), loss, fake::Sgd{}, CallbackPack{}};
  other.train(data, once);
  CHECK(calls == 2);
}

TEST_CASE("train and eval data may give different batches") {
  struct Images {
    fake::Tensor pixels;
  };
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input) - batch.target)}; };
  auto eval_step = [](fake::Linear& net, Images const& images, auto&) { return Output{fake::mean(net.forward(images.pixels))}; };
  tacit::Trainer trainer{tacit::Task{model(), fake::Sgd{}, step, eval_step}, CallbackPack{}};
  std::vector<Images> const images(2, Images{fake::Tensor{std::vector<double>{1.0}}});
  tacit::TrainOptions const options{.epochs = 1};
  auto const trained = trainer.train(data, images, options);
  CHECK(trained[tacit::tag::eval_loss{}] == trainer.evaluate(images)[tacit::tag::eval_loss{}]);
}

TEST_CASE("T12: a plain function is a loss, by its name or by its address") {
  auto const trained = [](auto&& loss) {
    auto net = model();
    tacit::Trainer trainer{net, loss, fake::Sgd{}, CallbackPack{}};
    trainer.train(data, once);
    return net->weight.item();
  };
  double const wanted = trained(fake::MeanSquaredError{});
  CHECK(trained(plain_loss) == wanted);
  CHECK(trained(&plain_loss) == wanted);
  auto net = model();
  tacit::Trainer trainer{net, plain_loss, fake::Sgd{}, CallbackPack{}};
  static_assert(std::same_as<tacit::trainer_of<fake::Linear, decltype(plain_loss), fake::Sgd, CallbackPack<>>, decltype(trainer)>);
  trainer.train(data, once);
  CHECK(net->weight.item() == wanted);
}

}  // namespace compose_tests
