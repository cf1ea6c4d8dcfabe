// expect: TACIT-EC06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
#ifdef FIX
  using events = tacit::event::list<tacit::event::TrainEpochEnd, tacit::event::EvalEpochEnd>;
#else
  using events = tacit::event::list<tacit::event::TrainEpochEnd>;
#endif
  void on(tacit::event::TrainEpochEnd const&, auto&) {}
  void on(tacit::event::EvalEpochEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
