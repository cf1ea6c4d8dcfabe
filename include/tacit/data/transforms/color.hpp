#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/random.hpp"
#include "tacit/data/transforms/images.hpp"

namespace tacit::inline v0::data::transform {

/// uint8 images as float32 from 0 to 1; floating-point ones stay as they are. Draws nothing.
struct ToFloat {
  /// Throws: DataError for what is no batch of images, and for other whole numbers than uint8.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> = {}) const {
    detail::check_images(images, "ToFloat");
    if (images.scalar_type() == at::kByte) return images.to(at::kFloat).div_(255);
    detail::check_floating(images, "ToFloat");
    return images;
  }
};

/// (images - mean) / std, channel by channel. Draws nothing.
struct Normalize {
  std::vector<double> mean{};  ///< of each channel, or one for all
  std::vector<double> std{};   ///< of each channel, or one for all; above 0

  /// Throws: ConfigError where one is missing or not finite, or a std is not above 0.
  void check() const {
    if (mean.empty() || mean.size() != std.size()) {
      refuse(tacit::detail::message({mean.size(), " means and ", std.size(), " standard deviations"}), "give one of each for every channel");
    }
    for (std::size_t channel = 0; channel < mean.size(); ++channel) {
      if (!std::isfinite(mean[channel]) || !std::isfinite(std[channel]) || !(std[channel] > 0)) {
        refuse(tacit::detail::message({"channel ", channel, " has mean ", detail::printed(mean[channel]), " and std ", detail::printed(std[channel])}),
               "give finite numbers, and a std above 0");
      }
    }
  }
  /// Throws: as `check`, and where there is not one mean for each channel; DataError for what is no batch of
  /// floating-point images.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> = {}) const {
    check();
    detail::check_images(images, "Normalize");
    detail::check_floating(images, "Normalize");
    if (mean.size() != 1 && static_cast<std::int64_t>(mean.size()) != images.size(1)) {
      refuse(tacit::detail::message({mean.size(), " means for images of ", images.size(1), " channels"}), "give one of each for every channel");
    }
    return images.sub(detail::per_channel(mean, images)).div_(detail::per_channel(std, images));
  }

 private:
  [[noreturn]] static void refuse(std::string const& what, std::string_view fix) { throw ConfigError{"TACIT-RD96", what, "Normalize", fix}; }
};

/// Brightness, contrast, saturation and hue of each image changed by factors of its own. Draws five numbers a sample.
///
/// Images have 3 channels (red, green, blue) or 1 (which saturation and hue leave alone), and values from 0 to 1; results
/// are clamped to that. The formulas are those of torchvision.transforms.functional, in this fixed order.
/// Cost: 2 passes for brightness, 4 for contrast, 5 for saturation, about 30 for hue; what is left at its default has none.
struct ColorJitter {
  Range brightness{1, 1};   ///< factor of the values
  Range contrast{1, 1};     ///< factor of the distance from the image's mean grey
  Range saturation{1, 1};   ///< factor of the distance from each pixel's grey
  Range hue{0, 0};          ///< turns of the colour circle that are added, from -0.5 to 0.5
  double probability = 1;   ///< that an image is changed at all

