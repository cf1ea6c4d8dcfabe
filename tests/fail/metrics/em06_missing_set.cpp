// expect: TACIT-EM06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"clean", "noisy">{}, tacit::CallbackPack{}};
  fake::Line const data{8};
#ifdef FIX
  trainer.train(data, data, {.epochs = 1}, tacit::eval_data<"clean">(data), tacit::eval_data<"noisy">(data));
#else
  trainer.train(data, data, {.epochs = 1}, tacit::eval_data<"clean">(data));
#endif
}
