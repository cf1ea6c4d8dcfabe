// expect: TACIT-ES04
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

int main() {
#ifdef FIX
  auto second = std::make_shared<fake::Linear>();
#else
  fake::Linear second;
#endif
  auto step = [](auto& net, fake::Batch const& batch, auto&) {
    return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
  };
  tacit::Trainer trainer{tacit::Task{tacit::phase<"first">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
                                     tacit::phase<"second">(second, fake::Sgd{}, step)},
                         tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
