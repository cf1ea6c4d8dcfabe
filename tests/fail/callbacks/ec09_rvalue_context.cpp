// expect: TACIT-EC09
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  template <class Run, unsigned Parts>
#ifdef FIX
  void on(tacit::event::TrainStepEnd const&, tacit::Context<Run, Parts>&) {}
#else
  void on(tacit::event::TrainStepEnd const&, tacit::Context<Run, Parts>&&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
