// expect: TACIT-ET23
// fault U4
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  auto forward(fake::Tensor const& input, auto&) { return model->forward(input); }
#ifndef FIX
  void eval_epoch_end() {}
#endif
};

int main() {
  tacit::Trainer trainer{Mine{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
