#pragma once

#include <c10/core/Device.h>
#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>
#include <c10/macros/Export.h>

#include <concepts>

// The declarations of <ATen/autocast_mode.h>, which brings all of ATen and torch/library.h: 20 s of every compilation.
// A test includes both, so that a difference does not compile.
// NOLINTBEGIN(readability-redundant-declaration)
namespace at::autocast {
TORCH_API bool is_autocast_enabled(c10::DeviceType device_type);
TORCH_API void set_autocast_enabled(c10::DeviceType device_type, bool enabled);
TORCH_API c10::ScalarType get_autocast_dtype(c10::DeviceType device_type);
TORCH_API void set_autocast_dtype(c10::DeviceType device_type, c10::ScalarType dtype);
TORCH_API void clear_cache();
TORCH_API int increment_nesting();
TORCH_API int decrement_nesting();
TORCH_API bool is_autocast_cache_enabled();
TORCH_API void set_autocast_cache_enabled(bool enabled);
}  // namespace at::autocast
// NOLINTEND(readability-redundant-declaration)

namespace tacit::inline v0 {

/// While it lives, this thread computes the operations that bear it in a lower precision; then all is as before.
/// Example: AutocastScope const half{at::kCPU, at::kHalf};
///
/// LibTorch keeps its casts of parameters until the outermost scope ends. Where the caller has a scope of its own
/// around us, a cast made before an update would be taken after it, and in older versions one made without a graph, as
/// in evaluation, by a training step, whose parameters then get no gradient. Therefore the casts are dropped on the way
/// in and on the way out. Requires: begins and ends on one thread.
class AutocastScope {
 public:
  /// Changes nothing.
  AutocastScope() = default;
  AutocastScope(c10::DeviceType type, c10::ScalarType dtype)
      : active_{true},
        was_enabled_{at::autocast::is_autocast_enabled(type)},
        type_{type},
        was_dtype_{at::autocast::get_autocast_dtype(type)} {
    at::autocast::set_autocast_dtype(type, dtype);
    at::autocast::set_autocast_enabled(type, true);
    if (at::autocast::increment_nesting() > 1) at::autocast::clear_cache();
  }
  AutocastScope(AutocastScope const&) = delete;
  AutocastScope& operator=(AutocastScope const&) = delete;
  ~AutocastScope() {
    if (!active_) return;
    at::autocast::decrement_nesting();
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type_, was_enabled_);
    at::autocast::set_autocast_dtype(type_, was_dtype_);
  }

 private:
  bool active_ = false;
  bool was_enabled_ = false;
  c10::DeviceType type_ = c10::DeviceType::CPU;
  c10::ScalarType was_dtype_ = c10::ScalarType::Undefined;
};

namespace detail {

/// A bound device that tells what LibTorch calls it.
template <class Device>
concept tells_device = requires(Device const& device) {
  { device.device() } -> std::convertible_to<c10::Device>;
};

/// LibTorch's device; the CPU where the bound device does not tell.
template <class Device>
c10::Device device_of([[maybe_unused]] Device const& device) {
  if constexpr (tells_device<Device>) {
    return device.device();
  } else {
    return c10::Device{c10::DeviceType::CPU};
  }
}
template <class Device>
c10::DeviceType device_type_of(Device const& device) {
  return device_of(device).type();
}

}  // namespace detail

}  // namespace tacit::inline v0
