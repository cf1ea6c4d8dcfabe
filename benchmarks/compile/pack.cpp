#include <cstdint>
#include <memory>
#include <utility>

#include "fake/tensor.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/train/trainer.hpp"

// A trainer with CALLBACKS callbacks, each of which handles three events, for run.py's counts of template instantiations.

#ifndef CALLBACKS
#error "CALLBACKS is the number of callbacks: run.py passes 0, 1, 4 and 16"
#endif

namespace {

template <int Number>
struct Counter {
  void on(tacit::event::TrainingRunStart const&, auto&) { updates = 0; }
  void on(tacit::event::UpdateEnd const&, auto&) { ++updates; }
  void on(tacit::event::TrainingRunEnd const&, auto&) { runs += 1; }

  std::int64_t updates = 0;
  std::int64_t runs = 0;
};

template <int... Number>
void train(std::integer_sequence<int, Number...>) {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Counter<Number>{}...}};
  trainer.train(fake::Line{64}, {.epochs = 1, .per_device_batch_size = 4});
}

}  // namespace

int main() { train(std::make_integer_sequence<int, CALLBACKS>{}); }
