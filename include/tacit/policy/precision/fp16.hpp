#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <concepts>
#include <cstdint>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/policy/precision/autocast.hpp"
#include "tacit/policy/precision/grad_scaler.hpp"

namespace tacit::inline v0 {

/// Mixed precision in float16: parameters, gradients and updates stay float32, what bears it computes in float16 within
/// the task's step, and the loss is scaled.
///
/// An update with an infinite gradient changes nothing but the scale, and schedules do not advance on it. No step waits for
/// the device.
/// Example: Fp16{.scale = {.initial = 1024.0}}
struct Fp16 {
  using slot = slot::precision;

  LossScale scale{};

  template <class Parameters>
  class bound {
   public:
    using tensor_type = typename Parameters::tensor_type;
    static constexpr bool casts = false;

    bound(LossScale const& scale, c10::Device device) : scaler_{scale, device}, device_{device} {}

    tensor_type const& cast(tensor_type const& tensor) const noexcept { return tensor; }
    AutocastScope autocast() const { return {device_.type(), c10::ScalarType::Half}; }
    void backward(tensor_type const& loss, double factor) const { scaler_.backward(loss, factor); }
    tensor_type const* unscale(Parameters& parameters) { return &scaler_.unscale(parameters); }
    void after_update() { scaler_.update(); }
    static constexpr char const* name() noexcept { return "fp16"; }

    /// How many updates were skipped so far, as far as the host knows without waiting: on a CUDA device as of the last
    /// log point.
    std::int64_t skipped(LogPoint const* log_point) {
      if (log_point != nullptr || tensor_traits<tensor_type>::host_readable(scaler_.skipped())) {
        skipped_ = static_cast<std::int64_t>(tensor_traits<tensor_type>::read(scaler_.skipped()));
      }
      return skipped_;
    }
    void discard() noexcept { scaler_.discard(); }
    /// Throws: ConfigError if the scale fell below `LossScale::lowest`; on a CUDA device at log points.
    void require_recoverable(LogPoint const* log_point) const {
      if (log_point != nullptr) scaler_.require_recoverable(*log_point);
    }
    GradScaler const& scaler() const noexcept { return scaler_; }

    static void visit_state(auto& self, auto&& visit) { GradScaler::visit_state(self.scaler_, visit); }

   private:
    GradScaler scaler_;
    c10::Device device_;
    std::int64_t skipped_ = 0;
  };

  template <class Parameters, class Device>
    requires std::same_as<typename Parameters::tensor_type, at::Tensor>
  bound<Parameters> bind(Device const& device) const {
    return {scale, detail::device_of(device)};
  }

  static void visit_config(auto& self, auto&& visit) { LossScale::visit_config(self.scale, visit); }
};

}  // namespace tacit::inline v0
