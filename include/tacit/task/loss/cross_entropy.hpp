#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/task/loss_weight.hpp"

namespace tacit::inline v0::loss {

/// Cross entropy of unnormalised scores (logits), the mean over the labels that count, as torch.nn.CrossEntropyLoss.
///
/// `prediction` is [N, C], or [N, C, d1, ...]. `target` holds class indices from 0 to C-1, int64 [N] or [N, d1, ...],
/// and the mean is over those that are not `ignore_index`, each as often as its class weighs; or probabilities, of the
/// prediction's sizes and type. A batch of which no label counts has the loss 0, the gradient 0 and the weight 0.
struct CrossEntropy {
  double label_smoothing = 0.0;
  std::int64_t ignore_index = -100;
  at::Tensor class_weights{};  ///< [C], in the prediction's type; undefined: 1 for each class

  /// Throws: as `check`, where LibTorch refuses a batch on the CPU.
  at::Tensor operator()(at::Tensor const& prediction, at::Tensor const& target) const {
    try {
      if (prediction.dim() == 0 || target.is_floating_point()) return library_loss(prediction, target, at::Reduction::Mean);
      if (target.is_cpu()) {
        // The sum of no label is 0, and so is its gradient; its mean is 0/0.
        return library_loss(prediction, target, weight_on_host(target) == 0.0 ? at::Reduction::Sum : at::Reduction::Mean);
      }
      at::Tensor const divisor = weight(prediction, target);
      return library_loss(prediction, target, at::Reduction::Sum).div(divisor.masked_fill(divisor.eq(0), 1));
    } catch (c10::Error const&) {
      // LibTorch names the label but no row. (A kernel on CUDA does not throw: it kills the context.)
      if (target.is_cpu()) check(prediction, target);
      throw;
    }
  }

  /// What the loss of a batch is a mean over: its labels that count, each as often as its class weighs; a scalar on the target's
  /// device. Cost: on the CPU a loop over the labels.
  at::Tensor weight(at::Tensor const& prediction, at::Tensor const& target) const {
    if (target.is_floating_point()) return host_scalar(static_cast<double>(prediction.numel() / prediction.size(prediction.dim() == 1 ? 0 : 1)));
    return target.is_cpu() ? host_scalar(weight_on_host(target)) : detail::counted_labels(target, ignore_index, class_weights);
  }

  /// Looks at a whole batch; the trainer does so with the first one, before it moves to the device.
  /// Throws: DataError for labels of a wrong type, of sizes that do not fit, out of range (naming value and row);
  /// ConfigError for a label smoothing outside [0, 1], or class weights that are not one finite number from 0 for each class.
  /// Cost: copies a target that is not on the CPU there.
  void check(at::Tensor const& prediction, at::Tensor const& target) const {
    if (!(label_smoothing >= 0.0 && label_smoothing <= 1.0)) {
      throw ConfigError{"TACIT-RC38", detail::message({"label_smoothing is ", printed(label_smoothing)}), name,
                        "give a number from 0 to 1"};
    }
    if (class_weights.defined() && prediction.dim() > 0) check_class_weights(prediction.size(prediction.dim() == 1 ? 0 : 1));
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

  /// Visits the class weights, which the trainer brings to the device.
  void visit_tensors(auto&& visit) {
    if (class_weights.defined()) visit(class_weights);
  }

 private:
  static constexpr std::string_view name = "loss::CrossEntropy";

  at::Tensor library_loss(at::Tensor const& prediction, at::Tensor const& target, std::int64_t reduction) const {
    auto const weights = class_weights.defined() ? std::optional<at::Tensor>{class_weights} : std::nullopt;
    return at::cross_entropy_loss(prediction, target, weights, reduction, ignore_index, label_smoothing);
  }

  static at::Tensor host_scalar(double value) {
    at::Tensor const scalar = at::detail::empty_cpu({}, at::kDouble);
    *static_cast<double*>(scalar.mutable_data_ptr()) = value;
    return scalar;
  }

  /// Requires: a target of int64 or bytes. What is no label counts for nothing here: the loss throws.
  double weight_on_host(at::Tensor const& target) const {
    if (target.scalar_type() != at::kLong) {
      if (!class_weights.defined() && target.scalar_type() == at::kByte && (ignore_index < 0 || ignore_index > 255)) return static_cast<double>(target.numel());
      return weight_on_host(target.to(at::kLong));
    }
    at::Tensor const labels = target.contiguous();
    auto const* const label = static_cast<std::int64_t const*>(labels.const_data_ptr());
    std::int64_t const count = labels.numel();
    if (!class_weights.defined()) {
      std::int64_t kept = 0;
      for (std::int64_t i = 0; i < count; ++i) kept += label[i] != ignore_index;
      return static_cast<double>(kept);
    }
    at::Tensor const weights = class_weights.to(at::kCPU, at::kDouble).contiguous();
    auto const* const weight = static_cast<double const*>(weights.const_data_ptr());
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      if (label[i] != ignore_index && label[i] >= 0 && label[i] < weights.numel()) sum += weight[label[i]];
    }
    return sum;
  }

  void check_class_weights(std::int64_t classes) const {
    if (class_weights.dim() != 1 || class_weights.size(0) != classes || !class_weights.is_floating_point()) {
      throw ConfigError{"TACIT-RC115", detail::message({"class_weights is ", printed(class_weights.scalar_type()), " of sizes ", printed(class_weights.sizes()), ", for ", classes, " classes"}), name,
                        "give one floating number for each class"};
    }
    at::Tensor const weights = class_weights.to(at::kCPU, at::kDouble).contiguous();
    for (std::int64_t i = 0; i < classes; ++i) {
      double const weight = static_cast<double const*>(weights.const_data_ptr())[i];
      if (weight >= 0.0 && weight <= std::numeric_limits<double>::max()) continue;
      throw ConfigError{"TACIT-RC115", detail::message({"class_weights[", i, "] is ", printed(weight)}), name, "give finite numbers from 0"};
    }
  }

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
