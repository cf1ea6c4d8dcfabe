// expect: TACIT-EC06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
#ifdef FIX
  using events = tacit::event::list<tacit::event::TrainEpochEnd, tacit::event::Of<"generator", tacit::event::UpdateEnd>>;
#else
  using events = tacit::event::list<tacit::event::TrainEpochEnd>;
#endif
  void on(tacit::event::TrainEpochEnd const&, auto&) {}
  void on(tacit::event::Of<"generator", tacit::event::UpdateEnd> const&, auto&) {}
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
