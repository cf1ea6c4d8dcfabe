// expect-text: error
// max-lines: 12
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// A class inside a function has no member templates: the compiler says so, and what follows is short (EC40).
#ifdef FIX
struct Local {
  void on(tacit::event::TrainEpochEnd const&, auto&) {}
};
#endif

int main() {
#ifndef FIX
  struct Local {
    void on(tacit::event::TrainEpochEnd const&, auto&) {}
  };
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                         tacit::CallbackPack{Local{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
