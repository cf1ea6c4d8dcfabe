// A callback of one's own is any type with `on(event, context)`. This one draws the losses of every epoch as a line of
// blocks, and ends the run once the loss is low enough.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

/// One block per loss, from 0 (blank) to 1 (full).
std::string drawn(std::vector<double> const& losses) {
  static constexpr char const* blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string line;
  for (double const loss : losses) line += blocks[static_cast<std::size_t>(std::clamp(loss, 0.0, 1.0) * 8.0)];
  return line;
}

// [sparkline]
struct Sparkline {
  double enough = 0.0;
  std::vector<double> losses{};

  void on(tacit::event::TrainEpochStart const&, auto&) { losses.clear(); }

  void on(tacit::event::TrainLossComputed const&, auto& context) {
    // A log point is the right to read the device: at every update on the CPU, at every 50th on a GPU.
    if (auto const* log_point = context.log_point()) losses.push_back(context.loss().read(*log_point));
  }

  tacit::Flow on(tacit::event::TrainEpochEnd const& event, auto& context) {
    double const loss = context.latest(tacit::tag::train_loss{});
    context.sink().write("epoch " + std::to_string(event.epoch.value() + 1) + " |" + drawn(losses) + "| " + std::to_string(loss) + "\n");
    return loss < enough ? tacit::Flow::stop_run : tacit::Flow::proceed;
  }
};
// [/sparkline]

int main() {
  torch::manual_seed(1);
  // Two classes of points: inside the unit circle, and outside of it.
  auto const points = torch::randn({1024, 2});
  tacit::data::TensorDataset const circle{points, (points.norm(2, 1) > 1.0).to(torch::kLong)};
  torch::nn::Sequential const model{torch::nn::Linear(2, 32), torch::nn::ReLU(), torch::nn::Linear(32, 2)};

  // [use]
  tacit::Trainer trainer{model, tacit::loss::CrossEntropy{}, tacit::optim::AdamW{.lr = 0.02}, tacit::CallbackPack{Sparkline{.enough = 0.1}}};
  tacit::RunResult const result = trainer.train(circle, {.epochs = 40, .per_device_batch_size = 32});
  // [/use]
  std::cout << trainer.describe();

  std::cout << to_string(result.reason) << " after " << result.epochs.value() << " epochs\n";
  return result.reason == tacit::StopReason::callback && result.epochs < tacit::Epochs{40} ? 0 : 1;
}
