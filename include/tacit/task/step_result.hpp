#pragma once

#include <concepts>

#include "tacit/concepts/tensor.hpp"

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

}  // namespace tacit::inline v0
