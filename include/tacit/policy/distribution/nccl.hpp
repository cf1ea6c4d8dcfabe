// needs: NCCL
#pragma once

#ifndef USE_C10D_NCCL
#define USE_C10D_NCCL  // LibTorch's header is empty without it
#endif
#include <ATen/cuda/CUDAContext.h>
#include <torch/csrc/cuda/nccl.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/launch/devices.hpp"
#include "tacit/launch/world.hpp"
#include "tacit/policy/distribution/gloo.hpp"

namespace tacit::inline v0 {

/// What becomes of this process when another one fails, or is slower than the time limit, while the GPU works for both.
enum class NcclFailure {
  end_process,  ///< LibTorch prints why and ends it; the host never waits for a reduction
  throw_error,  ///< an exception; the host waits for every reduction
};

namespace detail {

/// Options of NCCL have another layout in another version. Versions are NCCL_VERSION_CODE's, 22809 for 2.28.9.
/// Throws: DistributedError unless both are of one minor version.
inline void require_nccl(int compiled, int running) {
  auto const text = [](int version) { return std::to_string(version / 10'000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100); };
  if (compiled / 100 == running / 100) return;
  throw DistributedError{"TACIT-RX27", message({"this program was compiled with the header of NCCL ", text(compiled), ", but NCCL ", text(running), " runs"}), "Nccl",
                         "compile with the nccl.h of the package nvidia-nccl that LibTorch's package names"};
}

/// The device's own name, the same in every process that sees it.
inline std::string unique_name(c10::Device device) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text = "GPU-";
  for (char byte : at::cuda::getDeviceProperties(device.index())->uuid.bytes) {
    auto const value = static_cast<unsigned char>(byte);
    text += digits[value >> 4];
    text += digits[value & 15];
  }
  return text;
}

}  // namespace detail

/// Collectives of tensors on NVIDIA GPUs; those of numbers and texts go by Gloo, so that the host waits for no GPU.
///
/// Requires: the headers of CUDA and NCCL, and LibTorch's CUDA library: `tacit::nccl` brings what it finds of them.
/// Each process has a GPU of its own: `Cuda` without an index takes that of the local rank.
/// TORCH_NCCL_BLOCKING_WAIT and TORCH_NCCL_ASYNC_ERROR_HANDLING count instead of `on_failure` where they are set.
/// Example: `tacit::Trainer trainer{model, loss, optimizer, tacit::Cuda{}, tacit::Ddp<tacit::Nccl>{}};`
struct Nccl {
  NcclFailure on_failure = NcclFailure::end_process;
  bool high_priority_stream = false;  ///< reductions go before other work of the GPU
  Gloo gloo{};

  static constexpr std::string_view name = "nccl";
  template <class Device>
  static constexpr bool serves = !Device::is_host;

  /// Throws: DistributedError if NCCL is of another version, or two ranks are on one GPU; what LibTorch throws.
  c10::intrusive_ptr<c10d::ProcessGroup> connect(c10::intrusive_ptr<c10d::Store> const& store, launch::World const& world, std::chrono::milliseconds timeout, c10::Device device) const {
    if (!device.is_cuda()) {
      throw DistributedError{"TACIT-RX21", detail::message({"NCCL averages no gradients on ", device.str()}), "Nccl", "train on Cuda, or take Ddp<Gloo>"};
    }
    std::uint64_t const running = torch::cuda::nccl::version();
    auto const part = [&](int shift) { return static_cast<int>(running >> shift & 0xffff); };
    detail::require_nccl(NCCL_VERSION_CODE, part(32) * 10'000 + part(16) * 100 + part(0));
    require_own_device(*store, world, device, timeout);

    bool const throws = on_failure == NcclFailure::throw_error;
    constexpr int keep = 0;
    ::setenv("TORCH_NCCL_BLOCKING_WAIT", throws ? "1" : "0", keep);
    ::setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", throws ? "0" : "3", keep);

    c10::intrusive_ptr<c10d::ProcessGroup> const group = gloo.connect(c10::make_intrusive<c10d::PrefixStore>("gloo", store), world, timeout, device);
    auto options = c10d::ProcessGroupNCCL::Options::create(high_priority_stream);
    options->timeout = timeout;
    auto const backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(c10::make_intrusive<c10d::PrefixStore>("nccl", store), world.rank, world.world_size, std::move(options));
    backend->eagerConnectSingleDevice(device);  // so that what cannot connect says so now
    group->setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::NCCL, backend);
    return group;
  }

 private:
  static void require_own_device(c10d::Store& store, launch::World const& world, c10::Device device, std::chrono::milliseconds timeout) {
    std::vector<std::string> devices;
    for (std::string const& key : detail::await_all(store, world, "device", detail::unique_name(device), timeout)) {
      auto const bytes = store.get(key);
      devices.emplace_back(bytes.begin(), bytes.end());
    }
    launch::require_own_devices(devices);
  }
};

}  // namespace tacit::inline v0
