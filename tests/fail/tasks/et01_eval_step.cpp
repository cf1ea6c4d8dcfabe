// expect: TACIT-ET01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

int main() {
  auto step = [](auto& net, fake::Batch const& batch, auto&) { return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)}; };
  auto eval_step = [](auto& net, fake::Batch const& batch, auto&) {
#ifdef FIX
    return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
#else
    return net.forward(batch.input);
#endif
  };
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step, eval_step}, tacit::CallbackPack{}};
  trainer.evaluate(fake::Line{8});
}
