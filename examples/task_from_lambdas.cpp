// A task from a lambda: a network with two heads and a loss for each. The step returns any struct with a tensor `loss`;
// its other members reach the callbacks, typed. Data set and batch are plain structs too.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <cstdint>
#include <iostream>
#include <span>

/// Tells of points in the plane in which quadrant they lie, and how far from the origin.
struct TwoHeads : torch::nn::Module {
  torch::nn::Linear trunk{register_module("trunk", torch::nn::Linear(2, 64))};
  torch::nn::Linear quadrant{register_module("quadrant", torch::nn::Linear(64, 4))};
  torch::nn::Linear radius{register_module("radius", torch::nn::Linear(64, 1))};

  struct Output {
    torch::Tensor quadrant, radius;
  };
  Output forward(torch::Tensor const& points) {
    auto const features = torch::relu(trunk(points));
    return {quadrant(features), radius(features).squeeze(1)};
  }
};

// [data]
struct Batch {
  torch::Tensor points, quadrant, radius;
};

struct Plane {
  torch::Tensor points;

  std::int64_t size() const { return points.size(0); }
  Batch get_batch(std::span<std::int64_t const> indices) const {
    auto const chosen = points.index_select(0, torch::tensor(c10::IntArrayRef{indices.data(), indices.size()}));
    auto const positive = (chosen > 0).to(torch::kLong);
    return {chosen, positive.select(1, 0) + 2 * positive.select(1, 1), chosen.norm(2, 1)};
  }
};
// [/data]

// [task]
struct Losses {
  torch::Tensor loss, quadrant, radius;
};

auto two_losses = [](TwoHeads& net, Batch const& batch, auto&) {
  auto const [quadrant, radius] = net.forward(batch.points);
  auto const quadrant_loss = torch::nn::functional::cross_entropy(quadrant, batch.quadrant);
  auto const radius_loss = torch::nn::functional::mse_loss(radius, batch.radius);
  return Losses{quadrant_loss + radius_loss, quadrant_loss, radius_loss};
};
// [/task]

// [callback]
struct quadrant_loss : tacit::Metric<"quadrant_loss"> {};
struct radius_loss : tacit::Metric<"radius_loss"> {};

struct TrackHeads {
  using records = tacit::records<quadrant_loss, radius_loss>;
  tacit::Mean quadrant{}, radius{};

  void on(tacit::event::EvalEpochStart const&, auto&) {
    quadrant.reset();
    radius.reset();
  }
  void on(tacit::event::EvalStepEnd const&, auto& context) {
    auto const samples = static_cast<double>(context.batch().points.size(0));
    quadrant.add(context.output().quadrant, samples);
    radius.add(context.output().radius, samples);
  }
  void on(tacit::event::EvalEpochEnd const&, auto& context) {
    context.record(quadrant_loss{}, quadrant);
    context.record(radius_loss{}, radius);
  }
};
// [/callback]

int main() {
  torch::manual_seed(1);
  Plane const train{torch::randn({2048, 2})};
  Plane const valid{torch::randn({512, 2})};

  // [use]
  tacit::Trainer trainer{tacit::Task{std::make_shared<TwoHeads>(), tacit::optim::AdamW{.lr = 0.01}, two_losses}, tacit::CallbackPack{TrackHeads{}}};
  auto const result = trainer.train(train, valid, {.epochs = 5, .per_device_batch_size = 32});
  // [/use]
  std::cout << trainer.describe();

  std::cout << "eval loss " << result[tacit::tag::eval_loss{}] << " = quadrant " << result[quadrant_loss{}] << " + radius "
            << result[radius_loss{}] << "\n";
  return result[quadrant_loss{}] < 0.3 && result[radius_loss{}] < 0.05 ? 0 : 1;
}
