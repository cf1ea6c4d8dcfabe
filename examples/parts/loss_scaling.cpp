// float16 training with the loss scaler in a loop of one's own, and the same run by the trainer: every loss and every weight
// agree to the last bit.
// expect: ^losses and weights are the same bits: yes

#include <torch/torch.h>
#include <tacit/policy/precision/autocast.hpp>
#include <tacit/policy/precision/grad_scaler.hpp>
#include <tacit/task/optim/sgd.hpp>

#include <tacit/tacit.hpp>  // for the trainer beside it alone

#include <cstdint>
#include <cstring>
#include <iostream>
#include <memory>
#include <vector>

struct Net : torch::nn::Module {
  torch::nn::Linear hidden{register_module("hidden", torch::nn::Linear(8, 32))};
  torch::nn::Linear output{register_module("output", torch::nn::Linear(32, 1))};

  torch::Tensor forward(torch::Tensor const& x) { return output(torch::relu(hidden(x))); }
};

constexpr std::int64_t batch_size = 16;
constexpr double first_scale = 16777216.0;  // too large on purpose: the first updates are skipped

// [loop]
std::vector<double> by_hand(Net& net, torch::Tensor const& inputs, torch::Tensor const& targets, int epochs) {
  auto parameters = tacit::parameters_of(net);
  auto optimizer = tacit::optim::Sgd{.lr = 0.01, .momentum = 0.9}.bind(parameters);
  tacit::GradScaler scaler{{.initial = first_scale}};
  std::vector<double> losses;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    double sum = 0.0;
    for (std::int64_t at = 0; at < inputs.size(0); at += batch_size) {
      auto const batch = inputs.narrow(0, at, batch_size);
      torch::Tensor loss;
      {
        tacit::AutocastScope const half{torch::kCPU, torch::kHalf};
        loss = torch::mse_loss(net.forward(batch), targets.narrow(0, at, batch_size));
      }
      sum += loss.item<double>() * batch_size;
      scaler.backward(loss);
      optimizer.step(parameters, {.mask = &scaler.unscale(parameters)});  // an infinity leaves all as it is
      scaler.update();
      parameters.clear_gradients();
    }
    losses.push_back(sum / static_cast<double>(inputs.size(0)));
  }
  std::cout << "scale " << scaler.scale().item<double>() << " after " << scaler.skipped().item<double>() << " skipped updates\n";
  return losses;
}
// [/loop]

std::vector<double> by_trainer(std::shared_ptr<Net> net, torch::Tensor const& inputs, torch::Tensor const& targets, int epochs) {
  tacit::Trainer trainer{std::move(net), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.01, .momentum = 0.9},
                         tacit::Fp16{.scale = {.initial = first_scale}}, tacit::CallbackPack{}};
  tacit::data::TensorDataset const data{inputs, targets};
  auto batches = tacit::data::loader(data, {.batch_size = batch_size});
  trainer.train(batches, {.epochs = epochs});
  std::vector<double> losses;
  for (auto const& loss : trainer.history().values(tacit::tag::train_loss{})) losses.push_back(loss.value);
  return losses;
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
  auto const hand = by_hand(*one, inputs, targets, 6);
  auto const trained = by_trainer(two, inputs, targets, 6);
  bool same = hand == trained;
  for (auto& parameter : two->named_parameters()) same = same && parameter.value().equal(one->named_parameters()[parameter.key()]);
  for (double const loss : hand) std::cout << "loss " << loss << "\n";
  std::cout << "losses and weights are the same bits: " << (same ? "yes" : "no") << "\n";
}
