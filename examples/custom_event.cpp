// Events of one's own: one callback finds a loss far above the usual and emits `LossSpike`; another one, which knows nothing
// of the first, keeps what it is told. Events are plain structs; any context of the library's own events can emit them.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <iostream>
#include <vector>

// [event]
struct LossSpike {
  tacit::UpdateIndex update;
  double loss;
  double usual;
};
// [/event]

// [emit]
struct FindSpikes {
  double factor = 10.0;
  double usual = 0.0;  // a running mean; 0 before the first loss

  void on(tacit::event::TrainLossComputed const& event, auto& context) {
    auto const* log_point = context.log_point();
    if (log_point == nullptr) return;
    double const loss = context.loss().read(*log_point);
    if (usual != 0.0 && loss > factor * usual) {
      context.emit(LossSpike{event.update, loss, usual});
      context.mask_update();  // this batch shall not spoil the model
    } else {
      usual = usual == 0.0 ? loss : 0.9 * usual + 0.1 * loss;
    }
  }
};
// [/emit]

// [listen]
struct KeepSpikes {
  using events = tacit::event::list<LossSpike>;  // events of one's own are handled by those that list them
  std::vector<LossSpike> found{};

  void on(LossSpike const& spike, auto&) { found.push_back(spike); }
};
// [/listen]

int main() {
  torch::manual_seed(1);
  auto const x = torch::rand({640, 1});
  auto y = 3.0 * x + 0.1 * torch::randn({640, 1});
  y.slice(0, 320, 352) *= 1000.0;  // the tenth batch of 32 is broken
  tacit::data::TensorDataset const line{x, y};

  KeepSpikes spikes;
  tacit::Trainer trainer{torch::nn::Linear(1, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1},
                         tacit::CallbackPack{FindSpikes{.factor = 100.0}, std::ref(spikes)}};
  std::cout << trainer.describe();
  // A loader of one's own keeps the samples in their order.
  trainer.train(tacit::data::loader(line, {.batch_size = 32}), {.epochs = 1});

  for (LossSpike const& spike : spikes.found) {
    std::cout << "update " << spike.update.value() << ": loss " << spike.loss << ", usually " << spike.usual << "\n";
  }
  double const slope = trainer.model().weight.item<double>();
  std::cout << "slope " << slope << "\n";
  bool const found_it = spikes.found.size() == 1 && spikes.found.front().update == tacit::UpdateIndex{10};
  return found_it && slope > 0.0 && slope < 6.0 ? 0 : 1;
}
