// expect: TACIT-ES06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// Holds parameters from the start, as optimizers elsewhere do.
struct Momentum {
  explicit Momentum(std::vector<fake::Item> parameters) : parameters_{std::move(parameters)} {}
  void step() {}

 private:
  std::vector<fake::Item> parameters_;
};

int main() {
  auto model = std::make_shared<fake::Linear>();
#ifdef FIX
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, Momentum{model->named_parameters()}, tacit::CallbackPack{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
