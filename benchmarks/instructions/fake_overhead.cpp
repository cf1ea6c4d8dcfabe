#include <cstddef>
#include <memory>
#include <utility>

#include "fake_library.hpp"
#include "pool.hpp"
#include "program.hpp"
#include "tacit/train/trainer.hpp"
#include "twin.hpp"

// The trainer against its twin on the fake tensor, counted to the single instruction.

namespace {

constexpr std::int64_t batch_size = 4;
library::Line const data{300 * batch_size};

struct Optimizer : library::Lists {
  void clear_gradients() {
    for (library::Tensor& parameter : parameters) parameter.clear_grad();
  }
};

void run_twin(std::int64_t steps) {
  library::Linear model;
  Optimizer optimizer;
  optimizer.add(model.weight);
  optimizer.add(model.bias);
  twin::train(model, library::MeanSquaredError{}, data, optimizer, {.batch_size = batch_size, .updates = steps});
}

void run_long_twin(std::int64_t steps) {
  library::Linear model;
  Optimizer optimizer;
  optimizer.add(model.weight);
  optimizer.add(model.bias);
  twin::Run run;
  twin::LongPlan const plan{.plan = {.batch_size = batch_size, .updates = steps}};
  twin::LongTwin{model, library::MeanSquaredError{}, data, optimizer, plan, run}.train();
}

/// Handles nothing that happens in a step.
template <int Number>
struct Idle {
  void on(tacit::event::TrainingRunStart const&, auto&) {}
};

template <int... Number>
void run_pack(std::int64_t steps, std::integer_sequence<int, Number...>) {
  tacit::Trainer trainer{std::make_shared<library::Linear>(), library::MeanSquaredError{}, library::Sgd{}, tacit::CallbackPack{Idle<Number>{}...}};
  trainer.train(data, {.limit = {.updates = steps}, .per_device_batch_size = batch_size});
}
template <int Size>
void run_pack(std::int64_t steps) {
  run_pack(steps, std::make_integer_sequence<int, Size>{});
}

constexpr benchmark::Variant variants[] = {
    {"twin", run_twin}, {"long_twin", run_long_twin}, {"empty", run_pack<0>}, {"pack1", run_pack<1>}, {"pack4", run_pack<4>}, {"pack16", run_pack<16>}};
// What the empty pack has more than the twin are the counters of a run, the look at wishes, limits and masks, and a source of
// batches that knows where it is: the limit holds them, so that nothing is added unseen.
constexpr benchmark::Limit limits[] = {{"empty", "twin", "1.02", "200"},
                                       {"empty", "long_twin", "-", "120"},
                                       {"pack1", "empty", "-", "0"}, {"pack4", "empty", "-", "0"}, {"pack16", "empty", "-", "0"}};

}  // namespace

int main(int argc, char** argv) { return benchmark::main(argc, argv, variants, limits); }
