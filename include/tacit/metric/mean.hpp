#pragma once

#include <limits>

#include "tacit/concepts/tensor.hpp"
#include "tacit/metric/device_scalar.hpp"

namespace tacit::inline v0 {

/// A weighted mean as its sum and its total weight in float64, on the device where host reads are not free; exact over ranks.
///
/// What has weight 0 adds nothing, whatever its value is: a loss of no item is 0/0.
template <tensor Tensor>
class basic_mean {
  using traits = tensor_traits<Tensor>;

 public:
  /// Adds every element of a tensor with weight 1: booleans count as 0 and 1.
  void add(Tensor const& values) {
    accumulate(traits::sum(values), 1.0);
    weight_ += static_cast<double>(traits::numel(values));
  }
  /// Adds one scalar that is already a mean over `weight` items, a loss say.
  void add(Tensor const& mean, double weight) {
    if (weight == 0.0) return;
    accumulate(mean, weight);
    weight_ += weight;
  }
  void add(double mean, double weight) {
    if (weight == 0.0) return;
    sum_ += mean * weight;
    weight_ += weight;
  }
  /// The same with a weight (one element) that stays where it is. Requires: 0 or more, and finite.
  void add(Tensor const& mean, Tensor const& weight) {
    if (traits::host_readable(weight)) return add(mean, traits::read(weight));
    add_on_device(device_sum_, traits::weighted(mean, weight));
    add_on_device(device_weight_, weight);
  }
  /// Adds a sum over `weight` items, both scalars where they are.
  void add_sum(Tensor const& sum, Tensor const& weight) {
    accumulate(sum, 1.0);
    if (traits::host_readable(weight)) {
      weight_ += traits::read(weight);
    } else {
      add_on_device(device_weight_, weight);
    }
  }
  /// Adds what another mean has; nothing where the flag `skip` is given and not 0.
  void add(basic_mean const& other, Tensor const* skip = nullptr) {
    if (skip == nullptr) {
      sum_ += other.sum_;
      weight_ += other.weight_;
      if (traits::defined(other.device_sum_)) add_on_device(device_sum_, other.device_sum_);
      if (traits::defined(other.device_weight_)) add_on_device(device_weight_, other.device_weight_);
    } else if (traits::host_readable(*skip)) {
      if (traits::read(*skip) == 0.0) add(other);
    } else {
      Tensor keep = traits::scalar_like(1.0, *skip);
      traits::add_(keep, *skip, -1.0);
      add_on_device(device_sum_, traits::weighted(other.whole(other.device_sum_, other.sum_, keep), keep));
      add_on_device(device_weight_, traits::weighted(other.whole(other.device_weight_, other.weight_, keep), keep));
    }
  }
  void reset() { *this = basic_mean{}; }

  /// The total weight. Cost: waits for the device where weights were given as its tensors.
  double weight(LogPoint const&) const { return weight_ + read_of(device_weight_); }
  /// The weighted sum. Cost: waits for the device where host reads are not free.
  double sum(LogPoint const&) const { return sum_ + read_of(device_sum_); }
  /// The mean so far; NaN where nothing with a weight was added. Cost: as `sum`.
  double read(LogPoint const& log_point) const { return quotient(sum(log_point), weight(log_point)); }

  /// sum / weight, NaN without a weight. For sums that were reduced over the ranks.
  static double quotient(double sum, double weight) noexcept {
    return weight == 0.0 ? std::numeric_limits<double>::quiet_NaN() : sum / weight;
  }

  static void visit_state(auto& self, auto&& visit) {
    visit("sum", self.sum_);
    visit("device_sum", self.device_sum_);
    visit("weight", self.weight_);
    visit("device_weight", self.device_weight_);
  }

 private:
  static double read_of(Tensor const& scalar) { return traits::defined(scalar) ? traits::read(scalar) : 0.0; }
  static void add_on_device(Tensor& total, Tensor const& value, double factor = 1.0) {
    if (!traits::defined(total)) total = traits::scalar_like(0.0, value);
    traits::add_(total, value, factor);
  }
  /// Both parts of a number, beside `like`.
  static Tensor whole(Tensor const& on_device, double on_host, Tensor const& like) {
    Tensor result = traits::scalar_like(on_host, like);
    if (traits::defined(on_device)) traits::add_(result, on_device, 1.0);
    return result;
  }
  void accumulate(Tensor const& scalar, double factor) {
    if (traits::host_readable(scalar)) {
      sum_ += factor * traits::read(scalar);
      return;
    }
    add_on_device(device_sum_, scalar, factor);
  }

  double sum_ = 0.0;
  Tensor device_sum_{};
  double weight_ = 0.0;
  Tensor device_weight_{};  // of weights that came as tensors of the device
};

}  // namespace tacit::inline v0
