// A handler may be a template and see every event. This callback writes down the order of a small run, which is compared
// with the order that the documentation shows.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <iostream>
#include <sstream>
#include <string>

// [callback]
struct WriteOrder {
  std::ostringstream& text;
  std::size_t depth = 0;

  void on(auto const& event, auto&) {
    auto name = tacit::type_name<std::remove_cvref_t<decltype(event)>>();
    name.erase(0, std::string{"event::"}.size());
    if (name.ends_with("End") && depth > 0) --depth;
    text << std::string(2 * depth, ' ') << name << "\n";
    if (name.ends_with("Start")) ++depth;
  }
};
// [/callback]

// An epoch of two micro-batches that make one update, with a validation set of one batch, and then an evaluation.
constexpr char const* expected = R"(
// [order]
InitEnd
TrainingRunStart
  TrainingRunEpochStart
    TrainEpochStart
      DataFetchStart
      DataFetchEnd
      TrainStepStart
        TrainLossComputed
      TrainStepEnd
      DataFetchStart
      DataFetchEnd
      TrainStepStart
        TrainLossComputed
      TrainStepEnd
      UpdateStart
      UpdateEnd
      DataFetchStart
      DataFetchEnd
    TrainEpochEnd
    EvalEpochStart
      DataFetchStart
      DataFetchEnd
      EvalStepStart
      EvalStepEnd
      DataFetchStart
      DataFetchEnd
    EvalEpochEnd
  TrainingRunEpochEnd
TrainingRunEnd
EvaluationRunStart
  EvalEpochStart
    DataFetchStart
    DataFetchEnd
    EvalStepStart
    EvalStepEnd
    DataFetchStart
    DataFetchEnd
  EvalEpochEnd
EvaluationRunEnd
// [/order]
)";

int main() {
  auto const x = torch::randn({8, 3});
  tacit::data::TensorDataset const train{x, x.sum(1, true)};
  tacit::data::TensorDataset const valid{x.slice(0, 0, 4), x.slice(0, 0, 4).sum(1, true)};

  std::ostringstream text;
  tacit::Trainer trainer{torch::nn::Linear(3, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, tacit::CallbackPack{WriteOrder{text}}};
  std::cout << trainer.describe();
  trainer.train(train, valid, {.epochs = 1, .per_device_batch_size = 4, .gradient_accumulation = 2});
  trainer.evaluate(valid, {.per_device_batch_size = 4});

  std::cout << text.str();
  return "\n// [order]\n" + text.str() + "// [/order]\n" == expected ? 0 : 1;
}
