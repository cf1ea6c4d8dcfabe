#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "program.hpp"
#include "tacit/train/trainer.hpp"
#include "twin.hpp"

// The trainer against its twin on the fake tensor. As with a real tensor library, its operations are calls that the
// compiler cannot look into: what remains is the loop's own code, counted to the single instruction.

// Memory at a constant cost: a list of free blocks for each size, so that no count depends on the history of a heap.
namespace pool {

struct alignas(16) Block {
  Block** list;  // where it goes when it is freed
  Block* next;
};
static Block* lists[4096];

}  // namespace pool

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++benchmark::allocations;
  std::size_t const units = (size + 15) / 16;
  if (units >= std::size(pool::lists)) throw std::bad_alloc{};
  pool::Block*& list = pool::lists[units];
  if (list == nullptr) list = new (std::malloc(16 * (units + 1))) pool::Block{&list, nullptr};
  pool::Block* const block = std::exchange(list, list->next);
  return block + 1;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  pool::Block* const block = static_cast<pool::Block*>(memory) - 1;
  block->next = std::exchange(*block->list, block);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

namespace library {

using fake::Tensor;

struct Linear {
  Tensor weight{{0.5}, true};
  Tensor bias{{0.0}, true};

  [[gnu::noinline]] Tensor forward(Tensor const& input) { return weight * input + bias; }
  std::vector<fake::Item> named_parameters() const { return {{"weight", weight}, {"bias", bias}}; }
  std::vector<fake::Item> named_buffers() const { return {}; }
  void train(bool on = true) { training = on; }
  bool is_training() const { return training; }

  bool training = true;
};

struct MeanSquaredError {
  [[gnu::noinline]] Tensor operator()(Tensor const& prediction, Tensor const& target) const {
    return fake::MeanSquaredError{}(prediction, target);
  }
};

/// Samples (x, 2 x + 1).
struct Line {
  std::int64_t samples;

  std::int64_t size() const { return samples; }
  [[gnu::noinline]] fake::Batch get_batch(std::span<std::int64_t const> indices) const { return fake::Line{samples}.get_batch(indices); }
};

[[gnu::noinline]] void fused_sgd(std::span<Tensor> parameters, std::span<Tensor> momenta, double lr, double momentum) {
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    for (std::size_t i = 0; i < parameters[p]->values.size(); ++i) {
      double& velocity = momenta[p]->values[i];
      velocity = momentum * velocity + parameters[p]->grad->values[i];
      parameters[p]->values[i] -= lr * velocity;
    }
  }
}

/// The tensor lists of the fused update.
struct Lists {
  std::vector<Tensor> parameters;
  std::vector<Tensor> momenta;

  void add(Tensor const& parameter) {
    parameters.push_back(parameter);
    momenta.emplace_back(std::vector<double>(parameter.values().size(), 0.0));
  }
  void step() { fused_sgd(parameters, momenta, 0.1, 0.9); }
};

struct Sgd {
  using slot = tacit::slot::optimizer;

  struct Bound : Lists {
    static constexpr bool maskable = true;
    void step(auto&, tacit::update_input<Tensor> const&) { Lists::step(); }
    void parameters_changed(auto& all) {
      *static_cast<Lists*>(this) = {};
      for (auto& one : all) add(one.model);
    }
  };
  Bound bind(auto& all) const {
    Bound bound;
    bound.parameters_changed(all);
    return bound;
  }
};

}  // namespace library

namespace fake {
inline double item(Tensor const& loss) { return loss.item(); }
}  // namespace fake

namespace {

constexpr std::int64_t batch_size = 4;
library::Line const data{benchmark::many * batch_size};

struct Optimizer : library::Lists {
  void clear_gradients() {
    for (fake::Tensor& parameter : parameters) parameter->grad = fake::Tensor{};
  }
};

void run_twin(std::int64_t steps) {
  library::Linear model;
  Optimizer optimizer;
  optimizer.add(model.weight);
  optimizer.add(model.bias);
  twin::train(model, library::MeanSquaredError{}, data, optimizer, {.batch_size = batch_size, .updates = steps});
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
    {"twin", run_twin}, {"empty", run_pack<0>}, {"pack1", run_pack<1>}, {"pack4", run_pack<4>}, {"pack16", run_pack<16>}};
constexpr benchmark::Limit limits[] = {{"empty", "twin", "-", "0"}, {"pack1", "empty", "-", "0"}, {"pack4", "empty", "-", "0"}, {"pack16", "empty", "-", "0"}};

}  // namespace

int main(int argc, char** argv) { return benchmark::main(argc, argv, variants, limits); }
