// An average of the weights in a loop of one's own, and the same run by the trainer with the callback Ema: every weight of
// the averages agrees to the last bit.
// expect: ^averages are the same bits: yes
// expect: ^epoch +4/4.*ema/eval_loss

#include <torch/torch.h>
#include <tacit/task/aten.hpp>
#include <tacit/task/optim/sgd.hpp>
#include <tacit/task/parameter_set.hpp>
#include <tacit/task/weight_average.hpp>

#include <tacit/tacit.hpp>  // for the trainer beside it alone

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>

struct Net : torch::nn::Module {
  torch::nn::Linear hidden{register_module("hidden", torch::nn::Linear(8, 16))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(16))};
  torch::nn::Linear output{register_module("output", torch::nn::Linear(16, 1))};

  torch::Tensor forward(torch::Tensor const& x) { return output(torch::relu(norm(hidden(x)))); }
};

constexpr std::int64_t batch_size = 16;

// [loop]
void by_hand(Net& net, torch::Tensor const& inputs, torch::Tensor const& targets) {
  auto parameters = tacit::parameters_of(net);
  auto optimizer = tacit::optim::Sgd{.lr = 0.02}.bind(parameters);
  tacit::WeightAverage average{net};
  double updates = 0.0;
  for (int epoch = 0; epoch < 4; ++epoch) {
    net.train();
    for (std::int64_t at = 0; at < inputs.size(0); at += batch_size) {
      torch::mse_loss(net.forward(inputs.narrow(0, at, batch_size)), targets.narrow(0, at, batch_size)).backward();
      optimizer.step(parameters);
      parameters.clear_gradients();
      average.update(1.0 - std::min(0.99, (1.0 + updates) / (10.0 + updates)));
      updates += 1.0;
    }
    auto const averaged = average.swap();  // until the end of the scope the model has the average
    net.eval();
    torch::NoGradGuard const no_grad;
    std::cout << "loss of the average " << torch::mse_loss(net.forward(inputs), targets).item<double>() << "\n";
  }
  average.apply();  // for good
}
// [/loop]

void by_trainer(std::shared_ptr<Net> net, torch::Tensor const& inputs, torch::Tensor const& targets) {
  tacit::data::TensorDataset const data{inputs, targets};
  // [trainer]
  tacit::Trainer trainer{std::move(net), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.02},
                         tacit::CallbackPack{tacit::PrintProgress{}, tacit::Ema{.decay = 0.99, .leave_averaged = true}, tacit::LogMetrics{}}};
  // [/trainer]
  auto batches = tacit::data::loader(data, {.batch_size = batch_size});
  trainer.train(batches, data, {.epochs = 4, .eval_per_device_batch_size = 256});
}

int main() {
  torch::manual_seed(1);
  auto const inputs = torch::randn({256, 8});
  auto const targets = inputs.sum(1, true);
  auto const one = std::make_shared<Net>();
  auto const two = std::make_shared<Net>();
  {
    torch::NoGradGuard const no_grad;
    for (auto& parameter : two->named_parameters()) parameter.value().copy_(one->named_parameters()[parameter.key()]);
  }
  by_hand(*one, inputs, targets);
  by_trainer(two, inputs, targets);
  bool same = true;
  for (auto& parameter : two->named_parameters()) same = same && parameter.value().equal(one->named_parameters()[parameter.key()]);
  for (auto& buffer : two->named_buffers()) same = same && buffer.value().equal(one->named_buffers()[buffer.key()]);
  std::cout << "averages are the same bits: " << (same ? "yes" : "no") << "\n";
}
