#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tacit/task/group_member.hpp"

/// What distributions over LibTorch's tensors share, without LibTorch's headers for processes.
namespace tacit::inline v0::detail {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

template <class Model>
NamedTensors buffers_of(Model& model) {
  NamedTensors tensors;
  for (auto&& item : model.named_buffers()) tensors.emplace_back(item.key(), item.value());
  return tensors;
}
/// What no optimizer trains: frozen parameters, and buffers.
template <class Model>
NamedTensors untrained_of(Model& model) {
  NamedTensors tensors = buffers_of(model);
  for (auto&& item : model.named_parameters()) {
    if (!item.value().requires_grad()) tensors.emplace_back(item.key(), item.value());
  }
  return tensors;
}

/// Where a bound device policy puts tensors.
template <class Device>
c10::Device place_of(Device const& device) {
  if constexpr (requires { device.device(); }) {
    return device.device();
  } else {
    return c10::Device{c10::DeviceType::CPU};
  }
}

/// While it lives, `depth` is one higher: something of this rank stays on this rank. Null: there is one rank.
class LocalScope {
 public:
  explicit LocalScope(int* depth) noexcept : depth_{depth} {
    if (depth_ != nullptr) ++*depth_;
  }
  LocalScope(LocalScope&& other) noexcept : depth_{std::exchange(other.depth_, nullptr)} {}
  LocalScope& operator=(LocalScope&&) = delete;
  ~LocalScope() {
    if (depth_ != nullptr) --*depth_;
  }

 private:
  int* depth_;
};

/// The modules of a model that talk to the other ranks.
class Members {
 public:
  /// Tells each of them how to sum over the ranks. `sum(tensor)` is false once the ranks are gone: modules outlive a trainer.
  template <class Model>
  void join(Model& model, std::function<bool(at::Tensor&)> const& sum, int world_size) {
    if constexpr (requires { model.modules(); }) {
      for (auto& module : model.modules()) {
        auto* const member = dynamic_cast<GroupMember*>(&*module);
        if (member == nullptr) continue;
        is_empty_ = world_size == 1;
        member->join(
            [sum, absent = absent_](at::Tensor& tensor) {
              bool const counts = *absent == 0;
              at::Tensor part = counts ? tensor : at::zeros_like(tensor);
              if (!sum(part)) return GroupMember::Summed::alone;
              if (!counts) tensor.copy_(part);
              return counts ? GroupMember::Summed::all : GroupMember::Summed::absent;
            },
            world_size);
      }
    }
  }
  bool is_empty() const noexcept { return is_empty_; }
  /// While it lives, they add nothing to the sums.
  LocalScope absent() noexcept { return LocalScope{absent_.get()}; }

 private:
  bool is_empty_ = true;
  std::shared_ptr<int> absent_ = std::make_shared<int>(0);  // of the modules, too, which outlive a trainer
};

}  // namespace tacit::inline v0::detail
