#include <memory>
#include <utility>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// A trainer with CALLBACKS callbacks of different types, each with two handlers, which trains and evaluates: what the
// compiler has to instantiate for it is counted.

template <int Number>
struct CountSteps {
  int steps = 0;
  void on(tacit::event::TrainStepEnd const&, auto&) { ++steps; }
  void on(tacit::event::TrainEpochEnd const&, auto& context) { steps += static_cast<int>(context.progress().updates.value()); }
};

template <int... Number>
auto pack(std::integer_sequence<int, Number...>) {
  return tacit::CallbackPack{CountSteps<Number>{}...};
}

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, pack(std::make_integer_sequence<int, CALLBACKS>{})};
  fake::Line const data{8};
  trainer.train(data, data, {.epochs = 1});
  trainer.evaluate(data);
}
