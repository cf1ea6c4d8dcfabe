// expect: TACIT-EC14
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// The default callbacks come with the umbrella header, which this program does not include.
int main() {
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
