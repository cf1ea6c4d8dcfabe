// expect: TACIT-ET04
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
#ifdef FIX
  fake::Tensor forward(fake::Tensor const& input, auto&) { return model->forward(input); }
#else
  fake::Tensor forwards(fake::Tensor const& input, auto&) { return model->forward(input); }
#endif
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
