// expect: TACIT-ET02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};
struct Images {
  fake::Tensor pixels;
};

int main() {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input) - batch.target)}; };
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step}, tacit::CallbackPack{}};
#ifdef FIX
  trainer.train(fake::Line{8}, fake::Line{8}, {.epochs = 1});
#else
  trainer.train(fake::Line{8}, std::vector<Images>(3), {.epochs = 1});
#endif
}
