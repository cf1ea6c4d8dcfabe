#pragma once

#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "tacit/core/error.hpp"

namespace tacit::inline v0::loss {

/// Cross entropy of unnormalised scores (logits), the mean over the samples, as torch.nn.CrossEntropyLoss.
///
/// `prediction` is [N, C], or [N, C, d1, ...]. `target` holds class indices from 0 to C-1, int64 [N] or [N, d1, ...],
/// and the mean is over those that are not `ignore_index`; or probabilities, of the prediction's sizes and type.
struct CrossEntropy {
  double label_smoothing = 0.0;
  std::int64_t ignore_index = -100;

  /// Throws: as `check`, where LibTorch refuses a batch on the CPU.
  at::Tensor operator()(at::Tensor const& prediction, at::Tensor const& target) const {
    try {
      return at::cross_entropy_loss(prediction, target, std::nullopt, at::Reduction::Mean, ignore_index,
                                    label_smoothing);
    } catch (c10::Error const&) {
      // LibTorch names the label but no row. (A kernel on CUDA does not throw: it kills the context.)
      if (target.is_cpu()) check(prediction, target);
      throw;
    }
  }

  /// Looks at a whole batch; the trainer does so with the first one, before it moves to the device.
  /// Throws: DataError for labels of a wrong type, of sizes that do not fit, out of range (naming value and row);
  /// ConfigError for a label smoothing outside [0, 1]. Cost: copies a target that is not on the CPU there.
  void check(at::Tensor const& prediction, at::Tensor const& target) const {
    if (!(label_smoothing >= 0.0 && label_smoothing <= 1.0)) {
      throw ConfigError{"TACIT-RC38", detail::message({"label_smoothing is ", printed(label_smoothing)}), name,
                        "give a number from 0 to 1"};
    }
    bool const same_sizes = prediction.sizes().equals(target.sizes());
    if (target.is_floating_point() && same_sizes) return;
    if (target.scalar_type() != at::kLong && target.scalar_type() != at::kByte) {
      throw DataError{"TACIT-RD44",
                      detail::message({"the labels are of type ", printed(target.scalar_type()), " and sizes ", printed(target.sizes()),
                                       ", the prediction has sizes ", printed(prediction.sizes())}),
                      name, "class indices are int64: target.to(at::kLong); probabilities have the prediction's sizes"};
    }
    if (!indices_fit(prediction, target)) {
      throw DataError{
          "TACIT-RD45",
          "the prediction has sizes " + printed(prediction.sizes()) + ", the labels " + printed(target.sizes()), name,
          "wanted: a prediction [N, C] with labels [N], or [N, C, d1, ...] with [N, d1, ...]"};
    }
    check_range(prediction.size(prediction.dim() == 1 ? 0 : 1), target);
  }

 private:
  static constexpr std::string_view name = "loss::CrossEntropy";

  template <class Value>
  static std::string printed(Value const& value) {
    std::ostringstream text;
    text << value;
    return std::move(text).str();
  }

  static bool indices_fit(at::Tensor const& prediction, at::Tensor const& target) {
    if (prediction.dim() == 0 || target.dim() + 1 != prediction.dim()) return false;
    if (target.dim() == 0) return true;
    return prediction.size(0) == target.size(0) && prediction.sizes().slice(2).equals(target.sizes().slice(1));
  }

  void check_range(std::int64_t classes, at::Tensor const& target) const {
    at::Tensor const labels = target.to(at::kCPU, at::kLong).contiguous();
    auto const* const label = static_cast<std::int64_t const*>(labels.const_data_ptr());
    std::int64_t const count = labels.numel();
    std::int64_t const per_row = labels.dim() == 0 || labels.size(0) == 0 ? 1 : count / labels.size(0);
    for (std::int64_t i = 0; i < count; ++i) {
      if ((label[i] >= 0 && label[i] < classes) || label[i] == ignore_index) continue;
      std::string what = "label " + std::to_string(label[i]) + " in row " + std::to_string(i / per_row);
      if (per_row > 1) what += " (element " + std::to_string(i % per_row) + " of the row)";
      throw DataError{
          "TACIT-RD46",
          what + " of a batch of " + std::to_string(count / per_row) + ", for " + std::to_string(classes) + " classes",
          name,
          "labels go from 0 to " + std::to_string(classes - 1) +
              "; give the model more outputs, or name labels to leave out as ignore_index"};
    }
  }
};

}  // namespace tacit::inline v0::loss
