// expect: TACIT-EC24
// fault T8
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  void on(tacit::event::UpdateEnd const&, auto&) {}
#else
  void on(tacit::event::Of<"discriminator", tacit::event::UpdateEnd> const&, auto&) {}
  void on(tacit::event::Of<"generator", tacit::event::UpdateEnd> const&, auto&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
