// Checkpoints in a loop of one's own: stopped in the middle of an epoch and resumed, it ends with the same bits.
// expect: ^resumed at update 30 of 64
// expect: ^weights are the same bits: yes
// expect: ^checkpoints: checkpoint-0000000060 checkpoint-0000000064

#include <torch/torch.h>
#include <tacit/data/loader.hpp>
#include <tacit/data/tensor_dataset.hpp>
#include <tacit/state/module_state.hpp>
#include <tacit/state/optimizer_state.hpp>
#include <tacit/state/torch/tensor.hpp>
#include <tacit/task/optim/adamw.hpp>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string_view>

struct Net : torch::nn::Module {
  torch::nn::Linear hidden{register_module("hidden", torch::nn::Linear(8, 32))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(32))};
  torch::nn::Dropout drop{register_module("drop", torch::nn::Dropout(0.2))};
  torch::nn::Linear output{register_module("output", torch::nn::Linear(32, 1))};

  torch::Tensor forward(torch::Tensor const& x) { return output(drop(torch::relu(norm(hidden(x))))); }
};

// [progress]
struct Progress {
  static constexpr std::string_view state_name = "progress";
  std::int64_t update = 0;
  static void visit_state(auto& self, auto&& visit) { visit("update", self.update); }
};
// [/progress]

// [loop]
void train(Net& net, tacit::data::TensorDataset const& data, std::filesystem::path const& directory, std::int64_t updates, std::int64_t stop_at) {
  auto parameters = tacit::parameters_of(net);
  auto optimizer = tacit::optim::AdamW{.lr = 1e-2}.bind(parameters);
  auto batches = tacit::data::loader(data, {.batch_size = 16, .shuffle = true, .seed = 42});

  Progress progress;
  tacit::ModuleState model{net};                                  // parameters and buffers
  tacit::OptimizerState optimizer_state{optimizer, parameters};   // moments, counts, options
  tacit::GeneratorState random;                                   // what dropout draws from

  tacit::CheckpointWriter writer{directory, {.last = 2}};
  if (auto const found = tacit::find_newest_checkpoint(directory)) {
    std::cout << found->note();  // says which were damaged
    tacit::load_state(found->checkpoint, {}, model, optimizer_state, random, progress);
    std::cout << "resumed at update " << progress.update << " of " << updates << "\n";
  }
  while (progress.update < updates) {
    batches.start_epoch(0, tacit::EpochIndex{progress.update / batches.size()});  // the order is a function of seed and epoch
    batches.seek(progress.update % batches.size());
    for (std::optional<tacit::data::Batch> batch; progress.update < updates && batches.next(batch);) {
      torch::mse_loss(net.forward(batch->input), batch->target).backward();
      optimizer.step(parameters);
      parameters.clear_gradients();
      ++progress.update;
      if (progress.update % 10 == 0 || progress.update == updates) {
        tacit::save_state(writer, progress.update, {}, model, optimizer_state, random, progress);
      }
      if (progress.update == stop_at) return;
    }
  }
}
// [/loop]

int main() {
  torch::manual_seed(1);
  auto const inputs = torch::randn({400, 8});
  tacit::data::TensorDataset const data{inputs, inputs.sum(1, true)};
  std::filesystem::remove_all("checkpoints");

  auto const fresh = [] {
    torch::manual_seed(2);
    return Net{};
  };
  Net whole = fresh();
  train(whole, data, "checkpoints/whole", 64, -1);

  Net stopped = fresh();
  train(stopped, data, "checkpoints/stopped", 64, 37);  // in the middle of the second epoch; the last checkpoint is of update 30
  torch::manual_seed(3);
  Net resumed;
  train(resumed, data, "checkpoints/stopped", 64, -1);

  bool same = true;
  for (auto const& item : whole.named_parameters()) same = same && item.value().equal(resumed.named_parameters()[item.key()]);
  for (auto const& item : whole.named_buffers()) same = same && item.value().equal(resumed.named_buffers()[item.key()]);
  std::cout << "weights are the same bits: " << (same ? "yes" : "no") << "\n";
  std::cout << "checkpoints:";
  for (auto const& name : tacit::list_checkpoints("checkpoints/stopped")) std::cout << " " << name;
  std::cout << "\n";
}
