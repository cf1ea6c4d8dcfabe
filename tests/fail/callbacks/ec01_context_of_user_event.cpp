// expect: TACIT-EC01
// fault T3
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Saved {};
struct Emits {
  void on(tacit::event::UpdateEnd const&, auto& context) { context.emit(Saved{}); }
};
struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  void on(Saved const&, auto&) {}
#else
  template <class Run, unsigned Parts>
  void on(Saved const&, tacit::Context<Run, Parts>&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Emits{}, Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
