// expect: TACIT-ET09
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

#ifdef FIX
using Net = fake::Linear;
#else
struct Net {
  fake::Tensor weight{{0.5}, true};
  fake::Tensor forward(fake::Tensor const& input) { return weight * input; }
};
#endif

int main() {
  tacit::Trainer trainer{std::make_shared<Net>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
