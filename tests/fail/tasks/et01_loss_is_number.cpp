// expect: TACIT-ET01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
#ifdef FIX
  fake::Tensor loss;
#else
  double loss;
#endif
};
struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  auto train_step(fake::Batch const& batch, auto&) {
    fake::Tensor const loss = criterion(model->forward(batch.input), batch.target);
#ifdef FIX
    return Output{loss};
#else
    return Output{loss.item()};
#endif
  }
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
  trainer.evaluate(fake::Line{8});
}
