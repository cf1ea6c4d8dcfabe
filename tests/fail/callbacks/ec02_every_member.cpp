// expect: TACIT-EC02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// The task is known even where a callback is at fault: what is done with it later still compiles.
struct Watch {
#ifdef FIX
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  fake::Line const data{8};
  trainer.train(data, {.epochs = 1});
  trainer.train(data, data, {.epochs = 2});
  double const loss = trainer.evaluate(data)[tacit::tag::eval_loss{}];
  double const weight = trainer.model().weight.item() + trainer.view().model().bias.item();
  double const lr = trainer.task().optimizer.lr + trainer.view().task().optimizer.lr;
  return loss < weight && lr > 0.0 ? 0 : 1;
}
