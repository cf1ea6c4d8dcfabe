// expect: TACIT-ET06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  using overrides = tacit::list<tacit::override::forward, tacit::override::loss>;
  fake::Tensor forward(fake::Tensor const& input, auto&) { return model->forward(input); }
#ifdef FIX
  fake::Tensor loss(fake::Tensor const& prediction, fake::Tensor const& target, auto&) { return fake::mean(prediction - target); }
#else
  fake::Tensor losses(fake::Tensor const& prediction, fake::Tensor const& target, auto&) { return fake::mean(prediction - target); }
#endif
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
