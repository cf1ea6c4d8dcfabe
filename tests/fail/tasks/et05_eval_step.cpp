// expect: TACIT-ET05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
#ifdef FIX
  tacit::StepResult<fake::Tensor, fake::Tensor> eval_step(fake::Batch const& batch, auto&) {
#else
  tacit::StepResult<fake::Tensor, fake::Tensor> eval_step(fake::Batch const& batch) {
#endif
    fake::Tensor prediction = model->forward(batch.input);
    return {criterion(prediction, batch.target), prediction};
  }
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
