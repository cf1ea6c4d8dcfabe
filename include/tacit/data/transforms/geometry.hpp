#pragma once

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/affine_grid_generator.h>
#include <ATen/ops/grid_sampler.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/pad.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/random.hpp"
#include "tacit/core/required.hpp"
#include "tacit/data/transforms/images.hpp"
#include "tacit/data/units.hpp"

namespace tacit::inline v0::data::transform {

/// Swaps left and right of some images; any type. Draws one number a sample.
struct HorizontalFlip {
  double probability = 0.5;

  /// Throws: ConfigError for a probability outside [0, 1].
  void check() const { detail::check_probability(probability, "HorizontalFlip"); }
  /// Throws: as `check`; DataError for what is no batch of images.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> random) const {
    check();
    detail::check_images(images, random, "HorizontalFlip");
    return detail::choose(detail::draw_mask(random, probability), images.flip(3), images);
  }
};

/// Swaps top and bottom of some images; any type. Draws one number a sample.
struct VerticalFlip {
  double probability = 0.5;

  /// Throws: ConfigError for a probability outside [0, 1].
  void check() const { detail::check_probability(probability, "VerticalFlip"); }
  /// Throws: as `check`; DataError for what is no batch of images.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> random) const {
    check();
    detail::check_images(images, random, "VerticalFlip");
    return detail::choose(detail::draw_mask(random, probability), images.flip(2), images);
  }
};

/// What lies outside of an image.
enum class Border {
  constant,   ///< one value
  reflect,    ///< the image mirrored, without its edge twice
  replicate,  ///< the edge again
};

namespace detail {
inline void check_crop(at::Tensor const& images, std::int64_t height, std::int64_t width, std::int64_t padding, std::string_view where) {
  if (height > images.size(2) + 2 * padding || width > images.size(3) + 2 * padding) {
    throw DataError{"TACIT-RD93",
                    tacit::detail::message({"a crop of ", height, " x ", width, " from images of ", images.size(2), " x ", images.size(3),
                                            " with a padding of ", padding}),
                    where, "take a smaller crop, or resize or pad the images first"};
  }
}
}  // namespace detail

/// A part of each image, at a place of its own; any type with a constant border. Draws two numbers a sample.
///
/// Cost: one copy for the padding where there is one, one for the crop.
struct RandomCrop {
  required<Pixels> height;
  required<Pixels> width;
  Pixels padding = 0;  ///< added on all four sides first
  double fill = 0;     ///< value of a constant border
  Border border = Border::constant;

  /// Throws: ConfigError for a height or width of 0.
  void check() const {
    detail::checked_size(*height, "height", "RandomCrop");
    detail::checked_size(*width, "width", "RandomCrop");
  }
  /// Throws: as `check`; DataError for what is no batch of images, and for images smaller than the crop.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> random) const {
    check();
    detail::check_images(images, random, "RandomCrop");
    std::int64_t const h = height->value();
    std::int64_t const w = width->value();
    std::int64_t const around = padding.value_or(0);
    detail::check_crop(images, h, w, around, "RandomCrop");
    at::Tensor const padded = around == 0 ? images : pad(images, around);
    std::vector<std::int64_t> sample, top, left;
    for (Random& one : random) {
      sample.push_back(static_cast<std::int64_t>(sample.size()));
      top.push_back(one.below(padded.size(2) - h + 1));
      left.push_back(one.below(padded.size(3) - w + 1));
    }
    // All windows as a view [N, C, tops, lefts, h, w], of which each sample takes one.
    at::Tensor const windows = padded.unfold(2, h, 1).unfold(3, w, 1).transpose(1, 2).transpose(2, 3);
    c10::List<std::optional<at::Tensor>> places;
    for (auto const* at : {&sample, &top, &left}) places.push_back(detail::per_sample(*at, images).flatten());
    return windows.index(places);
  }

 private:
  at::Tensor pad(at::Tensor const& images, std::int64_t around) const {
    std::array<std::int64_t, 4> const sides{around, around, around, around};
    if (border == Border::constant) {
      detail::check_value(fill, images, "fill", "RandomCrop");
      return at::pad(images, sides, "constant", fill);
    }
    return at::pad(images, sides, border == Border::reflect ? "reflect" : "replicate");
  }
};

/// The middle of each image, a view; any type. The place is rounded as torchvision does: halves to even. Draws nothing.
struct CenterCrop {
  required<Pixels> height;
  required<Pixels> width;

