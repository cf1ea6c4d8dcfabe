// expect: TACIT-ET12
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};
struct Autoencoder {
  using slot = tacit::slot::task;
  using tensor_type = fake::Tensor;
  std::shared_ptr<fake::Linear> model = std::make_shared<fake::Linear>();
  fake::Sgd optimizer{};
#ifdef FIX
  Output train_step(fake::Batch const& batch, auto&) { return {fake::mean(model->forward(batch.input) - batch.input)}; }
#else
  Output step(fake::Batch const& batch, auto&) { return {fake::mean(model->forward(batch.input) - batch.input)}; }
#endif
};

int main() {
  tacit::Trainer trainer{Autoencoder{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
