#pragma once

#include <limits>

#include "tacit/concepts/tensor.hpp"
#include "tacit/metric/device_scalar.hpp"

namespace tacit::inline v0 {

/// A weighted mean as its sum and its total weight in float64, on the device where host reads are not free; exact over ranks.
template <tensor Tensor>
class basic_mean {
 public:
  /// Adds every element of a tensor with weight 1: booleans count as 0 and 1.
  void add(Tensor const& values) {
    accumulate(tensor_traits<Tensor>::sum(values), 1.0);
    weight_ += static_cast<double>(tensor_traits<Tensor>::numel(values));
  }
  /// Adds one scalar that is already a mean over `weight` items, a loss say.
  void add(Tensor const& mean, double weight) {
    accumulate(mean, weight);
    weight_ += weight;
  }
  void add(double mean, double weight) {
    sum_ += mean * weight;
    weight_ += weight;
  }
  void reset() { *this = basic_mean{}; }

  double weight() const noexcept { return weight_; }
  /// The weighted sum. Cost: waits for the device where host reads are not free.
  double sum(LogPoint const&) const {
    return sum_ + (tensor_traits<Tensor>::defined(device_sum_) ? tensor_traits<Tensor>::read(device_sum_) : 0.0);
  }
  /// The mean so far; NaN before anything was added. Cost: as `sum`.
  double read(LogPoint const& log_point) const {
    return weight_ == 0.0 ? std::numeric_limits<double>::quiet_NaN() : sum(log_point) / weight_;
  }

  static void visit_state(auto& self, auto&& visit) {
    visit("sum", self.sum_);
    visit("device_sum", self.device_sum_);
    visit("weight", self.weight_);
  }

 private:
  void accumulate(Tensor const& scalar, double factor) {
    if (tensor_traits<Tensor>::host_readable(scalar)) {
      sum_ += factor * tensor_traits<Tensor>::read(scalar);
      return;
    }
    if (!tensor_traits<Tensor>::defined(device_sum_)) device_sum_ = tensor_traits<Tensor>::scalar_like(0.0, scalar);
    tensor_traits<Tensor>::add_(device_sum_, scalar, factor);
  }

  double sum_ = 0.0;
  Tensor device_sum_{};
  double weight_ = 0.0;
};

}  // namespace tacit::inline v0
