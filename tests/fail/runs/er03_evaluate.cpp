// expect: TACIT-ER03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  fake::Line const data{8};
#ifdef FIX
  trainer.evaluate(data);
#else
  trainer.evaluate(32);
#endif
}
