// expect: TACIT-EC07
// fault T20
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
#ifndef FIX
  using runs_after = tacit::runs_after<Watch>;
#endif
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
