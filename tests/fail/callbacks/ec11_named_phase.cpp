// expect: TACIT-EC11
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
#ifdef FIX
  void on(tacit::event::Of<"generator", tacit::event::UpdateEnd> const&, auto&) {}
#else
  void on(auto&, tacit::event::Of<"generator", tacit::event::UpdateEnd> const&) {}
#endif
};

struct Output {
  fake::Tensor loss;
};

int main() {
  auto step = [](auto& net, fake::Batch const& batch, auto&) {
    return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
  };
  tacit::Trainer trainer{tacit::Task{tacit::phase<"discriminator">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
                                     tacit::phase<"generator">(std::make_shared<fake::Linear>(), fake::Sgd{}, step)},
                         tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
