// expect: TACIT-ET23
// fault U4
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  auto eval_step(auto const& batch, auto& context) { return tacit::default_eval_step(*this, batch, context); }
#ifndef FIX
  auto calculate_train_batch_loss(auto const& batch, auto& context) { return tacit::default_train_step(*this, batch, context); }
#endif
};

int main() {
  tacit::Trainer trainer{Mine{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
