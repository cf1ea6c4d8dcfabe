// expect: TACIT-ET10
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

int main() {
  auto step = [](auto& net, fake::Batch const& batch, auto&) { return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)}; };
  tacit::Trainer trainer{tacit::Task{tacit::phase<"critic">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
#ifdef FIX
                                     tacit::phase<"actor">(std::make_shared<fake::Linear>(), fake::Sgd{}, step)},
#else
                                     tacit::phase<"critic">(std::make_shared<fake::Linear>(), fake::Sgd{}, step)},
#endif
                         tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
