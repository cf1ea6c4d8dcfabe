// expect: TACIT-ES08
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct WeightedError : fake::MeanSquaredError {
  std::unique_ptr<double> weight = std::make_unique<double>(1.0);
};

int main() {
  WeightedError loss;
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), std::move(loss), fake::Sgd{}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), loss, fake::Sgd{}, tacit::CallbackPack{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
