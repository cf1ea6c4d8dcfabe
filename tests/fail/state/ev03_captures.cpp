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
  auto step = [calls = 0](auto& net, fake::Batch const& batch, auto&) mutable {
    if (++calls > 1000) throw calls;
    return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
  };
#ifdef FIX
  tacit::Task task{std::make_shared<fake::Linear>(), fake::Sgd{}, tacit::stateless(step)};
#else
  tacit::Task task{std::make_shared<fake::Linear>(), fake::Sgd{}, step};
#endif
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{Save{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
