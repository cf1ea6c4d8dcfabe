// expect: TACIT-ES01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Tpu : tacit::Cpu {
#ifndef FIX
  using slot = void;
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Tpu{}, tacit::CallbackPack{}};
  auto result = trainer.train(fake::Line{8}, fake::Line{4}, {.epochs = 1});
  return result[tacit::tag::train_loss{}] < 1.0 ? 0 : 1;
}
