// expect: TACIT-ET14
// fault T2
#include <optional>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
#ifdef FIX
  fake::Tensor weight;
#else
  std::optional<double> weight;
#endif
};

int main() {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input)), {}}; };
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
