// expect: TACIT-EC01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// Written for one trainer only, and then used with another.
struct MyContext {
  fake::Tensor loss;
};
struct Watch {
#ifdef FIX
  void on(tacit::event::TrainLossComputed const&, auto& context) { last = context.loss().tensor(); }
#else
  void on(tacit::event::TrainLossComputed const&, MyContext& context) { last = context.loss; }
#endif
  fake::Tensor last{};
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
