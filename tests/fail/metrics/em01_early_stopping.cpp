// expect: TACIT-EM01
#include "fake/tensor.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  tacit::EarlyStopping<tacit::tag::eval_loss> stop{.patience = 3};
#else
  tacit::EarlyStopping<tacit::tag::accuracy> stop{.patience = 3};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{stop}};
  fake::Line const data{8};
  trainer.train(data, data, {.epochs = 1});
}
