#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace tacit::inline v0 {

/// A module that talks to the same module on other ranks in its forward and backward pass; a trainer with several processes tells it how.
class GroupMember {
 public:
  /// Sums a tensor over all ranks, in place.
  using Sum = std::function<void(at::Tensor&)>;

  virtual ~GroupMember() = default;
  virtual void join(Sum sum, int world_size) = 0;
};

namespace detail {
/// Tells every such module of a model how to sum over the ranks.
template <class Model>
void join_members(Model& model, GroupMember::Sum const& sum, int world_size) {
  if constexpr (requires { model.modules(); }) {
    for (auto& module : model.modules()) {
      if (auto* const member = dynamic_cast<GroupMember*>(&*module)) member->join(sum, world_size);
    }
  }
}
}  // namespace detail

}  // namespace tacit::inline v0
