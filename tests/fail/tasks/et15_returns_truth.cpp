// expect: TACIT-ET15
// fault T13
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  auto loss = [](fake::Tensor const& prediction, fake::Tensor const& target) { return fake::mean(prediction - target); };
#else
  auto loss = [](fake::Tensor const& prediction, fake::Tensor const& target) { return prediction.values() == target.values(); };
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), loss, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
