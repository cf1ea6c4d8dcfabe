// expect: TACIT-ET02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

int main() {
#ifdef FIX
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input) - batch.target)}; };
#else
  auto step = [](fake::Linear& net, fake::Batch const& batch) { return Output{fake::mean(net.forward(batch.input) - batch.target)}; };
#endif
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
  trainer.train(fake::Line{8}, {.epochs = 2});
  trainer.evaluate(fake::Line{8});
}
