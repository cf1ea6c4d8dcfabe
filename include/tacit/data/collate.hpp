#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <ranges>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/pfr/core.hpp>

#include "tacit/concepts/dataset.hpp"
#include "tacit/core/aggregate.hpp"
#include "tacit/core/error.hpp"
#include "tacit/version.hpp"

namespace tacit::inline v0::data {

/// The samples that a batch is made of, for messages.
struct CollateContext {
  std::span<std::int64_t const> samples{};  ///< their numbers in the dataset; empty where unknown

  /// "sample 17 (place 2 of the batch)"
  std::string sample(std::size_t place) const {
    std::string const at = "place " + std::to_string(place) + " of the batch";
    return place < samples.size() ? "sample " + std::to_string(samples[place]) + " (" + at + ")" : "the sample at " + at;
  }
};

/// How values of a type become a part of a batch: the customisation of default collate; `at::Tensor`'s is in
/// data/torch_collate.hpp.
///
/// `join(std::span<T const>, CollateContext const&)` is enough. A tensor type also has `is_tensor = true`,
/// `from_values<V>(V const*, std::span<std::int64_t const> sizes)`, `pad(std::span<T const>, double, CollateContext const&)`
/// and, where it must prepare for threads, `before_workers()`.
template <class T>
struct collation;

/// A field whose samples differ in length: collated with padding, and with the lengths kept.
template <class T>
struct Ragged {
  T value{};
};

/// Sequences of unequal length, filled up to the longest.
template <class Values, class Lengths = Values>
struct Padded {
  Values values;    ///< [samples, longest, ...]
  Lengths lengths;  ///< [samples]
};

/// Sequences of numbers, filled up to the longest, where the samples have no tensor.
template <class V>
struct PaddedList {
  std::vector<V> values{};  ///< `lengths.size()` rows of `width`
  std::int64_t width = 0;
  std::vector<std::int64_t> lengths{};
};

namespace detail {

template <class T>
concept has_join = requires(std::span<T const> parts, CollateContext const& context) { collation<T>::join(parts, context); };
template <class T>
concept collated_tensor = has_join<T> && requires { requires collation<T>::is_tensor; };
template <class T>
concept number = std::is_arithmetic_v<T> || std::is_enum_v<T>;
using tacit::detail::plain_struct;
using tacit::detail::tuple_like;

template <class T>
inline constexpr bool is_list_v = false;
template <class V>
inline constexpr bool is_list_v<std::vector<V>> = true;
template <class T>
inline constexpr bool is_number_array_v = false;
template <class V, std::size_t N>
inline constexpr bool is_number_array_v<std::array<V, N>> = std::is_arithmetic_v<V>;
template <class T>
inline constexpr bool is_ragged_v = false;
template <class V>
inline constexpr bool is_ragged_v<Ragged<V>> = true;
template <class T>
inline constexpr bool is_number_list_v = false;
template <class V>
inline constexpr bool is_number_list_v<std::vector<V>> = std::is_arithmetic_v<V> && !std::same_as<V, bool>;

template <class T>
struct stored {
  using type = T;
};
template <class T>
  requires std::is_enum_v<T>
struct stored<T> : std::underlying_type<T> {};

/// bool has no contiguous vector.
template <class T>
using column_element_t = std::conditional_t<std::same_as<T, bool>, unsigned char, typename stored<T>::type>;

/// Fields of a struct or elements of a tuple, by number.
template <class T>
consteval std::size_t field_count() {
  if constexpr (tuple_like<T>) {
    return std::tuple_size<T>::value;
  } else {
    return boost::pfr::tuple_size_v<T>;
  }
}
template <std::size_t Field, class T>
auto& field_of(T& sample) {
  if constexpr (tuple_like<std::remove_const_t<T>>) {
    return std::get<Field>(sample);
  } else {
    return boost::pfr::get<Field>(sample);
  }
}
template <std::size_t Field, class T>
using field_t = std::remove_cvref_t<decltype(field_of<Field>(std::declval<T&>()))>;

struct no_tensor {};

template <class... T>
struct first_tensor {
  using type = no_tensor;
};
template <class T, class... Rest>
struct first_tensor<T, Rest...> : std::conditional_t<std::same_as<T, no_tensor>, first_tensor<Rest...>, std::type_identity<T>> {};

/// The tensor type that a sample or batch has somewhere, or no_tensor.
template <class T>
consteval auto find_tensor() {
  if constexpr (collated_tensor<T>) {
    return std::type_identity<T>{};
  } else if constexpr (is_ragged_v<T>) {
    return find_tensor<decltype(T::value)>();
  } else if constexpr (is_list_v<T>) {
    return find_tensor<typename T::value_type>();
  } else if constexpr (tuple_like<T> || plain_struct<T>) {
    return []<std::size_t... Field>(std::index_sequence<Field...>) {
      return std::type_identity<
          typename first_tensor<typename decltype(find_tensor<field_t<Field, T>>())::type...>::type>{};
    }(std::make_index_sequence<field_count<T>()>{});
  } else {
    return std::type_identity<no_tensor>{};
  }
}
template <class T>
using tensor_in_t = typename decltype(find_tensor<T>())::type;

/// Whether default collate knows what to do with a sample.
template <class T, bool Pad>
consteval bool knows_sample() {
  if constexpr (has_join<T> || number<T> || std::same_as<T, std::string> || is_list_v<T> || is_number_array_v<T>) {
    return !Pad || !collated_tensor<T> || requires(std::span<T const> s, CollateContext const& c) { collation<T>::pad(s, 0.0, c); };
  } else if constexpr (is_ragged_v<T>) {
    return is_number_list_v<decltype(T::value)> ||
           requires(std::span<decltype(T::value) const> s, CollateContext const& c) { collation<decltype(T::value)>::pad(s, 0.0, c); };
  } else if constexpr (tuple_like<T> || plain_struct<T>) {
    return []<std::size_t... Field>(std::index_sequence<Field...>) {
      return sizeof...(Field) > 0 && (knows_sample<field_t<Field, T>, Pad>() && ...);
    }(std::make_index_sequence<field_count<T>()>{});
  } else {
    return false;
  }
}

/// Throws: ConfigError for a padding that a whole number cannot be.
template <class V>
void check_padding(double value) {
  if constexpr (std::integral<V>) {
    bool const fits = value >= static_cast<double>(std::numeric_limits<V>::min()) && value < std::ldexp(1.0, std::numeric_limits<V>::digits) && std::trunc(value) == value;
    if (!fits) {
      throw ConfigError{"TACIT-RC143", tacit::detail::message({"the padding ", std::to_string(value), " is no number of the values' type, whole and of ", 8 * sizeof(V), " bits"}),
                        "collate", "give .padding a number that the values' type has"};
    }
  }
}

/// Collates columns of values into the parts of a batch; numbers become tensors where the sample has a tensor.
template <class Tensor, bool Pad>
struct Collator {
  CollateContext const& context;
  double value;

