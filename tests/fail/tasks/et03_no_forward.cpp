// expect: TACIT-ET03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Net : private fake::Linear {
  using Linear::is_training;
  using Linear::named_buffers;
  using Linear::named_parameters;
  using Linear::train;
#ifdef FIX
  using Linear::forward;
#else
  fake::Tensor operator()(fake::Tensor const& input) { return forward(input); }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<Net>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
  trainer.evaluate(fake::Line{8});
}
