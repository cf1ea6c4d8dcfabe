// Schedules: bound to the length of a run, asked for a value, printed, and given to a trainer.

// expect: updates 100 to 999: cosine, 1 to
// expect: updates 500 to 949: constant, 1 to 1

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <iostream>

namespace schedule = tacit::schedule;
using tacit::Epochs;
using tacit::UpdateIndex;

int main() {
  // [bind]
  auto const recipe = schedule::warmup(Epochs{1}).then(schedule::cosine({.lowest = 0.01}));
  auto const bound = schedule::resolve(recipe, {.updates = 1000, .updates_per_epoch = 100});
  double const base = 0.1;
  double const rate = base * bound(UpdateIndex{50});  // what update 50 uses: 0.05
  // [/bind]
  if (rate != 0.05) return 1;
  std::cout << schedule::describe(bound) << "\n";

  // [constexpr]
  constexpr auto decay = schedule::resolve(schedule::wsd<2>(), {.updates = 1000});
  static_assert(decay(UpdateIndex{0}) == 1.0 && decay.phase(UpdateIndex{470}).begin == UpdateIndex{450});
  // [/constexpr]
  std::cout << schedule::describe(decay);

  torch::manual_seed(1);
  auto const x = torch::randn({256, 4});
  tacit::data::TensorDataset const train{x, x.sum(1, true)};
  tacit::data::TensorDataset const valid{x.slice(0, 0, 64), x.slice(0, 0, 64).sum(1, true)};
  // [train]
  tacit::Trainer trainer{torch::nn::Linear(4, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1, .momentum = 0.9},
                         tacit::CallbackPack{tacit::ReduceOnPlateau<tacit::tag::eval_loss>{.factor = 0.5, .patience = 2}}};
  auto const result = trainer.train(train, valid, {.epochs = 10, .per_device_batch_size = 32},
                                    tacit::lr(schedule::warmup(Epochs{1}).then(schedule::cosine())),
                                    tacit::momentum(schedule::linear(1.0, 0.8)));
  // [/train]
  std::cout << "eval loss " << result[tacit::tag::eval_loss{}] << "\n";
  return result[tacit::tag::eval_loss{}] < 1e-3 ? 0 : 1;
}
