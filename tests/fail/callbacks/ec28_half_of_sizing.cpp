// expect: TACIT-EC28
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  tacit::Samples micro_batch_rows() const { return 2; }
  void halved(tacit::Samples, tacit::Sink const&, tacit::Progress const&) {}
#else
  tacit::Samples micro_batch_rows() const { return 2; }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
