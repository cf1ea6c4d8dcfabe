#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"

namespace tacit::inline v0::detail {

/// How many micro-batches the next window has: `most`, or what the data of the epoch have left.
template <class Source>
std::int64_t window_size(Source const& source, std::int64_t most, int world_size) {
  if constexpr (sized_batch_source<Source>) {
    if (most > 1) {
      std::int64_t const left = source.size(world_size) - source.position();
      if (left > 0) most = std::min(most, left);
    }
  }
  return most;
}
/// The samples of the next `size` micro-batches over all ranks.
template <planned_batch_source Source>
double planned_samples(Source const& source, std::int64_t size, int world_size) {
  double samples = 0.0;
  std::int64_t const first = source.position();
  std::int64_t const end = first + std::min(size, source.size(world_size) - first);
  for (std::int64_t batch = first; batch < end; ++batch) samples += static_cast<double>(source.global_batch_samples(batch));
  return samples;
}

/// The accumulation window: the micro-batches of the next update, and what each of them weighs.
///
/// The gradient of a phase is the sum of weight * gradient over the window's micro-batches on all ranks, divided by the sum of
/// the weights. Ranks reduce gradients to their mean, hence the factor `world`. Where the sum of the weights is known before the first
/// backward pass (`Planned`) all of it goes into the factor of the loss; else the factor is the weight, and the gradients are scaled
/// once, when the window closes. Each phase has weights of its own.
///
/// `OnDevice`: some step states its weight as a tensor. It stays on the device, where a sum of 0 gives a flag that skips the update.
template <class Tensor, std::size_t Phases, bool Planned, bool OnDevice = false>
class Window {
  using traits = tensor_traits<Tensor>;

 public:
  static constexpr bool is_planned = Planned;
  static constexpr bool on_device = OnDevice;

  /// `has_device_weights`: the parameters are on a device, so that stated weights are summed there.
  explicit Window(int world_size = 1, bool has_device_weights = false) : world_{static_cast<double>(world_size)}, has_device_weights_{has_device_weights} {}

  /// `is_plain`: one micro-batch, computed whole, on one process: the gradient of its loss is the update's. Others are planned.
  void begin(bool is_plain) {
    filled_ = 0;
    is_plain_ = is_plain && !has_device_weights();  // the gradients are divided by the weights that are summed there
    if constexpr (!Planned) weights_ = {};
    if (!is_plain_) samples_ = 0.0;
  }
  void plan(std::int64_t size) noexcept { size_ = size; }
  void plan_weight(double weight) noexcept { planned_ = weight; }
  /// The only micro-batch is computed in parts from now on.
  void leave_plain(double samples) noexcept {
    is_plain_ = false;
    planned_ = samples;
  }

  // --- its micro-batches ---

  void end_micro_batch() noexcept { ++filled_; }
  /// True in the last micro-batch.
  bool is_closing() const noexcept { return filled_ + 1 == size_; }
  bool is_full() const noexcept { return filled_ == size_; }
  bool is_open() const noexcept { return filled_ != 0; }
  std::int64_t size() const noexcept { return size_; }
  /// At the end of sized data. Throws: DataError where they were fewer than their size says.
  void require_closed() const {
    if (!is_open()) return;
    throw DataError{"TACIT-RD18", message({"the data ended in the middle of an update, after ", filled_, " of its ", size_, " batches: they are fewer than their size says"}),
                    "the training data", "let size() say how many batches there are, or leave it out"};
  }
  bool is_plain() const noexcept { return is_plain_; }

  // --- weights ---

  /// Counts a micro-batch of a phase.
  void add(std::size_t phase, double weight) noexcept {
    if constexpr (!Planned) weights_[phase].host += weight;
  }
  void add(std::size_t phase, Tensor const& weight) {
    Tensor sum = traits::scalar_like(0.0, weight);  // a new one: a copy of the window keeps the last
    if (traits::defined(weights_[phase].device)) traits::add_(sum, weights_[phase].device, 1.0);
    traits::add_(sum, weight, 1.0);
    weights_[phase].device = std::move(sum);
  }
  void add_samples(std::int64_t samples) noexcept { samples_ += static_cast<double>(samples); }

  /// The sum so far on the host; of all ranks once it was set.
  double weight(std::size_t phase) const noexcept {
    if constexpr (Planned) {
      return planned_;
    } else {
      return weights_[phase].host;
    }
  }
  void set_weight(std::size_t phase, double of_all_ranks) noexcept {
    if constexpr (!Planned) weights_[phase].host = of_all_ranks;
  }
  /// False if nothing in the window counts for the phase; on the device a flag tells.
  bool has_weight(std::size_t phase) const noexcept { return Planned || has_device_weights() || weight(phase) != 0.0; }
  double samples() const noexcept { return samples_; }
  void set_samples(double of_all_ranks) noexcept { samples_ = of_all_ranks; }

  /// What the loss of a micro-batch is multiplied by before backward.
  double loss_factor(double weight) const noexcept {
    if (is_plain_) return 1.0;
    if constexpr (Planned) {
      return weight * world_ / planned_;
    } else {
      return weight;
    }
  }
  /// What the whole gradients of a phase are multiplied by. Requires: its weight is not 0.
  double gradient_scale(std::size_t phase) const noexcept {
    if constexpr (Planned) {
      return 1.0;
    } else {
      return is_plain_ ? 1.0 : world_ / weights_[phase].host;
    }
  }

  // --- weights on the device ---

  bool has_device_weights() const noexcept { return OnDevice && has_device_weights_; }
  /// The sum of a phase as a scalar beside `like`, with what the host knows added.
  Tensor device_weight(std::size_t phase, Tensor const& like) const
    requires(OnDevice)
  {
    Tensor sum = traits::scalar_like(weights_[phase].host, like);
    if (traits::defined(weights_[phase].device)) traits::add_(sum, weights_[phase].device, 1.0);
    return sum;
  }
  /// Of all ranks.
  void set_device_weight(std::size_t phase, Tensor weight)
    requires(OnDevice)
  {
    weights_[phase] = {0.0, std::move(weight)};
  }
  double world() const noexcept { return world_; }

 private:
  struct HostWeight {
    double host = 0.0;
  };
  struct DeviceWeight {
    double host = 0.0;
    Tensor device{};
  };
  using Weight = std::conditional_t<OnDevice, DeviceWeight, HostWeight>;

  double world_;
  bool has_device_weights_;
  std::int64_t size_ = 1;
  std::int64_t filled_ = 0;
  bool is_plain_ = true;
  double planned_ = 0.0;
  double samples_ = 0.0;
  std::array<Weight, Phases> weights_{};
};

}  // namespace tacit::inline v0::detail
