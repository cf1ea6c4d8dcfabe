// expect: TACIT-EV01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Save {
  static constexpr bool saves_state = true;
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};
struct CountSteps {
  int steps = 0;
  void on(tacit::event::UpdateEnd const&, auto&) { ++steps; }
#ifdef FIX
  static void visit_state(auto& self, auto&& visit) { visit("steps", self.steps); }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{CountSteps{}, Save{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
