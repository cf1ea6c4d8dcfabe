// expect: TACIT-ES03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// Whatever comes after a misuse adds no second error.
int main() {
  auto model = std::make_shared<fake::Linear>();
#ifdef FIX
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"noisy">{}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{model, fake::Sgd{}, tacit::eval_sets<"noisy">{}, tacit::CallbackPack{}};
#endif
  fake::Line const data{8};
  tacit::RunResult const first = trainer.train(data, data, {.epochs = 1, .clip = {.norm = 1.0}}, tacit::eval_data<"noisy">(data));
  tacit::TrainOptions const options{.epochs = 1};
  auto const second = trainer.train(tacit::data::loader(data, {.batch_size = 4}), data, options, tacit::eval_data<"noisy">(data));
  auto const metrics = trainer.evaluate(data, {.per_device_batch_size = 2});
  trainer.request_stop();
  auto session = trainer.session<fake::Batch>(options);
  while (session.step(data.get_batch(std::vector<std::int64_t>{0, 1}))) session.end_epoch();
  static_cast<void>(session.progress());
  if (session.is_running()) session.finish();
  static_cast<void>(trainer.view());
  static_cast<void>(trainer.task());
  static_cast<void>(trainer.model());
  std::string const text = trainer.describe() + trainer.plan().device + trainer.history().to_json();
  return text.empty() || first.updates == second.updates || metrics[tacit::tag::eval_loss{}] < first[tacit::tag::train_loss{}] ? 1 : 0;
}
