#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <concepts>
#include <string>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/policy/choice.hpp"
#include "tacit/policy/precision/autocast.hpp"
#include "tacit/policy/precision/fp64.hpp"

namespace tacit::inline v0 {

/// The precision that a text names, known only at run time: "auto", which is fp32, "fp32", "fp64" or "bf16".
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

    bound(kind chosen, c10::DeviceType type) noexcept : kind_{chosen}, type_{type} {}

    tensor_type cast(tensor_type const& tensor) const {
      return kind_ == kind::fp64 ? tensor_traits<tensor_type>::to_float64(tensor) : tensor;
    }
    detail::AutocastScope autocast() const {
      if (kind_ != kind::bf16) return {};
      return {type_, c10::ScalarType::BFloat16};
    }
    void backward(tensor_type const& loss, double factor) const { tensor_traits<tensor_type>::backward(loss, factor); }
    tensor_type const* unscale(Parameters&) const noexcept { return nullptr; }
    void after_update() const noexcept {}
    char const* name() const noexcept {
      switch (kind_) {
        case kind::fp32:
          return "fp32";
        case kind::fp64:
          return "fp64";
        case kind::bf16:
          return "bf16";
      }
      return "";
    }

   private:
    kind kind_;
    c10::DeviceType type_;
  };

  template <class Parameters, class Device>
    requires std::same_as<typename Parameters::tensor_type, at::Tensor> && has_float64<typename Parameters::tensor_type>
  bound<Parameters> bind(Device const& device) const {
    return {detail::parse_precision(choice, "AutoPrecision::choice"), detail::device_type_of(device)};
  }
};

}  // namespace tacit::inline v0
