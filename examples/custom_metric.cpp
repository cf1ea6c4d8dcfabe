// A metric of one's own: a tag, which is an empty type with a name and a direction, and a callback that records it after
// every evaluation. Other callbacks watch it by its type: to watch what nothing records does not compile.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <cmath>
#include <iostream>

// [metric]
struct top2_accuracy : tacit::Metric<"top2_accuracy", tacit::higher_is_better> {
  static constexpr bool needs_evaluation = true;  // recorded after evaluations: who watches it must give an eval set
};

struct Top2Accuracy {
  using records = tacit::records<top2_accuracy>;
  tacit::Mean share{};  // sum and count stay on the device; exact over several processes

  void on(tacit::event::EvalEpochStart const&, auto&) { share.reset(); }
  void on(tacit::event::EvalStepEnd const&, auto& context) {
    auto const guesses = std::get<1>(context.output().prediction.topk(2));
    share.add((guesses == context.batch().target.unsqueeze(1)).any(1));
  }
  void on(tacit::event::EvalEpochEnd const&, auto& context) { context.record(top2_accuracy{}, share); }
};
// [/metric]

// [recall]
struct macro_recall : tacit::Metric<"macro_recall", tacit::higher_is_better> {};

struct MacroRecall {
  using records = tacit::records<macro_recall>;
  at::Tensor confusion{};  // target x prediction, of this process

  void on(tacit::event::EvalEpochStart const&, auto&) { confusion = at::Tensor{}; }
  void on(tacit::event::EvalStepEnd const&, auto& context) {
    at::Tensor const cells = context.batch().target * 10 + context.output().prediction.argmax(-1);
    at::Tensor const counts = cells.bincount({}, 100).reshape({10, 10});
    confusion = confusion.defined() ? confusion + counts : counts;
  }
  void on(tacit::event::EvalEpochEnd const&, auto& context) {
    at::Tensor const all = context.reduce_sum(confusion).to(at::kDouble);  // of all processes
    context.record(macro_recall{}, (all.diagonal() / all.sum(1)).mean().template item<double>());
  }
};
// [/recall]

int main() {
  torch::manual_seed(1);
  auto [train, valid] = tacit::data::split(tacit::data::fashion_mnist(), {5000, 2000}, /*seed*/ 42);
  torch::nn::Sequential const model{torch::nn::Flatten(), torch::nn::Linear(784, 64), torch::nn::ReLU(), torch::nn::Linear(64, 10)};

  // [use]
  tacit::Trainer trainer{model, tacit::loss::CrossEntropy{}, tacit::optim::AdamW{.lr = 3e-3},
                         tacit::CallbackPack{Top2Accuracy{}, tacit::EarlyStopping<top2_accuracy>{.patience = 2}}};
  auto const result = trainer.train(train, valid, {.epochs = 30, .per_device_batch_size = 64});

  for (auto const& entry : trainer.history().values(top2_accuracy{})) {
    std::cout << "epoch " << entry.epoch.value() + 1 << ": " << entry.value << "\n";
  }
  // [/use]
  tacit::Trainer judge{model, tacit::loss::CrossEntropy{}, tacit::optim::AdamW{}, tacit::CallbackPack{MacroRecall{}, tacit::metric::Accuracy{}}};
  auto const judged = judge.evaluate(valid, {.per_device_batch_size = 64});
  std::cout << "macro recall " << judged[macro_recall{}] << ", accuracy " << judged[tacit::tag::accuracy{}] << "\n";

  std::cout << trainer.describe();
  std::cout << to_string(result.reason) << "\n";
  return result.reason == tacit::StopReason::callback && result[top2_accuracy{}] > 0.9 && std::abs(judged[macro_recall{}] - judged[tacit::tag::accuracy{}]) < 0.05 ? 0 : 1;
}
