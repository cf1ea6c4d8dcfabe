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
#ifdef FIX
  fake::Sgd optimizer{};
#else
  fake::Sgd sgd{};
#endif
  Output train_step(fake::Batch const& batch, auto&) { return {fake::mean(model->forward(batch.input) - batch.input)}; }
};

int main() {
  tacit::Trainer trainer{Autoencoder{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
