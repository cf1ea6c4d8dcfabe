// expect: TACIT-ET05
// fault T20
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  auto train_step(fake::Batch const& batch, auto& context) { return tacit::default_train_step(*this, batch, context); }
#ifdef FIX
  fake::Tensor loss(fake::Tensor const& prediction, fake::Tensor const& target, auto&) { return criterion(prediction, target); }
#else
  fake::Tensor loss(fake::Tensor const& prediction, auto&) { return prediction; }
#endif
};

int main() {
  tacit::Trainer trainer{Mine{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
