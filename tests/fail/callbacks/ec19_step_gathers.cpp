// expect: TACIT-EC19
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Out {
  fake::Tensor loss;
};

int main() {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto& context) {
    fake::Tensor const all = context.gather(batch.input);
    return Out{net.forward(all)};
  };
#ifdef FIX
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, tacit::across_ranks(step)}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step}, tacit::CallbackPack{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
