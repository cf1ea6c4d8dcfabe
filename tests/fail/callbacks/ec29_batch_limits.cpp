// expect: TACIT-EC29
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  tacit::BatchLimits batch_limits() const { return {.train = 2}; }
#else
  int batch_limits() const { return 2; }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
