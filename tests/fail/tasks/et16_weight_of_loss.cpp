// expect: TACIT-ET16
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Loss {
  fake::Tensor operator()(fake::Tensor const& prediction, fake::Tensor const& target) const { return fake::mean(prediction - target); }
#ifdef FIX
  double weight(fake::Tensor const& target) const { return static_cast<double>(target.values().size()); }
#else
  double weight() const { return 1.0; }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), Loss{}, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
