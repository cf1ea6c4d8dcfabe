// expect: TACIT-ET02
// fault T20
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto const&) {
    return tacit::StepResult<fake::Tensor, fake::Tensor>{fake::MeanSquaredError{}(net.forward(batch.input), batch.target), {}};
  };
#ifdef FIX
  auto eval_step = step;
#else
  auto eval_step = [step](fake::Linear& net, auto const& batch) { return step(net, batch, 0); };
#endif
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step, eval_step}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
