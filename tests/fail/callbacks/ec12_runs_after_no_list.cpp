// expect: TACIT-EC12
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Count {
  void on(tacit::event::UpdateEnd const&, auto&) {}
};
struct Report {
#ifdef FIX
  using runs_after = tacit::runs_after<Count>;
#else
  using runs_after = Count;
#endif
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Report{}, Count{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
