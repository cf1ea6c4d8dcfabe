// expect: TACIT-ET03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Image {
  fake::Tensor pixels;
};
struct Sample {
#ifdef FIX
  fake::Tensor input;
#else
  Image input;
#endif
  fake::Tensor target;
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(std::vector<Sample>(3), {.epochs = 1});
}
