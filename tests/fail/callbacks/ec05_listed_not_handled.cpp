// expect: TACIT-EC05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  using events = tacit::event::list<tacit::event::TrainEpochEnd, tacit::event::EvalEpochEnd>;
  void on(tacit::event::TrainEpochEnd const&, auto&) {}
#ifdef FIX
  void on(tacit::event::EvalEpochEnd const&, auto&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
