#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <concepts>
#include <string>
#include <utility>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/list.hpp"
#include "tacit/policy/choice.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/device/cuda.hpp"
#include "tacit/policy/device/cuda_library.hpp"
#include "tacit/policy/device/host_threads.hpp"
#include "tacit/policy/device/operator_work.hpp"
#include "tacit/task/aten.hpp"

namespace tacit::inline v0 {

namespace detail {

/// A bound device that was chosen at run time: one branch per use.
class ChosenDevice {
 public:
  static constexpr bool is_host = false;

  using threads_type = HostThreads<tensor_traits<at::Tensor>, OperatorWork>;

  ChosenDevice(c10::Device device, std::string reason, ThreadsWanted threads = {})
      : device_{device}, reason_{std::move(reason)}, threads_{threads, device.is_cpu()} {}

  at::Tensor to(at::Tensor const& tensor) const {
    return device_.is_cpu() ? tensor : CudaDevice{device_.index()}.to(tensor);
  }
  bool host_reads_free() const noexcept { return device_.is_cpu(); }
  std::string name() const { return device_.is_cpu() ? "cpu" : CudaDevice{device_.index()}.name(); }
  void synchronize() const {
    if (!device_.is_cpu()) CudaDevice{device_.index()}.synchronize();
  }
  void release_memory() const {
    if (!device_.is_cpu()) CudaDevice{device_.index()}.release_memory();
  }

  auto run_scope() { return threads_.run_scope(); }
  auto forward_scope() { return threads_.forward_scope(); }
  void after_update() { threads_.after_update(); }
  /// The number of threads of the runs: a part of a state.
  threads_type& threads() noexcept { return threads_; }

  c10::Device device() const noexcept { return device_; }
  /// The policy that this device is of is asked what excludes it.
  template <class Visit>
  void visit_chosen(Visit const& visit) const {
    if (device_.is_cpu()) {
      visit(type<Cpu>{});
    } else {
      visit(type<Cuda>{});
    }
  }
  /// Why this device.
  std::string const& reason() const& noexcept { return reason_; }
  std::string reason() const&& { return reason_; }

 private:
  c10::Device device_;
  std::string reason_;
  threads_type threads_;
};

}  // namespace detail

/// The device that a text names, known only at run time: "auto", "cpu", "cuda" or "cuda:1".
///
/// "auto" is a CUDA device where one can be used, that of the local rank under a launcher, else the CPU; the bound
/// device's `reason()` says why. `threads` "auto" is one thread for a small model, and all for others, by the shapes of
/// the first batch: see docs/policies.md.
/// Throws: ConfigError on binding for any other text, and where the CUDA device asked for cannot be used.
struct AutoDevice {
  using slot = slot::device;

  std::string choice = "auto";
  std::string threads{};  ///< a number, and on the host also auto, all or measured; where empty, what the library uses

  template <class Tensor>
    requires std::same_as<Tensor, at::Tensor>
  detail::ChosenDevice bind() const {
    detail::DeviceChoice const wanted = detail::parse_device(choice, "AutoDevice::choice");
    detail::ThreadsWanted const count = detail::parse_threads(threads, "AutoDevice::threads");
    if (wanted.kind == detail::device_kind::cpu) return {c10::Device{c10::DeviceType::CPU}, "asked for", count};
    bool const is_asked_for = wanted.kind == detail::device_kind::cuda;
    if (!is_asked_for) {
      detail::CudaProblem const problem = detail::prepare_cuda();
      if (!problem.code.empty()) return {c10::Device{c10::DeviceType::CPU}, problem.what, count};
    }
    return {detail::bind_cuda(detail::index_of(wanted), "AutoDevice::choice").device(),
            is_asked_for ? "asked for" : "a CUDA device is visible", count};
  }
};

}  // namespace tacit::inline v0
