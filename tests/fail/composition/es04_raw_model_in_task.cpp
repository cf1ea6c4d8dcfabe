// expect: TACIT-ES04
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

int main() {
#ifdef FIX
  auto model = std::make_shared<fake::Linear>();
#else
  fake::Linear model;
#endif
  tacit::Task task{model, fake::Sgd{}, [](auto& net, fake::Batch const& batch, auto&) {
                     return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
                   }};
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
