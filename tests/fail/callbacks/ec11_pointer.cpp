// expect: TACIT-EC11
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
#ifdef FIX
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#else
  void on(tacit::event::TrainStepEnd const*, auto&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
