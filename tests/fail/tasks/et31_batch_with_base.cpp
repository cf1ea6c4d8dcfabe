// expect: TACIT-ET31
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Image {
  fake::Tensor image;
};
#ifdef FIX
struct Labelled {
  fake::Tensor image;
  fake::Tensor label;
};
#else
struct Labelled : Image {
  fake::Tensor label;
};
#endif

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(std::vector<Labelled>(3), {.epochs = 1});
}
