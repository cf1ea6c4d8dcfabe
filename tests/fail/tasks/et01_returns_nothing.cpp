// expect: TACIT-ET01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

int main() {
  auto step = [](auto& net, fake::Batch const& batch, auto&) {
    fake::Tensor loss = fake::MeanSquaredError{}(net.forward(batch.input), batch.target);
#ifdef FIX
    return Output{loss};
#else
    loss.backward();
#endif
  };
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
