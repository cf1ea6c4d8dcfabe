// expect: TACIT-ES04
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#else
  fake::Linear model;
  tacit::Trainer trainer{&model, fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
