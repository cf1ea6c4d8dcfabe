// Parameter groups and a schedule in a loop of one's own, and the same run by the trainer: every weight agrees to the last bit.
// expect: ^weights are the same bits: yes
// expect: ^head\.bias is in group no_decay

#include <torch/torch.h>
#include <tacit/schedule/field.hpp>
#include <tacit/task/optim/adamw.hpp>
#include <tacit/task/optim/groups.hpp>

#include <tacit/tacit.hpp>  // for the trainer beside it alone

#include <cstdint>
#include <iostream>
#include <memory>

struct Net : torch::nn::Module {
  torch::nn::Linear body{register_module("body", torch::nn::Linear(8, 16))};
  torch::nn::LayerNorm norm{register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({16})))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(16, 1))};

  torch::Tensor forward(torch::Tensor const& x) { return head(torch::relu(norm(body(x)))); }
};

constexpr std::int64_t batch_size = 16;
constexpr std::int64_t epochs = 4;

// [recipe]
// Biases and norms do not decay; the head learns five times as fast as the rest.
auto recipe() {
  tacit::optim::AdamW const adamw{.lr = 1e-2, .weight_decay = 0.1};
  auto groups = tacit::optim::no_decay_for_biases_and_norms(adamw);
  groups.groups.push_back({.name = "head", .takes = tacit::optim::named("head."), .options = {.lr = 5e-2, .weight_decay = 0.1}});
  return groups;
}
auto const curve = tacit::schedule::warmup(tacit::Updates{8}).then(tacit::schedule::cosine());
// [/recipe]

// [loop]
void by_hand(Net& net, torch::Tensor const& inputs, torch::Tensor const& targets) {
  auto parameters = tacit::parameters_of(net);
  auto optimizer = recipe().bind(parameters);
  std::int64_t const batches = inputs.size(0) / batch_size;
  auto const factor = tacit::schedule::resolve(curve, {.updates = epochs * batches, .updates_per_epoch = batches});
  for (std::int64_t update = 0; update < epochs * batches; ++update) {
    double const now = factor(tacit::UpdateIndex{update});
    optimizer.options("base").lr = 1e-2 * now;
    optimizer.options("no_decay").lr = 1e-2 * now;
    optimizer.options("head").lr = 5e-2 * now;
    std::int64_t const at = update % batches * batch_size;
    torch::mse_loss(net.forward(inputs.narrow(0, at, batch_size)), targets.narrow(0, at, batch_size)).backward();
    optimizer.step(parameters);
    parameters.clear_gradients();
  }
  for (auto const& parameter : parameters) {
    std::cout << parameter.name << " is in group " << (parameter.group < 2 ? recipe().groups[static_cast<std::size_t>(parameter.group)].name : "base") << "\n";
  }
}
// [/loop]

void by_trainer(std::shared_ptr<Net> net, torch::Tensor const& inputs, torch::Tensor const& targets) {
  // [trainer]
  tacit::Trainer trainer{std::move(net), tacit::loss::Mse{}, recipe(), tacit::CallbackPack{}};
  tacit::data::TensorDataset const data{inputs, targets};
  auto batches = tacit::data::loader(data, {.batch_size = batch_size});
  trainer.train(batches, {.epochs = epochs}, tacit::lr(curve));  // lr(curve, "head") for one group alone
  // [/trainer]
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
  std::cout << "weights are the same bits: " << (same ? "yes" : "no") << "\n";
}
