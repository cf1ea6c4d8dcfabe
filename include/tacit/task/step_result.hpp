#pragma once

#include <concepts>
#include <limits>
#include <string>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"

namespace tacit::inline v0 {

/// What the default step returns: the loss, a mean over the batch's samples, and what the model predicted.
template <class Loss, class Prediction>
struct StepResult {
  Loss loss;
  Prediction prediction;
};

/// A struct that a step may return: a tensor `loss`, the mean over `weight` items where it has that member, else over the samples.
template <class Output, class Tensor>
concept step_output = requires(Output const& output) {
  { output.loss } -> std::convertible_to<Tensor const&>;
};

template <class Output>
concept states_weight = requires(Output const& output) {
  { output.weight } -> std::convertible_to<double>;
};

/// The weight as a scalar tensor: it is read on the host only where reads are free.
template <class Output, class Tensor>
concept states_tensor_weight = !states_weight<Output> && requires(Output const& output) {
  { output.weight } -> std::convertible_to<Tensor const&>;
};

namespace detail {

/// Throws: DataError for a weight that is no number of items.
inline double checked_weight(double weight) {
  if (weight >= 0.0 && weight <= std::numeric_limits<double>::max()) return weight;
  throw DataError{"TACIT-RD160", message({"the step's `weight` is ", std::to_string(weight)}), "a task's step",
                  "state the number of items that the loss is a mean over, 0 or more"};
}

}  // namespace detail
}  // namespace tacit::inline v0