  template <class V>
  auto from_values(std::vector<V>&& values, std::initializer_list<std::int64_t> sizes) const {
    return collation<Tensor>::template from_values<V>(values.data(), std::span<std::int64_t const>{sizes.begin(), sizes.size()});
  }

  template <class V>
  auto pad(std::vector<std::vector<V>> const& column) const {
    check_padding<V>(value);
    std::size_t width = 0;
    for (std::vector<V> const& row : column) width = std::max(width, row.size());
    std::vector<V> values;
    values.reserve(width * column.size());
    std::vector<std::int64_t> lengths;
    lengths.reserve(column.size());
    for (std::vector<V> const& row : column) {
      values.insert(values.end(), row.begin(), row.end());
      values.insert(values.end(), width - row.size(), static_cast<V>(value));
      lengths.push_back(static_cast<std::int64_t>(row.size()));
    }
    auto const rows = static_cast<std::int64_t>(column.size());
    if constexpr (std::same_as<Tensor, no_tensor>) {
      return PaddedList<V>{std::move(values), static_cast<std::int64_t>(width), std::move(lengths)};
    } else {
      return Padded<Tensor>{from_values(std::move(values), {rows, static_cast<std::int64_t>(width)}),
                            from_values(std::move(lengths), {rows})};
    }
  }

  /// `column` holds the values of one field, a sample each.
  template <class T>
  auto join(std::vector<T>&& column) const {
    if constexpr (collated_tensor<T> && Pad) {
      return collation<T>::pad(std::span<T const>{column}, value, context);
    } else if constexpr (has_join<T>) {
      return collation<T>::join(std::span<T const>{column}, context);
    } else if constexpr (is_number_list_v<T> && Pad) {
      return pad(column);
    } else if constexpr (is_number_array_v<T>) {
      if constexpr (std::same_as<Tensor, no_tensor>) {
        return std::move(column);
      } else {
        using element = column_element_t<typename T::value_type>;
        std::vector<element> values;
        values.reserve(column.size() * std::tuple_size_v<T>);
        for (T const& row : column) values.insert(values.end(), row.begin(), row.end());
        return from_values(std::move(values), {static_cast<std::int64_t>(column.size()), static_cast<std::int64_t>(std::tuple_size_v<T>)});
      }
    } else {
      return std::move(column);
    }
  }

  template <class S>
  auto collate(std::span<S> samples) const {
    if constexpr (number<S>) {
      std::vector<column_element_t<S>> column;
      column.reserve(samples.size());
      for (S const& sample : samples) column.push_back(static_cast<column_element_t<S>>(sample));
      return numbers<S>(std::move(column));
    } else if constexpr (is_ragged_v<S>) {
      using inner = decltype(S::value);
      std::vector<inner> column;
      column.reserve(samples.size());
      for (S& sample : samples) column.push_back(std::move(sample.value));
      if constexpr (collated_tensor<inner>) {
        return collation<inner>::pad(std::span<inner const>{column}, value, context);
      } else {
        return pad(column);
      }
    } else if constexpr (has_join<S> || std::same_as<S, std::string> || is_list_v<S> || is_number_array_v<S>) {
      return join(std::vector<S>(std::move_iterator{samples.begin()}, std::move_iterator{samples.end()}));
    } else {
      return [&]<std::size_t... Field>(std::index_sequence<Field...>) {
        return assemble<S>(std::tuple<decltype(collate_field<Field>(samples))...>{collate_field<Field>(samples)...});
      }(std::make_index_sequence<field_count<S>()>{});
    }
  }

