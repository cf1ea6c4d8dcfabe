// expect: TACIT-EV02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Save {
  static constexpr bool saves_state = true;
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};
struct CountSteps {
  int every = 10;
  void on(tacit::event::UpdateEnd const&, auto&) {}
#ifdef FIX
  static void visit_config(auto& self, auto&& visit) { visit("every", self.every); }
#else
  void visit_config(auto&& visit) const { visit("every", every); }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{CountSteps{}, Save{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
