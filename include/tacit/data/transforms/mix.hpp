#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/random.hpp"
#include "tacit/core/required.hpp"
#include "tacit/data/transforms/images.hpp"
#include "tacit/data/units.hpp"
#include "tacit/task/batch.hpp"

namespace tacit::inline v0::data::transform {

/// A batch of images and targets, both tensors.
template <class Batch>
concept image_batch = tacit::detail::supervised_batch<Batch> && requires(Batch const& batch) {
  { tacit::detail::input_of(batch) } -> std::same_as<at::Tensor const&>;
  { tacit::detail::target_of(batch) } -> std::same_as<at::Tensor const&>;
};

namespace detail {

/// The logarithm of a number of the gamma distribution (Marsaglia, Tsang: A simple method for generating gamma
/// variables, 2000): the number itself would underflow for a small shape.
inline double draw_log_gamma(Random& random, double shape) {
  if (shape < 1) {
    double const u = 1 - random.uniform();  // in (0, 1]
    return draw_log_gamma(random, shape + 1) + std::log(u) / shape;
  }
  double const d = shape - 1.0 / 3;
  double const c = 1 / std::sqrt(9 * d);
  for (;;) {
    double const radius = std::sqrt(-2 * std::log(1 - random.uniform()));
    double const normal = radius * std::cos(2 * std::numbers::pi * random.uniform());
    double const root = 1 + c * normal;
    double const u = 1 - random.uniform();
    if (root <= 0) continue;
    double const v = root * root * root;
    if (std::log(u) < normal * normal / 2 + d - d * v + d * std::log(v)) return std::log(d * v);
  }
}

/// A number of the beta distribution whose two parameters are `alpha`.
inline double draw_beta(Random& random, double alpha) {
  double const first = draw_log_gamma(random, alpha);
  double const second = draw_log_gamma(random, alpha);
  return 1 / (1 + std::exp(second - first));
}

inline void check_mix(double alpha, double probability, Classes classes, std::string_view where) {
  check_range({alpha, alpha}, 1e-6, 1e6, "alpha", where);
  check_probability(probability, where);
  if (classes.value_or(0) < 1) {
    throw ConfigError{"TACIT-RD95", tacit::detail::message({"classes is ", (classes.is_set() ? "0" : "not given")}), where,
                      "give .classes = 1 or more"};
  }
}

/// Class numbers [N] as probabilities [N, classes]; probabilities stay.
inline at::Tensor soft_target(at::Tensor const& target, std::int64_t classes, at::ScalarType type, std::string_view where) {
  if (target.defined() && target.is_floating_point() && target.dim() == 2 && target.size(1) == classes) return target.to(type);
  if (!target.defined() || target.dim() != 1 || (target.scalar_type() != at::kLong && target.scalar_type() != at::kByte)) {
    throw DataError{"TACIT-RD98", tacit::detail::message({"the targets are ", shape_of(target)}), where,
                    tacit::detail::message({"give class numbers, int64 [samples], or probabilities [samples, ", classes, "]"})};
  }
  at::Tensor const labels = target.to(at::kLong);
  if (labels.is_cpu()) {  // elsewhere the device's own check stops it
    at::Tensor const plain = labels.contiguous();
    auto const* const label = static_cast<std::int64_t const*>(plain.const_data_ptr());
    for (std::int64_t row = 0; row < plain.numel(); ++row) {
      if (label[row] < 0 || label[row] >= classes) {
        throw DataError{"TACIT-RD98", tacit::detail::message({"label ", label[row], " in row ", row, ", for ", classes, " classes"}), where,
                        tacit::detail::message({"labels go from 0 to ", classes - 1})};
      }
    }
  }
  return at::zeros({labels.size(0), classes}, labels.options().dtype(type)).scatter_(1, labels.unsqueeze(1), 1);
}

template <image_batch Batch>
void check_partners(Batch const& batch, Batch const& partners, std::span<Random const> random, std::string_view where) {
  at::Tensor const& images = tacit::detail::input_of(batch);
  at::Tensor const& others = tacit::detail::input_of(partners);
  check_images(images, random, where);
  check_images(others, where);
  bool const fit = images.sizes() == others.sizes() && images.scalar_type() == others.scalar_type() && images.device() == others.device();
  if (!fit) {
    throw DataError{"TACIT-RD98", tacit::detail::message({"the images are ", shape_of(images), ", their partners ", shape_of(others)}), where,
                    "give a partner of the same size and type for each image"};
  }
}

/// The batch with other images, and with targets mixed in the given shares.
template <image_batch Batch>
Batch mixed_batch(Batch batch, Batch const& partners, at::Tensor images, std::vector<double> const& shares, std::int64_t classes, std::string_view where) {
  at::ScalarType const type = images.is_floating_point() ? images.scalar_type() : at::kFloat;
  at::Tensor const own = soft_target(tacit::detail::target_of(batch), classes, type, where);
  at::Tensor const other = soft_target(tacit::detail::target_of(partners), classes, type, where);
  at::Tensor const share = per_sample(shares, own).view({-1, 1});
  // The members of the local batch are no constants: only the accessors are const.
  const_cast<at::Tensor&>(tacit::detail::target_of(batch)) = own.mul(share).add_(other.mul(share.neg().add_(1)));
  const_cast<at::Tensor&>(tacit::detail::input_of(batch)) = std::move(images);
  return batch;
}

}  // namespace detail

/// Each image and target blended with a partner's (Zhang and others: mixup, Beyond empirical risk minimization, 2017).
///
/// The share of the image itself is drawn from Beta(alpha, alpha), for each sample on its own. Targets are class numbers
/// [N] or probabilities [N, classes], and become probabilities [N, classes] of the images' type: what
/// `loss::CrossEntropy` takes.
struct MixUp {
  required<Classes> classes;
  double alpha = 1;        ///< small: mostly one of both; large: mostly halves
  double probability = 1;  ///< that a sample is mixed at all

