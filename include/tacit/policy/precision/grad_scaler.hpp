#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/metric/device_scalar.hpp"
#include "tacit/task/aten.hpp"

namespace tacit::inline v0 {

/// How the loss scale of float16 training moves; the defaults are those of torch.amp.GradScaler.
struct LossScale {
  double initial = 65536.0;
  double growth = 2.0;         ///< factor after `growth_interval` updates in a row without an infinity
  double backoff = 0.5;        ///< factor after an update with one
  Updates growth_interval = 2000;
  double lowest = 1e-4;        ///< a scale below it ends the run: gradients that are infinite at such a scale do not recover

  static void visit_config(auto& self, auto&& visit) {
    visit("initial", self.initial);
    visit("growth", self.growth);
    visit("backoff", self.backoff);
    visit("growth_interval", self.growth_interval);
    visit("lowest", self.lowest);
  }
};

/// Dynamic loss scaling (Micikevicius et al., 2018): float16 gradients are taken of the scaled loss, so that small ones do
/// not vanish, and an update with an infinity changes nothing but the scale. Every number as torch.amp.GradScaler gives it.
///
/// Nothing here waits for the device: scale, infinities and counts stay on it, and the optimizer obeys the mask there.
/// Example: scaler.backward(loss);
///          optimizer.step(parameters, {.mask = &scaler.unscale(parameters)});
///          scaler.update();
class GradScaler {
 public:
  static constexpr char const* state_name = "tacit.GradScaler";
  static constexpr int state_version = 1;

  /// Throws: ConfigError for factors that do not grow and shrink the scale.
  explicit GradScaler(LossScale const& options = {}, c10::Device device = c10::Device{c10::DeviceType::CPU}) : options_{options} {
    check();
    scale_ = at::scalar_tensor(options.initial, at::TensorOptions{at::kFloat}.device(device));
    growth_tracker_ = at::scalar_tensor(0, at::TensorOptions{at::kInt}.device(device));
    skipped_ = at::scalar_tensor(0.0, at::TensorOptions{at::kDouble}.device(device));
  }

  /// Gradients of scale * factor * loss. Requires: a loss of one element, on the scaler's device.
  void backward(at::Tensor const& loss, double factor = 1.0) const {
    // The scaled loss may not fit into float16: it is float32, as torch's product with the scale is.
    at::Tensor const wide = loss.scalar_type() == at::kHalf || loss.scalar_type() == at::kBFloat16 ? loss.to(at::kFloat) : loss;
    at::Tensor seed = factor == 1.0 ? scale_ : scale_.mul(factor);
    if (seed.scalar_type() != wide.scalar_type()) seed = seed.to(wide.scalar_type());
    wide.backward(seed.dim() == wide.dim() ? seed : seed.reshape(wide.sizes()));
  }

  /// Divides the gradients by the scale. The result, 1 where a gradient is not finite and 0 else, is the mask of their
  /// update: a float32 scalar that lives until `update`, whatever else is unscaled before.
  /// Throws: UsageError for parameters that were unscaled since the last `update`; ConfigError for float16 gradients, which
  /// come from float16 parameters. Then nothing is unscaled.
  template <class Parameters>
  at::Tensor const& unscale(Parameters& parameters) {
    at::NoGradGuard const guard;
    require_scaled(&parameters);
    for (List& list : lists_) list.gradients.clear();  // of a call that threw
    for (auto& parameter : parameters) {
      at::Tensor const& gradient = tensor_of(parameter).mutable_grad();
      if (gradient.defined()) add(gradient);
    }
    begin(&parameters);
    at::Tensor& found = found_[taken_ - 1].flag;
    for (List& list : lists_) {
      if (list.gradients.empty()) continue;
      at::_amp_foreach_non_finite_check_and_unscale_(list.gradients, found, inverse_);
      list.gradients.clear();
    }
    return found;
  }

  /// Moves the scale: once after the updates of all parameters that were unscaled.
  /// Throws: UsageError if there were none; ConfigError if the host may read the scale and it fell below `lowest`.
  void update() {
    if (taken_ == 0) {
      throw UsageError{"TACIT-RU22", "the loss scale is to move, and no gradients were unscaled", "GradScaler::update",
                       "call unscale(parameters) before the optimizer's step"};
    }
    at::NoGradGuard const guard;
    at::Tensor& all = found_.front().flag;
    for (std::size_t i = 1; i < taken_; ++i) tensor_traits<at::Tensor>::max_(all, found_[i].flag);
    at::_amp_update_scale_(scale_, growth_tracker_, all, options_.growth, options_.backoff, options_.growth_interval.value());
    tensor_traits<at::Tensor>::add_(skipped_, all, 1.0);
    taken_ = 0;
    if (tensor_traits<at::Tensor>::host_readable(scale_)) require_recoverable(LogPoint{LogPoint::outside_a_run{}});
  }

