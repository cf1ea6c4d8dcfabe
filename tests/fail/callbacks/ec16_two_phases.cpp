// expect: TACIT-EC16
#include "fake/tensor.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/train/trainer.hpp"

struct Loss {
  fake::Tensor loss;
};

int main() {
  auto step = [](fake::Linear& model, fake::Batch const& batch, auto&) { return Loss{fake::MeanSquaredError{}(model.forward(batch.input), batch.target)}; };
  auto model = std::make_shared<fake::Linear>();
#ifdef FIX
  tacit::Task task{model, fake::Sgd{}, step, step};
#else
  tacit::Task task{tacit::phase<"a">(model, fake::Sgd{}, step, step), tacit::phase<"b">(std::make_shared<fake::Linear>(), fake::Sgd{}, step, step)};
#endif
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{tacit::AutoMicroBatch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
