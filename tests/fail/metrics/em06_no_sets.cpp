// expect: TACIT-EM06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"noisy">{}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#endif
  fake::Line const data{8};
  trainer.train(data, data, {.epochs = 1}, tacit::eval_data<"noisy">(data));
}