  /// Throws: ConfigError for 0 classes, an alpha that is not above 0, a probability outside [0, 1].
  void check() const { detail::check_mix(alpha, probability, *classes, "MixUp"); }
  /// Throws: as `check`; DataError for images that are not floating-point or do not fit their partners, and for targets
  /// of other types or out of range.
  template <image_batch Batch>
  Batch operator()(Batch batch, Batch const& partners, std::span<Random> random) const {
    check();
    detail::check_partners(batch, partners, random, "MixUp");
    at::Tensor const& images = tacit::detail::input_of(batch);
    detail::check_floating(images, "MixUp");
    std::vector<double> shares;
    for (Random& one : random) shares.push_back(one.chance(probability) ? detail::draw_beta(one, alpha) : 1.0);
    at::Tensor const share = detail::per_sample(shares, images);
    at::Tensor mixed = images.mul(share).add_(tacit::detail::input_of(partners).mul(share.neg().add_(1)));
    return detail::mixed_batch(std::move(batch), partners, std::move(mixed), shares, classes->value(), "MixUp");
  }
};

/// A rectangle of each image taken from a partner, targets mixed by area (Yun and others: CutMix, 2019); any type.
///
/// The rectangle has 1 - Beta(alpha, alpha) of the area before it is cut at the image's edges. Targets as with `MixUp`;
/// those of images of whole numbers become float32.
struct CutMix {
  required<Classes> classes;
  double alpha = 1;
  double probability = 1;  ///< that a sample is mixed at all

  /// Throws: ConfigError for 0 classes, an alpha that is not above 0, a probability outside [0, 1].
  void check() const { detail::check_mix(alpha, probability, *classes, "CutMix"); }
  /// Throws: as `check`; DataError for images that do not fit their partners, and for targets of other types or out of
  /// range.
  template <image_batch Batch>
  Batch operator()(Batch batch, Batch const& partners, std::span<Random> random) const {
    check();
    detail::check_partners(batch, partners, random, "CutMix");
    at::Tensor const& images = tacit::detail::input_of(batch);
    detail::Boxes boxes;
    std::vector<double> shares;
    for (Random& one : random) shares.push_back(draw(one, images.size(2), images.size(3), boxes));
    at::Tensor mixed = at::where(boxes.mask(images), tacit::detail::input_of(partners), images);
    return detail::mixed_batch(std::move(batch), partners, std::move(mixed), shares, classes->value(), "CutMix");
  }

 private:
  /// Adds a box; what it leaves of the image.
  double draw(Random& random, std::int64_t height, std::int64_t width, detail::Boxes& boxes) const {
    if (!random.chance(probability)) {
      boxes.add(0, 0, 0, 0);
      return 1;
    }
    double const half = 0.5 * std::sqrt(1 - detail::draw_beta(random, alpha));
    std::int64_t const y = random.below(height);
    std::int64_t const x = random.below(width);
    auto const half_height = static_cast<std::int64_t>(half * static_cast<double>(height));
    auto const half_width = static_cast<std::int64_t>(half * static_cast<double>(width));
    std::int64_t const top = std::max<std::int64_t>(y - half_height, 0), bottom = std::min(y + half_height, height);
    std::int64_t const left = std::max<std::int64_t>(x - half_width, 0), right = std::min(x + half_width, width);
    boxes.add(top, bottom, left, right);
    return 1 - static_cast<double>((bottom - top) * (right - left)) / static_cast<double>(height * width);
  }
};

}  // namespace tacit::inline v0::data::transform
