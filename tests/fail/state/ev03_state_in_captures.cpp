// expect: TACIT-EV03
#include "fake/tensor.hpp"
#include "tacit/callbacks/lambda.hpp"
#include "tacit/train/trainer.hpp"

struct Save {
  static constexpr bool saves_state = true;
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};
struct Output {
  fake::Tensor loss;
};

int main() {
  auto model = std::make_shared<fake::Linear>();
#ifdef FIX
  tacit::Task task{model, fake::Sgd{}, tacit::stateful([](auto& net, fake::Batch const& batch, auto&, double& scale) {
                     scale *= 0.5;
                     return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
                   }, 1.0)};
#else
  tacit::Task task{model, fake::Sgd{}, [scale = 1.0](auto& net, fake::Batch const& batch, auto&) mutable {
                     scale *= 0.5;
                     return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
                   }};
#endif
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{Save{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
