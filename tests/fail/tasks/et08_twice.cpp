// expect: TACIT-ET08
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// One mistake, met by every call: it is told once.
int main() {
#ifdef FIX
  auto loss = [](fake::Tensor const& prediction, fake::Tensor const& target) { return fake::mean(prediction - target); };
#else
  auto loss = [](fake::Tensor const& prediction) { return fake::mean(prediction); };
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), loss, fake::Sgd{}, tacit::CallbackPack{}};
  fake::Line const data{8};
  auto const result = trainer.train(data, {.epochs = 1});
  auto const longer = trainer.train(data, data, {.epochs = 2});
  auto const metrics = trainer.evaluate(data);
  return result.updates == longer.updates || metrics[tacit::tag::eval_loss{}] > 1.0 ? 1 : 0;
}
