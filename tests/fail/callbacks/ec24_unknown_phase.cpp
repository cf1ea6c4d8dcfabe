// expect: TACIT-EC24
// fault T8
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#ifdef FIX
  void on(tacit::event::Of<"generator", tacit::event::UpdateEnd> const&, auto&) {}
#else
  void on(tacit::event::Of<"genrator", tacit::event::UpdateEnd> const&, auto&) {}
#endif
};

int main() {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) {
    return tacit::StepResult<fake::Tensor, fake::Tensor>{fake::MeanSquaredError{}(net.forward(batch.input), batch.target), {}};
  };
  tacit::Task task{tacit::phase<"discriminator">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
                   tacit::phase<"generator">(std::make_shared<fake::Linear>(), fake::Sgd{}, step)};
  tacit::Trainer trainer{task, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
