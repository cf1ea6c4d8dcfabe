// expect: TACIT-ER05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  fake::Line const data{8};
#ifdef FIX
  trainer.train(data, {.epochs = 8});
#else
  trainer.train(data);
#endif
}
