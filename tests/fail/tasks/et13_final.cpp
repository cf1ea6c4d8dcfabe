// expect: TACIT-ET13
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

#ifdef FIX
struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
#else
struct Task final : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
#endif
  fake::Tensor forward(fake::Tensor const& input, auto&) { return model->forward(input); }
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
