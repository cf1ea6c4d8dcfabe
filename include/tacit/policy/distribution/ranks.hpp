#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

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

/// While it lives, `depth` is one higher: backward passes leave gradients on this rank. Null: there is one rank.
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

}  // namespace tacit::inline v0::detail
