// expect: TACIT-ET11
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Sample {
  fake::Tensor input;
  fake::Tensor target;
};
struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  using batch_type = Sample;
  fake::Tensor forward(fake::Tensor const& input, auto&) { return model->forward(input); }
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
#ifdef FIX
  trainer.train(std::vector<Sample>(3), {.epochs = 1});
#else
  trainer.train(fake::Line{8}, {.epochs = 1});
#endif
}
