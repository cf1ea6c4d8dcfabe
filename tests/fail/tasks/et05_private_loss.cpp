// expect: TACIT-ET05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
#ifndef FIX
 private:
#endif
  fake::Tensor loss(fake::Tensor const& prediction, fake::Tensor const& target, auto&) { return fake::mean(prediction - target); }
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
