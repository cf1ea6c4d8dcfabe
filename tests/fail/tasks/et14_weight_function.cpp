// expect: TACIT-ET14
// fault T2
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
#ifdef FIX
  double weight = 1.0;
#else
  double weight() const { return 1.0; }
#endif
};

int main() {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input))}; };
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
