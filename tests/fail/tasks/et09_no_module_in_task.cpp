// expect: TACIT-ET09
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

#ifdef FIX
using Net = fake::Linear;
#else
struct Net {
  fake::Tensor weight{{0.5}, true};
  fake::Tensor forward(fake::Tensor const& input) { return weight * input; }
};
#endif

int main() {
  tacit::Task task{std::make_shared<Net>(), fake::Sgd{}, [](auto& net, fake::Batch const& batch, auto&) {
                     return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
                   }};
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
