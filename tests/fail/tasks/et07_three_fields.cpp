// expect: TACIT-ET07
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Sample {
#ifdef FIX
  fake::Tensor input;
  fake::Tensor target;
#else
  fake::Tensor image;
  fake::Tensor label;
#endif
  fake::Tensor weight;
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(std::vector<Sample>(3), {.epochs = 1});
  trainer.evaluate(std::vector<Sample>(3));
}
