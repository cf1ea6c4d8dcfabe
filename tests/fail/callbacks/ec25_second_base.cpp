// expect: TACIT-EC25
// fault T8
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Counts {
  int count = 0;
};
struct Base {
  void on(tacit::event::EvalEpochEnd const&, auto&) {}
};
struct Watch : Counts, Base {
  double sum = 0.0;
#ifdef FIX
  using Base::on;
#endif
  void on(tacit::event::TrainStepEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
