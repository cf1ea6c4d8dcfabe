#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"

namespace tacit::inline v0 {

/// What the default step returns: the loss, a mean over the batch's samples, and what the model predicted.
template <class Loss, class Prediction>
struct StepResult {
  Loss loss;
  Prediction prediction;
};

/// What the default step returns where the loss states its weight: the loss is a mean over `weight` items.
template <class Loss, class Prediction, class Weight>
struct WeightedStepResult {
  Loss loss;
  Prediction prediction;
  Weight weight;
};

/// A struct that a step may return: a tensor `loss`, the mean over `weight` items where it has that member, else over the samples.
template <class Output, class Tensor>
concept step_output = requires(Output const& output) {
  { output.loss } -> std::convertible_to<Tensor const&>;
};

namespace detail {

template <class Output>
using weight_member_t = std::remove_cvref_t<decltype(std::declval<Output const&>().weight)>;

/// A number: a truth value converts to one, and is none.
template <class T>
concept weight_number = std::convertible_to<T const&, double> && !std::same_as<T, bool> && !tensor<T>;

// Does a type name a member `weight` at all, of whatever type and access? A name that two bases have is ambiguous.
struct has_weight {
  int weight;
};
template <class T>
struct weight_name_probe : T, has_weight {};
template <class T>
consteval bool names_weight_of() {
  if constexpr (!std::is_class_v<T>) {
    return false;
  } else if constexpr (std::is_final_v<T>) {
    return requires { &T::weight; };
  } else {
    return !requires { &weight_name_probe<T>::weight; };
  }
}
template <class T>
concept names_weight = names_weight_of<T>();

template <class T>
inline constexpr bool is_weighted_result_v = false;
template <class L, class P, class W>
inline constexpr bool is_weighted_result_v<WeightedStepResult<L, P, W>> = true;

}  // namespace detail

/// A step's result whose `weight` is a tensor of one element: it may stay on the device.
template <class Output>
concept states_tensor_weight = requires { requires tensor<detail::weight_member_t<Output>>; };
/// A step's result with a `weight`: a number, or a tensor of one element.
template <class Output>
concept states_weight = states_tensor_weight<Output> || requires { requires detail::weight_number<detail::weight_member_t<Output>>; };
/// A step's result whose `weight` counts tokens. That of a loss need not be a count: class weights make it a fraction.
template <class Output>
concept states_tokens = states_weight<Output> && !detail::is_weighted_result_v<Output>;

namespace detail {

[[noreturn, gnu::noinline, gnu::cold]] inline void refuse_weight(double weight) {
  throw DataError{"TACIT-RD124", message({"`weight` is ", std::to_string(weight)}), "the result of a step",
                  "state the number of items that the loss is a mean over: 0 or more, and finite"};
}
/// Returns: the weight. Throws: DataError for one that is NaN, infinite or negative.
inline double checked_weight(double weight) {
  if (!(weight >= 0.0 && weight <= std::numeric_limits<double>::max())) refuse_weight(weight);
  return weight;
}

[[noreturn, gnu::noinline, gnu::cold]] inline void refuse_weight_size(std::int64_t numbers) {
  throw DataError{"TACIT-RD125", message({"`weight` is a tensor of ", numbers, " elements"}), "the result of a step",
                  "state one number for the batch: weights.sum(), say"};
}
/// True if the host may read the weight that a step states without waiting.
/// Throws: DataError for a tensor that has not one element.
template <states_weight Output>
bool host_knows_weight(Output const& output) {
  if constexpr (states_tensor_weight<Output>) {
    using traits = tensor_traits<weight_member_t<Output>>;
    if (!traits::defined(output.weight) || traits::numel(output.weight) != 1) {
      refuse_weight_size(traits::defined(output.weight) ? traits::numel(output.weight) : 0);
    }
    return traits::host_readable(output.weight);
  } else {
    return true;
  }
}
/// The weight that a step states as a number. Cost: waits for the device unless `host_knows_weight`.
/// Throws: DataError for a weight that is NaN, infinite or negative, or not one element.
template <states_weight Output>
double host_weight(Output const& output) {
  if constexpr (states_tensor_weight<Output>) {
    host_knows_weight(output);  // looks at its size
    return checked_weight(tensor_traits<weight_member_t<Output>>::read(output.weight));
  } else {
    return checked_weight(static_cast<double>(output.weight));
  }
}

[[noreturn, gnu::noinline, gnu::cold]] inline void refuse_loss(std::int64_t numbers) {
  throw DataError{"TACIT-RD126", message({"`loss` is a tensor of ", numbers, " elements"}), "the result of a step",
                  "return one number for the batch: loss.mean(), or a loss with reduction mean"};
}
/// Throws: DataError for a loss that has not one element.
template <class Tensor>
void check_loss(Tensor const& loss) {
  if (!tensor_traits<Tensor>::defined(loss)) refuse_loss(0);
  if (std::int64_t const numbers = tensor_traits<Tensor>::numel(loss); numbers != 1) refuse_loss(numbers);
}

}  // namespace detail
}  // namespace tacit::inline v0
