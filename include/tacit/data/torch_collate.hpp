#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/data/collate.hpp"

namespace tacit::inline v0::data {

/// Default collate of LibTorch's tensors: stacked along a new dimension 0, or padded along their first one.
template <>
struct collation<at::Tensor> {
  static constexpr bool is_tensor = true;

  /// [...] of each of N samples becomes [N, ...].
  /// Throws: DataError where shape or type of a sample differs from the first one's, or a tensor is undefined.
  static at::Tensor join(std::span<at::Tensor const> parts, CollateContext const& context) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      bool const same = parts[i].defined() && parts[0].defined() && parts[i].sizes() == parts[0].sizes() &&
                        parts[i].scalar_type() == parts[0].scalar_type();
      if (!same) {
        throw DataError{
            "TACIT-RD73",
            tacit::detail::message({context.sample(i), " is a tensor ", describe(parts[i]), ", ", context.sample(0), " one ", describe(parts[0])}),
            "collate", "make them equal, or give sequences to PadCollate or as Ragged<at::Tensor>"};
      }
    }
    return at::stack(at::TensorList{parts.data(), parts.size()});
  }

  /// A tensor of the given numbers, row by row.
  template <class V>
  static at::Tensor from_values(V const* values, std::span<std::int64_t const> sizes) {
    at::Tensor const result = at::empty({sizes.data(), sizes.size()}, at::TensorOptions{type_of<V>()});
    if (result.numel() != 0) std::memcpy(result.mutable_data_ptr(), values, result.nbytes());
    return result;
  }

  /// [length, ...] of each of N samples becomes [N, longest, ...], the rest filled with `value`, and lengths [N].
  /// Throws: DataError where samples differ in more than their length.
  static Padded<at::Tensor> pad(std::span<at::Tensor const> parts, double value, CollateContext const& context) {
    std::vector<std::int64_t> lengths;
    lengths.reserve(parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
      bool const fits = parts[i].defined() && parts[0].defined() && parts[i].dim() > 0 && parts[i].dim() == parts[0].dim() &&
                        parts[i].sizes().slice(1) == parts[0].sizes().slice(1) && parts[i].scalar_type() == parts[0].scalar_type();
      if (!fits) {
        throw DataError{
            "TACIT-RD74",
            tacit::detail::message({context.sample(i), " is a tensor ", describe(parts[i]), ", ", context.sample(0), " one ", describe(parts[0])}),
            "collate with padding", "make sequences equal in all but dimension 0"};
      }
      lengths.push_back(parts[i].size(0));
    }
    check_padding(parts[0].scalar_type(), value);
    std::vector<std::int64_t> sizes{static_cast<std::int64_t>(parts.size()), std::ranges::max(lengths)};
    sizes.insert(sizes.end(), parts[0].sizes().begin() + 1, parts[0].sizes().end());
    Padded<at::Tensor> result{at::full(sizes, value, parts[0].options()), {}};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      result.values.select(0, static_cast<std::int64_t>(i)).narrow(0, 0, lengths[i]).copy_(parts[i]);
    }
    std::int64_t const count = sizes[0];
    result.lengths = from_values(lengths.data(), {&count, 1});
    return result;
  }

  /// Fixes the caller's number of threads: asked for later, it would be what a worker may have set for itself.
  static void before_workers() { (void)at::get_num_threads(); }

 private:
  static void check_padding(at::ScalarType type, double value) {
    switch (type) {
      case at::kBool: return detail::check_padding<bool>(value);
      case at::kByte: return detail::check_padding<std::uint8_t>(value);
      case at::kChar: return detail::check_padding<std::int8_t>(value);
      case at::kShort: return detail::check_padding<std::int16_t>(value);
      case at::kInt: return detail::check_padding<std::int32_t>(value);
      case at::kLong: return detail::check_padding<std::int64_t>(value);
      default: return;
    }
  }

  template <class V>
  static constexpr at::ScalarType type_of() {
    static_assert(std::is_arithmetic_v<V>);
    if constexpr (std::is_same_v<V, bool>) {
      return at::kBool;
    } else if constexpr (std::is_floating_point_v<V>) {
      static_assert(sizeof(V) <= 8, "LibTorch has no long double");
      return sizeof(V) == 4 ? at::kFloat : at::kDouble;
    } else if constexpr (sizeof(V) == 1) {
      return std::is_signed_v<V> ? at::kChar : at::kByte;
    } else {
      static_assert(std::is_signed_v<V>, "LibTorch computes with signed integers: give the field a signed type");
      return sizeof(V) == 2 ? at::kShort : sizeof(V) == 4 ? at::kInt : at::kLong;
    }
  }

  static std::string describe(at::Tensor const& tensor) {
    if (!tensor.defined()) return "without value";
    std::ostringstream text;
    text << "of shape " << tensor.sizes() << " and type " << c10::toString(tensor.scalar_type());
    return text.str();
  }
};

}  // namespace tacit::inline v0::data
