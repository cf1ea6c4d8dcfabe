// expect-text: no member named 'batch'
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// An epoch has no batch: what a context cannot give it does not have.
struct KeepInput {
#ifdef FIX
  void on(tacit::event::TrainStepEnd const&, auto& context) { last = context.batch().input; }
#else
  void on(tacit::event::TrainEpochEnd const&, auto& context) { last = context.batch().input; }
#endif
  fake::Tensor last{};
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{KeepInput{}}};
  trainer.train(fake::Line{8}, fake::Line{8}, {.epochs = 1});
}