  /// Throws: ConfigError for a height or width of 0.
  void check() const {
    detail::checked_size(*height, "height", "CenterCrop");
    detail::checked_size(*width, "width", "CenterCrop");
  }
  /// Throws: as `check`; DataError for what is no batch of images, and for images smaller than the crop.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> = {}) const {
    check();
    detail::check_images(images, "CenterCrop");
    detail::check_crop(images, height->value(), width->value(), 0, "CenterCrop");
    return images.narrow(2, start(images.size(2) - height->value()), height->value())
        .narrow(3, start(images.size(3) - width->value()), width->value());
  }

 private:
  static std::int64_t start(std::int64_t excess) noexcept {
    std::int64_t const half = excess / 2;
    return half + (excess % 2 != 0 && half % 2 != 0 ? 1 : 0);
  }
};

/// How values between pixels are found.
enum class Interpolation { nearest, bilinear };

/// Every image to one size, as torch.nn.functional.interpolate does without `align_corners`. Draws nothing.
struct Resize {
  required<Pixels> height;
  required<Pixels> width;
  Interpolation interpolation = Interpolation::bilinear;
  bool antialias = true;  ///< averages where a bilinear resize makes images smaller

  /// Throws: ConfigError for a height or width of 0.
  void check() const {
    detail::checked_size(*height, "height", "Resize");
    detail::checked_size(*width, "width", "Resize");
  }
  /// Throws: as `check`; DataError for what is no batch of images, and for whole numbers unless the nearest pixel is taken.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> = {}) const {
    check();
    detail::check_images(images, "Resize");
    std::array<std::int64_t, 2> const size{height->value(), width->value()};
    if (interpolation == Interpolation::nearest) return at::upsample_nearest2d(images, size);
    detail::check_floating(images, "Resize");
    return antialias ? at::_upsample_bilinear2d_aa(images, size, false) : at::upsample_bilinear2d(images, size, false);
  }
};

/// Turns each image about its middle by an angle of its own, counter-clockwise; the size stays. Draws one number a sample.
///
/// Multiples of 90 degrees turn square images exactly, as torch.rot90 does.
struct Rotate {
  required<Range> degrees;
  Interpolation interpolation = Interpolation::bilinear;
  double fill = 0;  ///< what comes in from outside

  /// Throws: ConfigError for angles that are no range.
  void check() const { detail::check_range(*degrees, -1e6, 1e6, "degrees", "Rotate"); }
  /// Throws: as `check`; DataError for what is no batch of floating-point images.
  at::Tensor operator()(at::Tensor const& images, std::span<Random> random) const {
    check();
    detail::check_images(images, random, "Rotate");
    detail::check_floating(images, "Rotate");
    if (random.empty()) return images;
    double const aspect = static_cast<double>(images.size(2)) / static_cast<double>(images.size(3));
    std::vector<double> rows;  // of the matrices [N, 2, 3] from places in the result to places in the image, both in [-1, 1]
    for (Random& one : random) {
      auto const [cosine, sine] = turn(one.uniform(degrees->low, degrees->high));
      rows.insert(rows.end(), {cosine, -sine * aspect, 0.0, sine / aspect, cosine, 0.0});
    }
    at::Tensor const matrix = detail::per_sample(rows, images).view({images.size(0), 2, 3});
    at::Tensor const grid = at::affine_grid_generator(matrix, images.sizes(), false);
    at::Tensor const turned = sample(images, grid);
    if (fill == 0) return turned;
    at::Tensor const inside = sample(at::ones({images.size(0), 1, images.size(2), images.size(3)}, images.options()), grid);
    return turned.add(inside.neg().add(1).mul(fill));
  }

 private:
  at::Tensor sample(at::Tensor const& images, at::Tensor const& grid) const {
    constexpr std::int64_t zeros = 0;
    return at::grid_sampler(images, grid, interpolation == Interpolation::nearest ? 1 : 0, zeros, false);
  }
  static std::pair<double, double> turn(double angle) noexcept {
    double const quarters = std::nearbyint(angle / 90);
    double const rest = (angle - 90 * quarters) * (std::numbers::pi / 180);  // 0 at multiples of 90 degrees
    double const c = std::cos(rest);
    double const s = std::sin(rest);
    switch (((static_cast<std::int64_t>(quarters) % 4) + 4) % 4) {
      case 0: return {c, s};
      case 1: return {-s, c};
      case 2: return {-c, -s};
      default: return {s, -c};
    }
  }
};

}  // namespace tacit::inline v0::data::transform
