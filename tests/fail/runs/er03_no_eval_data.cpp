// expect: TACIT-ER03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  fake::Line const data{8};
#ifdef FIX
  trainer.train(data, data, {.epochs = 1});
#else
  trainer.train(data, 8, {.epochs = 1});
#endif
}
