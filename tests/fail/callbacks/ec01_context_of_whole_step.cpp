// expect: TACIT-EC01
// fault T3
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  template <class Run, unsigned Parts, std::size_t Phase>
  void on(tacit::event::UpdateEnd const&, tacit::Context<Run, Parts, Phase>&) {}
#else
  template <class Run, unsigned Parts>
  void on(tacit::event::UpdateEnd const&, tacit::Context<Run, Parts>&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