  /// Throws: ConfigError if the scale fell below `lowest`. Cost: waits for the device.
  void require_recoverable(LogPoint const&) const {
    double const scale = tensor_traits<at::Tensor>::read(scale_);
    if (scale >= options_.lowest) return;
    throw ConfigError{"TACIT-RC114", "the loss scale fell to " + std::to_string(scale) + ", and gradients are infinite or NaN still", "GradScaler",
                    "the updates since are skipped: look for a NaN in the data or the model, lower the learning rate, or give LossScale::lowest"};
  }

  /// Forgets what was unscaled since the last `update`: for an update that is not going to be made.
  void discard() noexcept { taken_ = 0; }

  /// The scale that the next `backward` takes: float32 scalar on the device.
  at::Tensor const& scale() const noexcept { return scale_; }
  /// How many updates had an infinity: float64 scalar on the device.
  at::Tensor const& skipped() const noexcept { return skipped_; }

  static void visit_config(auto& self, auto&& visit) { LossScale::visit_config(self.options_, visit); }
  static void visit_state(auto& self, auto&& visit) {
    visit("scale", self.scale_);
    visit("growth_tracker", self.growth_tracker_);
    visit("skipped", self.skipped_);
  }

 private:
  struct List {
    c10::Device device;
    c10::ScalarType type;
    std::vector<at::Tensor> gradients{};
  };
  struct Found {
    void const* parameters;
    at::Tensor flag;
  };

  void check() const {
    bool const good = std::isfinite(options_.initial) && options_.initial > 0.0 && options_.growth >= 1.0 && std::isfinite(options_.growth) &&
                      options_.backoff > 0.0 && options_.backoff < 1.0 && options_.growth_interval.value_or(0) > 0 &&
                      options_.growth_interval.value() <= 2147483647 && options_.lowest >= 0.0 && options_.lowest < options_.initial;
    if (!good) {
      throw ConfigError{"TACIT-RC04", "the loss scale cannot move like this", "LossScale",
                        "give an initial scale above 0, growth 1 or more, backoff between 0 and 1, growth_interval from 1, lowest from 0 and below initial"};
    }
  }

  static at::Tensor& tensor_of(at::Tensor& tensor) { return tensor; }
  static at::Tensor& tensor_of(Parameter& parameter) { return parameter.model; }

  void require_scaled(void const* parameters) const {
    for (std::size_t i = 0; i < taken_; ++i) {
      if (found_[i].parameters == parameters) {
        throw UsageError{"TACIT-RU21", "these gradients are unscaled already", "GradScaler::unscale", "call update() once after each update"};
      }
    }
  }
  void begin(void const* parameters) {
    if (taken_ == found_.size()) found_.push_back({nullptr, tensor_traits<at::Tensor>::flag_like(0.0, scale_)});
    found_[taken_].parameters = parameters;
    found_[taken_].flag.zero_();
    ++taken_;
    inverse_ = scale_.to(at::kDouble).reciprocal_().to(at::kFloat);
  }

  void add(at::Tensor const& gradient) {
    if (gradient.scalar_type() == at::kHalf) {
      throw ConfigError{"TACIT-RC05", "a gradient is float16: its parameter is", "GradScaler::unscale",
                        "keep parameters in float32; autocast computes in float16"};
    }
    auto const fits = [&](List const& list) { return list.device == gradient.device() && list.type == gradient.scalar_type(); };
    auto const list = std::ranges::find_if(lists_, fits);
    (list == lists_.end() ? lists_.emplace_back(gradient.device(), gradient.scalar_type()) : *list).gradients.push_back(gradient);
  }

  LossScale options_;
  at::Tensor scale_;
  at::Tensor growth_tracker_;  // int32 scalar: updates in a row without an infinity
  at::Tensor skipped_;
  at::Tensor inverse_{};
  std::deque<Found> found_{};  // its elements stay where they are: the masks are given out
  std::size_t taken_ = 0;  // how many of `found_` are in use since the last `update`
  std::vector<List> lists_{};
};

}  // namespace tacit::inline v0
