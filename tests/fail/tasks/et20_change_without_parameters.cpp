// expect: TACIT-ET20
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;

struct Freeze {
  void on(event::TrainingRunStart const&, auto& context) {
#ifdef FIX
    context.change_parameters([](auto& all) { all.remove("bias"); });
#else
    context.change_parameters([] {});
#endif
  }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Freeze{}}};
  trainer.train(fake::Line{8}, {.epochs = 1, .per_device_batch_size = 2});
}
