#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>

#include <boost/pfr/core.hpp>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/aggregate.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"

namespace tacit::inline v0 {

/// A field of a batch that stays on the host.
template <class T>
struct on_host {
  T value{};
  operator T const&() const noexcept { return value; }
};

namespace detail {

template <class T>
inline constexpr bool is_on_host_v = false;
template <class T>
inline constexpr bool is_on_host_v<on_host<T>> = true;

/// Calls `visit` for every tensor of a batch: fields of structs, elements of tuples and containers; `on_host` fields are passed over.
template <class Tensor, class Batch, class Visit>
void for_each_tensor(Batch& batch, Visit const& visit) {
  using plain = std::remove_cv_t<Batch>;
  if constexpr (std::same_as<plain, Tensor>) {
    visit(batch);
  } else if constexpr (is_on_host_v<plain> || std::is_arithmetic_v<plain>) {
  } else if constexpr (std::ranges::range<Batch>) {
    for (auto& element : batch) for_each_tensor<Tensor>(element, visit);
  } else if constexpr (tuple_like<plain>) {
    std::apply([&](auto&... element) { (for_each_tensor<Tensor>(element, visit), ...); }, batch);
  } else if constexpr (requires { batch.for_each_tensor(visit); }) {
    batch.for_each_tensor(visit);
  } else if constexpr (requires(Batch& b) { b.data; b.target; } && !std::is_aggregate_v<plain>) {
    for_each_tensor<Tensor>(batch.data, visit);
    for_each_tensor<Tensor>(batch.target, visit);
  } else if constexpr (has_base<plain>) {
    report(bad<misuse::ET31, plain>{});
  } else if constexpr (plain_struct<plain>) {
    boost::pfr::for_each_field(batch, [&](auto& field) { for_each_tensor<Tensor>(field, visit); });
  }
}

/// True for a batch whose rows can be taken apart: tensors, structs and tuples of them, numbers that hold for all, or its own `rows`.
template <class Tensor, class Batch>
consteval bool is_divisible();
template <class Tensor, class... Field>
consteval bool all_divisible(list<Field...>) {
  return (is_divisible<Tensor, std::remove_cvref_t<Field>>() && ...);
}
template <class Tuple, std::size_t... I>
auto elements_of(std::index_sequence<I...>) -> list<std::tuple_element_t<I, Tuple>...>;
template <class Struct, std::size_t... I>
auto fields_of(std::index_sequence<I...>) -> list<boost::pfr::tuple_element_t<I, Struct>...>;
template <class Tensor, class Batch>
consteval bool is_divisible() {
  if constexpr (std::same_as<Batch, Tensor> || std::is_arithmetic_v<Batch> ||
                requires(Batch const& batch, std::int64_t i) { { batch.rows(i, i) } -> std::same_as<Batch>; }) {
    return true;
  } else if constexpr (is_on_host_v<Batch> || std::ranges::range<Batch>) {
    return false;
  } else if constexpr (tuple_like<Batch>) {
    return all_divisible<Tensor>(decltype(elements_of<Batch>(std::make_index_sequence<std::tuple_size_v<Batch>>{})){});
  } else if constexpr (requires(Batch& b) { b.data; b.target; } && !std::is_aggregate_v<Batch>) {
    return all_divisible<Tensor>(list<decltype(Batch::data), decltype(Batch::target)>{});
  } else if constexpr (plain_struct<Batch>) {
    return all_divisible<Tensor>(decltype(fields_of<Batch>(std::make_index_sequence<boost::pfr::tuple_size_v<Batch>>{})){});
  } else {
    return false;
  }
}

/// Rows [first, first + count) of a batch.
template <class Tensor, class Batch>
Batch rows_from(Batch const& batch, std::int64_t first, std::int64_t count) {
  if constexpr (requires { { batch.rows(first, count) } -> std::same_as<Batch>; }) {
    return batch.rows(first, count);
  } else {
    Batch part = batch;
    for_each_tensor<Tensor>(part, [&](Tensor& tensor) {
      if (tensor_traits<Tensor>::dimensions(tensor) > 0) tensor = tensor_traits<Tensor>::rows(tensor, first, count);
    });
    return part;
  }
}

/// The rows of a batch where all its tensors have as many, else `otherwise`.
template <class Tensor, class Batch>
std::int64_t common_rows(Batch const& batch, std::int64_t otherwise = 0) {
  std::int64_t rows = -1;
  bool are_alike = true;
  for_each_tensor<Tensor>(batch, [&](Tensor const& tensor) {
    if (tensor_traits<Tensor>::dimensions(tensor) == 0) return;
    std::int64_t const own = tensor_traits<Tensor>::size0(tensor);
    are_alike = are_alike && (rows < 0 || rows == own);
    rows = own;
  });
  return rows < 0 || !are_alike ? otherwise : rows;
}

/// The samples of a batch whose source does not tell: the rows of its first tensor that is no scalar.
template <class Tensor, class Batch>
std::int64_t rows_of(Batch const& batch) {
  std::int64_t rows = -1;
  for_each_tensor<Tensor>(batch, [&](Tensor const& tensor) {
    if (rows < 0 && tensor_traits<Tensor>::dimensions(tensor) > 0) rows = tensor_traits<Tensor>::size0(tensor);
  });
  return rows < 0 ? 1 : rows;
}

template <class Batch>
concept has_input_target = requires(Batch const& batch) { batch.input; batch.target; };
template <class Batch>
concept has_data_target = !has_input_target<Batch> && requires(Batch const& batch) { batch.data; batch.target; };
template <class Batch>
concept pair_like = !has_input_target<Batch> && !has_data_target<Batch> && tuple_like<Batch> && (std::tuple_size<Batch>::value == 2);

template <class Batch>
consteval bool has_two_fields() {
  if constexpr (plain_struct<Batch> && !has_input_target<Batch> && !has_data_target<Batch>) {
    return boost::pfr::tuple_size_v<Batch> == 2;
  } else {
    return false;
  }
}

/// A batch that is an input and a target: by the members `input`/`target` or `data`/`target`, as a pair, or as a struct of two fields.
template <class Batch>
concept supervised_batch = has_input_target<Batch> || has_data_target<Batch> || pair_like<Batch> || has_two_fields<Batch>();

template <supervised_batch Batch>
decltype(auto) input_of(Batch const& batch) {
  if constexpr (has_input_target<Batch>) {
    return (batch.input);
  } else if constexpr (has_data_target<Batch>) {
    return (batch.data);
  } else if constexpr (pair_like<Batch>) {
    return (std::get<0>(batch));
  } else {
    return (boost::pfr::get<0>(batch));
  }
}

template <supervised_batch Batch>
decltype(auto) target_of(Batch const& batch) {
  if constexpr (has_input_target<Batch> || has_data_target<Batch>) {
    return (batch.target);
  } else if constexpr (pair_like<Batch>) {
    return (std::get<1>(batch));
  } else {
    return (boost::pfr::get<1>(batch));
  }
}

}  // namespace detail
}  // namespace tacit::inline v0
