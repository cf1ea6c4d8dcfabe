// expect: TACIT-ER06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#ifdef FIX
  trainer.train(fake::Line{8}, {.epochs = 1}, tacit::momentum(tacit::schedule::constant(0.5)));
#else
  trainer.train(fake::Line{8}, {.epochs = 1}, tacit::weight_decay(tacit::schedule::constant(0.5)));
#endif
}
