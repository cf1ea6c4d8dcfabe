// expect: TACIT-EM07
#include "fake/tensor.hpp"
#include "tacit/metric/accuracy.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

int main() {
  auto step = [](auto& net, fake::Batch const& batch, auto&) { return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)}; };
  tacit::Task task{std::make_shared<fake::Linear>(), fake::Sgd{}, step};
#ifdef FIX
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{tacit::metric::Accuracy{}}};
#endif
  trainer.evaluate(fake::Line{8});
}
