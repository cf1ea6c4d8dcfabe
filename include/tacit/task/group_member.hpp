#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace tacit::inline v0 {

/// A module that talks to the same module on other ranks in its forward and backward pass; a trainer with several processes tells it how.
class GroupMember {
 public:
  /// What became of a sum: it is over all ranks, over all without this one, which only stands in, or there is no group any more and the
  /// tensor is as it was.
  enum class Summed { all, absent, alone };
  /// Sums a tensor over all ranks, in place.
  using Sum = std::function<Summed(at::Tensor&)>;

  virtual ~GroupMember() = default;
  virtual void join(Sum sum, int world_size) = 0;
};

}  // namespace tacit::inline v0
