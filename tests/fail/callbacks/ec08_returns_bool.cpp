// expect: TACIT-EC08
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct StopAtOnce {
#ifdef FIX
  tacit::Flow on(tacit::event::UpdateEnd const&, auto&) { return tacit::Flow::stop_run; }
#else
  bool on(tacit::event::UpdateEnd const&, auto&) { return true; }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{StopAtOnce{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