 private:
  template <class S>
  auto numbers(std::vector<column_element_t<S>>&& column) const {
    auto const count = static_cast<std::int64_t>(column.size());
    if constexpr (std::same_as<Tensor, no_tensor>) {
      return std::move(column);
    } else if constexpr (std::same_as<S, bool>) {
      return collation<Tensor>::template from_values<bool>(reinterpret_cast<bool const*>(column.data()), std::span<std::int64_t const>{&count, 1});
    } else {
      return from_values(std::move(column), {count});
    }
  }

  template <std::size_t Field, class S>
  auto collate_field(std::span<S> samples) const {
    using T = field_t<Field, S>;
    if constexpr (std::same_as<T, bool>) {
      std::vector<unsigned char> column;
      column.reserve(samples.size());
      for (S& sample : samples) column.push_back(field_of<Field>(sample) ? 1 : 0);
      return numbers<bool>(std::move(column));
    } else {
      std::vector<T> column;
      column.reserve(samples.size());
      for (S& sample : samples) column.push_back(std::move(field_of<Field>(sample)));
      return collate(std::span{column});
    }
  }

  /// The type named by the sample, the sample's own type where every field keeps its type, else a pair or tuple.
  template <class S, class... Part>
  auto assemble(std::tuple<Part...>&& parts) const {
    return [&]<std::size_t... Field>(std::index_sequence<Field...>) {
      if constexpr (requires { typename S::batch_type; }) {
        return typename S::batch_type{std::get<Field>(std::move(parts))...};
      } else if constexpr ((std::same_as<Part, field_t<Field, S>> && ...)) {
        return S{std::get<Field>(std::move(parts))...};
      } else if constexpr (sizeof...(Part) == 2) {
        return std::pair<Part...>{std::get<Field>(std::move(parts))...};
      } else {
        return std::move(parts);
      }
    }(std::index_sequence_for<Part...>{});
  }
};

}  // namespace detail

/// Makes a batch of samples, field by field: tensors are stacked, numbers become one tensor where the sample also has a
/// tensor and a `std::vector` elsewhere, strings and vectors become lists, `Ragged` fields are padded.
///
/// The batch of a struct is `Sample::batch_type` where that is named, the sample's own type where every field keeps its
/// type, and else a pair or tuple of the parts.
/// Throws: DataError for tensors of unequal shapes, with both shapes and samples.
struct DefaultCollate {
  double padding = 0;  ///< what `Ragged` fields are filled up with

  template <class S>
    requires(detail::knows_sample<S, false>())
  auto operator()(std::span<S> samples, CollateContext const& context = {}) const {
    return detail::Collator<detail::tensor_in_t<S>, false>{context, padding}.collate(samples);
  }
};

/// As `DefaultCollate`, but every tensor and every vector of numbers is a sequence that is padded along its first
/// dimension: they become `Padded` (or `PaddedList`), with their lengths.
struct PadCollate {
  double padding = 0;  ///< what sequences are filled up with

  template <class S>
    requires(detail::knows_sample<S, true>())
  auto operator()(std::span<S> samples, CollateContext const& context = {}) const {
    return detail::Collator<detail::tensor_in_t<S>, true>{context, padding}.collate(samples);
  }
};

/// Calls a collate function, with the numbers of the samples where it takes them.
template <class C, class S>
auto collate_with(C const& collate, std::span<S> samples, CollateContext const& context) {
  if constexpr (requires { collate(samples, context); }) {
    return collate(samples, context);
  } else {
    return collate(samples);
  }
}

namespace detail {

/// The dataset that an index view, or a view of a view, renumbers.
template <class D>
consteval auto find_innermost() {
  if constexpr (index_view<D>) {
    return find_innermost<std::remove_cvref_t<decltype(std::declval<D const&>().base())>>();
  } else {
    return std::type_identity<D>{};
  }
}
template <class D>
using innermost_t = typename decltype(find_innermost<D>())::type;

/// Whether batches come from `get_batch`: not where a collate function is given, nor where only `get` wants a generator.
template <class D, class Collate>
inline constexpr bool takes_batches_v =
    std::same_as<Collate, DefaultCollate> && (tacit::detail::has_random_get_batch<innermost_t<D>> ||
                                              (batch_dataset<innermost_t<D>> && !tacit::detail::has_random_get<innermost_t<D>>));

}  // namespace detail

/// A function from samples to a batch.
template <class C, class S>
concept collate_function = requires(C const& collate, std::span<S> samples, CollateContext const& context) { collate(samples, context); } ||
                           requires(C const& collate, std::span<S> samples) { collate(samples); };

}  // namespace tacit::inline v0::data
