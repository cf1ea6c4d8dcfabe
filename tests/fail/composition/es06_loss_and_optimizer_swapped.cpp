// expect: TACIT-ES06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  auto model = std::make_shared<fake::Linear>();
#ifdef FIX
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{model, fake::Sgd{}, fake::MeanSquaredError{}, tacit::CallbackPack{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
