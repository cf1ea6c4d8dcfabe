// expect: TACIT-EC26
// fault T8
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  void on(tacit::event::Aborted<tacit::stage::Update> const&, auto&) {}
#else
  void on(tacit::event::Aborted<tacit::event::UpdateEnd> const&, auto&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
