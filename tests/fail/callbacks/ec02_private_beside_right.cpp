// expect-text: private
// fault T8: the compiler says it in its own words
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

class Watch {
 public:
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifndef FIX
 private:
#endif
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
