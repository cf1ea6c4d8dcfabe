// expect: TACIT-EC02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

class Watch {
#ifdef FIX
 public:
#endif
  void on(tacit::event::TrainStepEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
