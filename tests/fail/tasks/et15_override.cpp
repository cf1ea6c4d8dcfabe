// expect: TACIT-ET15
// fault T13
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
#ifdef FIX
  fake::Tensor loss(fake::Tensor const& prediction, fake::Tensor const& target, auto&) { return criterion(prediction, target); }
#else
  void loss(fake::Tensor const& prediction, fake::Tensor const& target, auto&) { criterion(prediction, target); }
#endif
};

int main() {
  tacit::Trainer trainer{Mine{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
