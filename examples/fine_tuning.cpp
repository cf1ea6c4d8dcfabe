// Fine-tuning: a network learnt one task; its head learns another while the body is frozen, then the body joins with a tenth
// of the rate. The body's batch norm keeps its statistics while it is frozen.
// expect: ^frozen +norm, body
// expect: ^epoch +6/6
// expect: ^trained at the end 8 tensors

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <cstdint>
#include <iostream>
#include <memory>

struct Net : torch::nn::Module {
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(8))};
  torch::nn::Linear body{register_module("body", torch::nn::Linear(8, 32))};
  torch::nn::Linear neck{register_module("neck", torch::nn::Linear(32, 16))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(16, 1))};

  torch::Tensor forward(torch::Tensor const& x) { return head(torch::relu(neck(torch::relu(body(norm(x)))))); }
};

// [unfreeze]
/// Lets the groups in as training goes on: their parameters are new to the optimizer, the others keep their state.
struct UnfreezeAt {
  tacit::ModelFreezer<Net>& freezer;
  std::int64_t epoch = 0;

  void on(tacit::event::TrainingRunEpochStart const& event, auto& context) {
    if (event.epoch.value() != epoch) return;
    context.change_parameters([this](auto& parameters) { freezer.unfreeze(parameters); });
  }
};
// [/unfreeze]

int main() {
  torch::manual_seed(1);
  auto const inputs = torch::randn({2048, 8});
  tacit::data::TensorDataset const first_task{inputs, inputs.pow(2).sum(1, true)};
  tacit::data::TensorDataset const second_task{inputs.narrow(0, 0, 256), inputs.narrow(0, 0, 256).pow(2).narrow(1, 0, 4).sum(1, true)};

  auto net = std::make_shared<Net>();
  {
    tacit::Trainer before{net, tacit::loss::Mse{}, tacit::optim::AdamW{.lr = 1e-2}, tacit::CallbackPack{}};
    before.train(first_task, {.epochs = 5, .per_device_batch_size = 32});
  }

  // [freeze]
  tacit::ModelFreezer freezer{*net, {.batch_norms = true}};
  freezer.freeze(0, -3);  // the first group to the third from the end: norm and body
  // [/freeze]
  std::cout << "frozen";
  for (auto const& group : freezer.groups()) {
    if (group.is_frozen) std::cout << (group.index == 0 ? " " : ", ") << group.name;
  }
  std::cout << "\n";

  // [train]
  tacit::optim::Groups<tacit::optim::AdamW> optimizer{.base = {.lr = 1e-3}, .groups = {{.name = "new", .takes = tacit::optim::named("head."), .options = {.lr = 1e-2}}}};
  tacit::Trainer trainer{net, tacit::loss::Mse{}, optimizer,
                         tacit::CallbackPack{tacit::default_callbacks, tacit::KeepFrozenNorms{}, UnfreezeAt{freezer, 3}}};
  trainer.train(second_task, {.epochs = 6, .per_device_batch_size = 32});
  // [/train]
  std::cout << "trained at the end " << trainer.view().parameters().size() << " tensors\n";
}
