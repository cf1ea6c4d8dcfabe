#pragma once

#include <utility>

#include "tacit/concepts/tensor.hpp"
#include "tacit/events/log_point.hpp"

namespace tacit::inline v0 {

/// A number that lives on the device: reading it needs a log point, because it may wait.
template <tensor Tensor>
class basic_device_scalar {
 public:
  basic_device_scalar() = default;
  explicit basic_device_scalar(Tensor value) : value_{std::move(value)} {}

  Tensor const& tensor() const noexcept { return value_; }
  /// Cost: waits for the device where host reads are not free.
  double read(LogPoint const&) const { return tensor_traits<Tensor>::read(value_); }

 private:
  Tensor value_{};
};

}  // namespace tacit::inline v0
