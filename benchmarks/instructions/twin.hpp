#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tacit/data/shuffle.hpp"

// The training loop as an expert writes it by hand, for the programs that compare the trainer with it: the same samples in
// the same order, the same calls of the tensor library, each epoch's loss as the mean over its samples, an end after so
// many updates, and nothing else. What the library's side is (model, gather, fused update) each program writes by hand too.

namespace twin {

struct Plan {
  std::int64_t batch_size = 32;
  std::int64_t updates = 0;
  std::uint64_t seed = 0;
};

struct Result {
  std::vector<double> losses;  // of each epoch
  std::int64_t updates = 0;
};

/// A scalar on the host, without a call into LibTorch's dispatcher where it is LibTorch's.
double value_of(auto const& loss) {
  if constexpr (requires { loss.const_data_ptr(); }) {
    return static_cast<double>(*static_cast<float const*>(loss.const_data_ptr()));
  } else {
    return loss.item();
  }
}

template <class Model, class Criterion, class Data, class Optimizer>
Result train(Model& model, Criterion const& criterion, Data const& data, Optimizer& optimizer, Plan const& plan) {
  Result result;
  std::vector<std::int64_t> order(static_cast<std::size_t>(data.size()));
  for (std::int64_t epoch = 0; result.updates < plan.updates; ++epoch) {
    tacit::data::ShuffledOrder{data.size(), plan.seed, tacit::EpochIndex{epoch}}.fill(0, order);
    model.train();
    double loss_sum = 0.0;
    double weight = 0.0;
    for (std::span<std::int64_t const> rest{order}; !rest.empty() && result.updates < plan.updates;) {
      auto const samples = rest.first(std::min(rest.size(), static_cast<std::size_t>(plan.batch_size)));
      rest = rest.subspan(samples.size());
      auto const batch = data.get_batch(samples);
      auto const loss = criterion(model.forward(batch.input), batch.target);
      loss_sum += value_of(loss) * static_cast<double>(samples.size());
      weight += static_cast<double>(samples.size());
      loss.backward();
      optimizer.step();
      optimizer.clear_gradients();
      ++result.updates;
    }
    result.losses.push_back(loss_sum / weight);
  }
  return result;
}

/// The batches of an epoch, with their place.
template <class Data>
class Batches {
 public:
  using Batch = decltype(std::declval<Data const&>().get_batch({}));

  Batches(Data const& data, std::int64_t batch_size) : data_{data}, batch_size_{batch_size}, order_(static_cast<std::size_t>(data.size())) {}

  void start_epoch(std::uint64_t seed, std::int64_t epoch) {
    tacit::data::ShuffledOrder{data_.size(), seed, tacit::EpochIndex{epoch}}.fill(0, order_);
    position_ = 0;
    started_ = true;
  }
  std::int64_t size() const { return (data_.size() + batch_size_ - 1) / batch_size_; }
  std::int64_t position() const { return position_; }
  std::int64_t samples(std::int64_t batch) const { return std::min(batch_size_, data_.size() - batch * batch_size_); }

  bool next(std::optional<Batch>& into) {
    into.reset();
    if (!started_) throw std::logic_error{"a batch before the first epoch"};
    if (position_ == size()) return false;
    auto const count = static_cast<std::size_t>(samples(position_));
    into.emplace(data_.get_batch(std::span<std::int64_t const>{order_}.subspan(static_cast<std::size_t>(position_ * batch_size_), count)));
    ++position_;
    return true;
  }

 private:
  Data const& data_;
  std::int64_t batch_size_;
  std::vector<std::int64_t> order_;
  std::int64_t position_ = 0;
  bool started_ = false;
};

/// What others read and set while the loop runs.
struct Run {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  std::int64_t micro_batches = 0;
  std::int64_t updates = 0;
  std::int64_t samples = 0;
  std::atomic<int> wish{0};
  bool masked = false;
  bool log_point = true;
};

struct LongPlan {
  Plan plan{};
  std::int64_t accumulation = 1;
  std::int64_t batches_per_epoch = -1;
  std::int64_t most_samples = -1;
  std::int64_t log_every = 1;
};

template <class Model, class Criterion, class Data, class Optimizer>
class LongTwin {
 public:
  LongTwin(Model& model, Criterion const& criterion, Data const& data, Optimizer& optimizer, LongPlan const& plan, Run& run)
      : model_{model}, criterion_{criterion}, batches_{data, plan.plan.batch_size}, optimizer_{optimizer}, plan_{plan}, run_{run} {}

  Result train() {
    for (; !stopped_; ++run_.epoch) {
      batches_.start_epoch(plan_.plan.seed, run_.epoch);
      model_.train();
      run_.step = 0;
      loss_sum_ = 0.0;
      weight_ = 0.0;
      epoch_over_ = false;
      while (!epoch_over_ && batches_.next(batch_)) step();
      result_.losses.push_back(loss_sum_ / weight_);
    }
    result_.updates = run_.updates;
    return std::move(result_);
  }

 private:
  void step() {
    std::int64_t const samples = batches_.samples(batches_.position() - 1);
    {
      auto const loss = criterion_(model_.forward(batch_->input), batch_->target);
      loss_sum_ += value_of(loss) * static_cast<double>(samples);
      weight_ += static_cast<double>(samples);
      if (!run_.masked) loss.backward();
    }
    batch_.reset();
    ++run_.step;
    ++run_.micro_batches;
    run_.samples += samples;
    if (++in_window_ == plan_.accumulation) update();
  }

  void update() {
    if (!run_.masked) optimizer_.step();
    optimizer_.clear_gradients();
    ++run_.updates;
    run_.masked = false;
    in_window_ = 0;
    if (plan_.log_every != 1) run_.log_point = (run_.updates + 1) % plan_.log_every == 0;
    if (run_.step == plan_.batches_per_epoch) epoch_over_ = true;
    bool const limited = run_.updates >= plan_.plan.updates || (plan_.most_samples >= 0 && run_.samples >= plan_.most_samples);
    if (limited || run_.wish.load(std::memory_order_relaxed) != 0) epoch_over_ = stopped_ = true;
  }

  Model& model_;
  Criterion const& criterion_;
  Batches<Data> batches_;
  Optimizer& optimizer_;
  LongPlan const& plan_;
  Run& run_;
  std::optional<typename Batches<Data>::Batch> batch_{};
  Result result_{};
  double loss_sum_ = 0.0;
  double weight_ = 0.0;
  std::int64_t in_window_ = 0;
  bool epoch_over_ = false;
  bool stopped_ = false;
};

}  // namespace twin