  /// Throws: ConfigError for a negative factor, a hue outside [-0.5, 0.5], a probability outside [0, 1].
  void check() const {
    detail::check_range(brightness, 0, 1e6, "brightness", where);
    detail::check_range(contrast, 0, 1e6, "contrast", where);
    detail::check_range(saturation, 0, 1e6, "saturation", where);
    detail::check_range(hue, -0.5, 0.5, "hue", where);
    detail::check_probability(probability, where);
  }
  /// Throws: as `check`; DataError for what is no batch of floating-point images of 1 or 3 channels.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> random) const {
    check();
    detail::check_images(images, random, where);
    detail::check_floating(images, where);
    if (images.size(1) != 1 && images.size(1) != 3) {
      throw DataError{"TACIT-RD97", tacit::detail::message({"the images have ", images.size(1), " channels"}), where,
                      "give 1 (grey) or 3 (red, green, blue)"};
    }
    std::vector<unsigned char> changed;
    std::vector<double> bright, contrasts, saturations, hues;
    for (Random& one : random) {
      changed.push_back(one.chance(probability) ? 1 : 0);
      bright.push_back(one.uniform(brightness.low, brightness.high));
      contrasts.push_back(one.uniform(contrast.low, contrast.high));
      saturations.push_back(one.uniform(saturation.low, saturation.high));
      hues.push_back(one.uniform(hue.low, hue.high));
    }
    bool const colors = images.size(1) == 3;
    at::Tensor result = images;
    // The options decide, never what was drawn: a batch must not decide over a sample.
    if (differs(brightness, 1)) result = result.mul(detail::per_sample(bright, images)).clamp_(0, 1);
    if (differs(contrast, 1)) result = blend(result, grey(result).mean({1, 2, 3}, true), detail::per_sample(contrasts, images));
    if (colors && differs(saturation, 1)) result = blend(result, grey(result), detail::per_sample(saturations, images));
    if (colors && differs(hue, 0)) result = turn_hue(result, detail::per_sample(hues, images));
    return probability < 1 ? detail::choose(changed, result, images) : result;
  }

 private:
  static constexpr std::string_view where = "ColorJitter";

  static bool differs(Range range, double neutral) noexcept { return range.low != neutral || range.high != neutral; }

  /// The luma of ITU-R BT.601, rounded as torchvision has it; [N, 1, H, W].
  static at::Tensor grey(at::Tensor const& images) {
    if (images.size(1) == 1) return images;
    return images.narrow(1, 0, 1).mul(0.2989).add_(images.narrow(1, 1, 1), 0.587).add_(images.narrow(1, 2, 1), 0.114);
  }
  static at::Tensor blend(at::Tensor const& images, at::Tensor const& other, at::Tensor const& factor) {
    return images.mul(factor).add_(other.mul(factor.neg().add_(1))).clamp_(0, 1);
  }

  /// To hue, saturation, value and back (Smith: Color gamut transform pairs, 1978).
  static at::Tensor turn_hue(at::Tensor const& images, at::Tensor const& turns) {
    at::Tensor const red = images.select(1, 0), green = images.select(1, 1), blue = images.select(1, 2);
    at::Tensor const value = images.amax(1);
    at::Tensor const range = value.sub(images.amin(1));
    at::Tensor const is_grey = range.eq(0);
    at::Tensor const one = at::ones_like(value);
    at::Tensor const saturation = range.div(at::where(is_grey, one, value));
    at::Tensor const divisor = at::where(is_grey, one, range);
    at::Tensor const sector = at::where(value.eq(red), green.sub(blue).div(divisor),
                                        at::where(value.eq(green), blue.sub(red).div(divisor).add_(2), red.sub(green).div(divisor).add_(4)));
    // In sixths of the circle, from 0 to 6; grey has hue 0.
    at::Tensor const hue = at::where(is_grey, at::zeros_like(value), sector).div_(6).add_(turns.squeeze(1)).remainder(1).mul_(6);
    // Each channel is value - value * saturation * clamp(min(k, 4 - k), 0, 1), k = (n + hue) mod 6, n = 5, 3, 1.
    at::Tensor const chroma = value.mul(saturation);
    auto const channel = [&](int shift) {
      at::Tensor const k = hue.add(shift).remainder(6);
      return value.sub(chroma.mul(at::minimum(k, k.neg().add_(4)).clamp_(0, 1)));
    };
    return at::stack({channel(5), channel(3), channel(1)}, 1).clamp_(0, 1);
  }
};

/// Sets a rectangle of some images to one value; any type (Zhong and others: Random erasing data augmentation, 2017).
///
/// Ten rectangles are tried until one is smaller than the image; an image for which none is stays as it is, as in
/// torchvision.
struct RandomErasing {
  double probability = 0.5;
  Range scale{0.02, 0.33};  ///< area, as a share of the image's
  Range ratio{0.3, 3.3};    ///< height / width, drawn uniformly in its logarithm
  double value = 0;

  /// Throws: ConfigError for a probability or scale outside [0, 1] and for a ratio that is not above 0.
  void check() const {
    detail::check_probability(probability, "RandomErasing");
    detail::check_range(scale, 0, 1, "scale", "RandomErasing");
    detail::check_range(ratio, 1e-6, 1e6, "ratio", "RandomErasing");
  }
  /// Throws: as `check`; DataError for what is no batch of images.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> random) const {
    check();
    detail::check_images(images, random, "RandomErasing");
    detail::check_value(value, images, "value", "RandomErasing");
    detail::Boxes boxes;
    for (Random& one : random) draw(one, images.size(2), images.size(3), boxes);
    return images.masked_fill(boxes.mask(images), value);
  }

 private:
  void draw(Random& random, std::int64_t height, std::int64_t width, detail::Boxes& boxes) const {
    if (random.chance(probability)) {
      for (int tries = 0; tries < 10; ++tries) {
        double const area = static_cast<double>(height * width) * random.uniform(scale.low, scale.high);
        double const aspect = std::exp(random.uniform(std::log(ratio.low), std::log(ratio.high)));
        auto const h = static_cast<std::int64_t>(std::nearbyint(std::sqrt(area * aspect)));
        auto const w = static_cast<std::int64_t>(std::nearbyint(std::sqrt(area / aspect)));
        if (h >= height || w >= width) continue;
        std::int64_t const top = random.below(height - h + 1);
        std::int64_t const left = random.below(width - w + 1);
        return boxes.add(top, top + h, left, left + w);
      }
    }
    boxes.add(0, 0, 0, 0);
  }
};

}  // namespace tacit::inline v0::data::transform
