// expect: TACIT-EC01
// fault T3
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  void on(tacit::event::UpdateStart const&, auto&) {}
#else
  template <class Run, unsigned Parts>
  void on(tacit::event::UpdateStart const&, tacit::Context<Run, Parts>&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{tacit::EveryN{.n = 2, .inner = Watch{}}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
