#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/policy/choice.hpp"
#include "tacit/policy/precision/autocast.hpp"
#include "tacit/policy/precision/fp16.hpp"
#include "tacit/policy/precision/fp64.hpp"

namespace tacit::inline v0 {

/// The precision that a text names, known only at run time: "auto", which is fp32, "fp32", "fp64", "bf16" or "fp16".
///
/// One branch per use. Throws: ConfigError on binding for any other text.
struct AutoPrecision {
  using slot = slot::precision;

  std::string choice = "auto";

  template <class Parameters>
  class bound {
    using kind = detail::precision_kind;

   public:
    using tensor_type = typename Parameters::tensor_type;
    static constexpr bool casts = true;

    bound(kind chosen, c10::Device device) : kind_{chosen}, device_{device} {
      if (kind_ == kind::fp16) scaled_.emplace(LossScale{}, device);
    }

    tensor_type cast(tensor_type const& tensor) const {
      return kind_ == kind::fp64 ? tensor_traits<tensor_type>::to_float64(tensor) : tensor;
    }
    AutocastScope autocast() const {
      if (kind_ == kind::bf16) return {device_.type(), c10::ScalarType::BFloat16};
      if (kind_ == kind::fp16) return scaled_->autocast();
      return {};
    }
    void backward(tensor_type const& loss, double factor) const {
      if (kind_ == kind::fp16) {
        scaled_->backward(loss, factor);
      } else {
        tensor_traits<tensor_type>::backward(loss, factor);
      }
    }
    tensor_type const* unscale(Parameters& parameters) { return kind_ == kind::fp16 ? scaled_->unscale(parameters) : nullptr; }
    void after_update() {
      if (kind_ == kind::fp16) scaled_->after_update();
    }
    std::int64_t skipped(LogPoint const* log_point) { return kind_ == kind::fp16 ? scaled_->skipped(log_point) : 0; }
    void discard() noexcept {
      if (kind_ == kind::fp16) scaled_->discard();
    }
    void require_recoverable(LogPoint const* log_point) const {
      if (kind_ == kind::fp16) scaled_->require_recoverable(log_point);
    }
    char const* name() const noexcept {
      switch (kind_) {
        case kind::fp32:
          return "fp32";
        case kind::fp64:
          return "fp64";
        case kind::bf16:
          return "bf16";
        case kind::fp16:
          return "fp16";
      }
      return "";
    }

   private:
    kind kind_;
    c10::Device device_;
    std::optional<Fp16::bound<Parameters>> scaled_{};
  };

  template <class Parameters, class Device>
    requires std::same_as<typename Parameters::tensor_type, at::Tensor> && has_float64<typename Parameters::tensor_type>
  bound<Parameters> bind(Device const& device) const {
    return {detail::parse_precision(choice, "AutoPrecision::choice"), detail::device_of(device)};
  }
};

}  // namespace tacit::inline v0
