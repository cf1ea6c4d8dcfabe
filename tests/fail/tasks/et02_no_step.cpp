// expect: TACIT-ET02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Output {
  fake::Tensor loss;
};

int main() {
  auto model = std::make_shared<fake::Linear>();
#ifdef FIX
  tacit::Task task{model, fake::Sgd{}, [](auto& net, fake::Batch const& batch, auto&) {
                     return Output{fake::MeanSquaredError{}(net.forward(batch.input), batch.target)};
                   }};
#else
  tacit::Task task{model, fake::Sgd{}};
#endif
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
