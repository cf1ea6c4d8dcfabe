// expect: TACIT-ET03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// The task states its batch, so the constructor alone finds the mistake.
struct Words {
  std::vector<int> input;
  fake::Tensor target;
};
struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  using batch_type = Words;
  fake::Tensor loss(fake::Tensor const& prediction, fake::Tensor const& target, auto&) { return fake::mean(prediction - target); }
#ifdef FIX
  fake::Tensor forward(std::vector<int> const&, auto&) { return model->forward(fake::Tensor{{0.5}}); }
#endif
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  static_cast<void>(trainer.history());
}
