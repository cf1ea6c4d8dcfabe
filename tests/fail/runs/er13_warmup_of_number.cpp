// expect: TACIT-ER13
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                         tacit::CallbackPack{}};
#ifdef FIX
  trainer.train(fake::Line{8}, {.epochs = 1}, tacit::lr(tacit::schedule::warmup(tacit::Updates{100})));
#else
  trainer.train(fake::Line{8}, {.epochs = 1}, tacit::lr(tacit::schedule::warmup(100)));
#endif
}
