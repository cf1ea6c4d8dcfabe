// expect: TACIT-ET08
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Classes {
  fake::Tensor operator()(fake::Tensor const& prediction, std::vector<int> const& labels) const;
};

int main() {
#ifdef FIX
  fake::MeanSquaredError loss;
#else
  Classes loss;
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), loss, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
