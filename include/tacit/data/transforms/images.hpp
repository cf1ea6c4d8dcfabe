#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/random.hpp"
#include "tacit/data/units.hpp"

/// Batched transforms of images [N, C, H, W] on any device, drawn from the samples' own generators.
///
/// A transform is `transform(images, random)`, with one generator a sample: all its chances are drawn on the host in the
/// order of the samples, then applied to the whole batch by a few calls. What happens to a sample depends on its generator
/// only, not on the batch that it is in. The given tensor is never written to; the result may be a view of it.
namespace tacit::inline v0::data::transform {

/// Where a number is drawn from, uniformly; `{x, x}` is always x.
struct Range {
  double low = 0;
  double high = 0;
};

namespace detail {

inline std::string shape_of(at::Tensor const& tensor) {
  if (!tensor.defined()) return "undefined";
  std::ostringstream text;
  text << tensor.sizes() << " of type " << c10::toString(tensor.scalar_type());
  return std::move(text).str();
}

inline std::string printed(double number) {
  std::ostringstream text;
  text << number;
  return std::move(text).str();
}

inline void check_images(at::Tensor const& images, std::string_view where) {
  if (!images.defined() || images.dim() != 4 || images.size(2) == 0 || images.size(3) == 0) {
    throw DataError{"TACIT-RD91", tacit::detail::message({"the images are ", shape_of(images)}), where,
                    "give a batch [samples, channels, height, width]"};
  }
}

inline void check_images(at::Tensor const& images, std::span<Random const> random, std::string_view where) {
  check_images(images, where);
  if (images.size(0) != static_cast<std::int64_t>(random.size())) {
    throw UsageError{"TACIT-RD99", tacit::detail::message({random.size(), " generators for ", images.size(0), " images"}), where,
                     "give one for each, as data::sample_generators makes them"};
  }
}

inline void check_floating(at::Tensor const& images, std::string_view where) {
  if (!images.is_floating_point()) {
    throw DataError{"TACIT-RD92", tacit::detail::message({"the images are ", shape_of(images), ", which this cannot compute with"}), where,
                    "scale them first: transform::ToFloat{}, or images.to(at::kFloat).div(255)"};
  }
}

/// Refuses a range that is turned round, not finite, or not within [least, most].
inline void check_range(Range range, double least, double most, std::string_view option, std::string_view where) {
  bool const fits = std::isfinite(range.low) && std::isfinite(range.high) && least <= range.low && range.low <= range.high && range.high <= most;
  if (!fits) {
    throw ConfigError{"TACIT-RD94", tacit::detail::message({option, " is {", printed(range.low), ", ", printed(range.high), "}"}), where,
                      tacit::detail::message({"give {low, high} with low <= high, from ", printed(least), " to ", printed(most)})};
  }
}
inline void check_probability(double probability, std::string_view where) {
  check_range({probability, probability}, 0, 1, "probability", where);
}

/// Refuses a value that images of whole numbers cannot have: it would be cut.
inline void check_value(double value, at::Tensor const& images, std::string_view option, std::string_view where) {
  if (images.is_floating_point()) return;
  bool const fits = std::trunc(value) == value && (images.scalar_type() != at::kByte || (value >= 0 && value <= 255));
  if (!fits) {
    throw DataError{"TACIT-RD138", tacit::detail::message({option, " is ", printed(value), ", which images of type ", c10::toString(images.scalar_type()), " cannot have"}), where,
                    "give a value of the images' type, or transform::ToFloat{} first"};
  }
}

inline std::int64_t checked_size(Pixels size, std::string_view option, std::string_view where) {
  if (size.value_or(0) < 1) {
    throw ConfigError{"TACIT-RD95", tacit::detail::message({option, " is ", (size.is_set() ? "0" : "not given")}), where,
                      tacit::detail::message({"give .", option, " = 1 or more"})};
  }
  return size.value();
}

/// A number for each sample as [N, 1, 1, 1], of the images' type (bool and int64 stay) and on their device.
template <class V>
at::Tensor per_sample(std::vector<V> const& values, at::Tensor const& images) {
  constexpr bool flags = std::is_same_v<V, unsigned char>;
  constexpr bool whole = std::is_same_v<V, std::int64_t>;
  at::Tensor const result = at::empty({static_cast<std::int64_t>(values.size()), 1, 1, 1},
                                      at::TensorOptions{flags ? at::kBool : whole ? at::kLong : at::kDouble});
  if (!values.empty()) std::memcpy(result.mutable_data_ptr(), values.data(), result.nbytes());
  return flags || whole ? result.to(images.device()) : result.to(images.device(), images.scalar_type());
}

/// A number for each channel as [1, C, 1, 1].
inline at::Tensor per_channel(std::vector<double> const& values, at::Tensor const& images) {
  return per_sample(values, images).permute({1, 0, 2, 3});
}

/// Draws which samples are changed.
inline std::vector<unsigned char> draw_mask(std::span<Random> random, double probability) {
  std::vector<unsigned char> mask;
  mask.reserve(random.size());
  for (Random& one : random) mask.push_back(one.chance(probability) ? 1 : 0);
  return mask;
}

inline at::Tensor choose(std::vector<unsigned char> const& mask, at::Tensor const& changed, at::Tensor const& images) {
  return at::where(per_sample(mask, images), changed, images);
}

/// A rectangle for each sample: rows [top, bottom), columns [left, right).
struct Boxes {
  std::vector<std::int64_t> top{}, bottom{}, left{}, right{};

  void add(std::int64_t t, std::int64_t b, std::int64_t l, std::int64_t r) {
    top.push_back(t);
    bottom.push_back(b);
    left.push_back(l);
    right.push_back(r);
  }
  /// True within; [N, 1, H, W].
  at::Tensor mask(at::Tensor const& images) const {
    auto const places = at::TensorOptions{at::kLong}.device(images.device());
    at::Tensor const row = at::arange(images.size(2), places).view({1, 1, -1, 1});
    at::Tensor const column = at::arange(images.size(3), places).view({1, 1, 1, -1});
    return row.ge(per_sample(top, images))
        .logical_and(row.lt(per_sample(bottom, images)))
        .logical_and(column.ge(per_sample(left, images)).logical_and(column.lt(per_sample(right, images))));
  }
};

}  // namespace detail
}  // namespace tacit::inline v0::data::transform
