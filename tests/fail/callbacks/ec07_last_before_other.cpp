// expect: TACIT-EC07
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Count {
  void on(tacit::event::UpdateEnd const&, auto&) {}
};
struct Report {
  using runs_last = tacit::runs_last;
#ifndef FIX
  using runs_before = tacit::runs_before<Count>;
#endif
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Report{}, Count{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
