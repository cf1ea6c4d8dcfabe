// expect: TACIT-EC27
// fault T20
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  using runs_last = tacit::runs_last;
#else
  static constexpr bool runs_last = true;
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
