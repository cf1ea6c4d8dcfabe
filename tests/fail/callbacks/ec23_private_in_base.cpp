// expect: TACIT-EC23
// fault U4
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

class Old {
#ifdef FIX
  [[maybe_unused]] int evaluations = 0;
#else
  virtual void eval_epoch_end(int) {}
#endif

 public:
  void on(tacit::event::EvalEpochEnd const&, auto&) {}
};
struct Watch : Old {};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{tacit::named<"old">(Watch{})}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
