#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace tacit::inline v0 {

/// A module that talks to the same module on other ranks in its forward and backward pass; a trainer with several processes tells it how.
class GroupMember {
 public:
  /// Sums a tensor over all ranks, in place. Returns: false if this rank only stands in, and adds nothing.
  using Sum = std::function<bool(at::Tensor&)>;

  virtual ~GroupMember() = default;
  virtual void join(Sum sum, int world_size) = 0;
};

}  // namespace tacit::inline v0
