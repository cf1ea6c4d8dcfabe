#pragma once

#include <ATen/DeviceAccelerator.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/Device.h>
#include <c10/core/Layout.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/launch/devices.hpp"
#include "tacit/launch/environment.hpp"
#include "tacit/launch/world.hpp"
#include "tacit/policy/choice.hpp"
#include "tacit/policy/device/cuda_library.hpp"

namespace tacit::inline v0 {

namespace unit {
struct cuda_device {
  static constexpr std::string_view name = "a CUDA device";
};
}  // namespace unit
/// Which of the visible CUDA devices, counted from 0.
using CudaIndex = Count<unit::cuda_device>;

namespace detail {

/// A bound CUDA device.
class CudaDevice {
 public:
  static constexpr bool is_host = false;

  explicit CudaDevice(c10::DeviceIndex index) : device_{c10::DeviceType::CUDA, index} {}

  /// The tensor on the device; the host does not wait for the copy.
  ///
  /// A copy from pageable memory would wait for all earlier work of the device, therefore batches go through pinned
  /// memory of LibTorch's caching allocator. Parameters and very large tensors go directly and wait.
  at::Tensor to(at::Tensor const& tensor) const {
    if (!tensor.defined() || tensor.device() == device_) return tensor;
    bool const on_host = tensor.is_cpu() && tensor.layout() == c10::kStrided;
    if (on_host && tensor.is_pinned()) return tensor.to(device_, /*non_blocking=*/true);
    bool const can_be_staged =
        on_host && !tensor.requires_grad() && tensor.is_non_overlapping_and_dense() && tensor.nbytes() <= staging_limit;
    return can_be_staged ? tensor.pin_memory().to(device_, /*non_blocking=*/true) : tensor.to(device_);
  }

  static constexpr bool host_reads_free() noexcept { return false; }

  std::string name() const {
    std::string const model = cuda_device_name(device_.index());
    return "cuda:" + std::to_string(int{device_.index()}) + (model.empty() ? "" : " (" + model + ")");
  }
  /// Waits for all work of the device.
  void synchronize() const { at::detail::getCUDAHooks().deviceSynchronize(device_.index()); }

  /// Gives what LibTorch's allocator keeps for later back to the device: blocks of other sizes may be made of it.
  void release_memory() const { at::accelerator::emptyCache(); }

  /// What LibTorch calls it; the precision policies ask for it.
  c10::Device device() const noexcept { return device_; }

 private:
  static constexpr std::size_t staging_limit = std::size_t{64} << 20;

  c10::Device device_;
};

inline CudaIndex index_of(DeviceChoice const& choice) { return choice.index < 0 ? CudaIndex{unset} : CudaIndex{choice.index}; }

/// Without an index, of the processes that a launcher started on this host each has a device of its own.
/// Throws: ConfigError that says why CUDA cannot be used; DistributedError if there are fewer devices than processes.
inline CudaDevice bind_cuda(CudaIndex wanted, std::string_view where) {
  if (CudaProblem const problem = prepare_cuda(); !problem.code.empty()) {
    throw ConfigError{problem.code, problem.what, where, problem.fix};
  }
  int const count = cuda_device_count();
  auto const announced = launch::announced_world();
  std::int64_t const index = wanted.is_set() ? wanted.value() : announced && announced->world_size > 1 ? launch::own_device(launch::world(), count) : 0;
  if (index >= count) {
    throw ConfigError{"TACIT-RC74", detail::message({"there is no CUDA device ", index, ", only ", count, " visible, counted from 0"}), where,
                      "give a smaller index, or see what CUDA_VISIBLE_DEVICES hides"};
  }
  return CudaDevice{static_cast<c10::DeviceIndex>(index)};
}

}  // namespace detail

/// Training on an NVIDIA GPU. Compiles with no CUDA header, and without a CUDA library at link time.
///
/// Linking `tacit::libtorch_cuda` is the sure way; without it LibTorch's CUDA library is loaded when a trainer is made,
/// which comes too late in a program that asked LibTorch for CUDA before (`torch::manual_seed` does) or ran a backward
/// pass: LibTorch makes its threads at the first one.
/// Throws: ConfigError on binding where no such device can be used, with the reason and the ways out.
/// Example: `tacit::Trainer trainer{model, loss, optimizer, tacit::Cuda{.index = 1}};`
struct Cuda {
  using slot = slot::device;

  CudaIndex index = unset;  ///< where not given 0, or under a launcher of several processes that of the local rank

  template <class Tensor>
    requires std::same_as<Tensor, at::Tensor>
  detail::CudaDevice bind() const {
    return detail::bind_cuda(index, "Cuda");
  }

  /// What `run` makes of `--device cuda:1`.
  static Cuda parse(std::string_view text) {
    return {.index = detail::index_of(detail::parse_device(text, "--device"))};
  }
};

}  // namespace tacit::inline v0
