// expect-text: deleted
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// This makes no second trainer of the first one.
int main() {
  tacit::Trainer first{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#ifdef FIX
  auto& second{first};
#else
  tacit::Trainer second{first};
#endif
  second.train(fake::Line{8}, {.epochs = 1});
}
