// expect: TACIT-EC07
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Save;
struct Average {
  using runs_after = tacit::runs_after<Save>;
  void on(tacit::event::UpdateEnd const&, auto&) {}
};
struct Save {
#ifndef FIX
  using runs_after = tacit::runs_after<Average>;
#endif
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Average{}, Save{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
