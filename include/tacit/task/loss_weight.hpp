#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

/// What a loss is a mean over, where that is not the batch's samples: a loss states it in a member `weight(prediction, target)` or
/// `weight(target)`, that returns a number or a tensor of one element.
namespace tacit::inline v0::detail {

/// A loss module of LibTorch that leaves labels out or weighs classes: torch::nn::CrossEntropyLoss, torch::nn::NLLLoss.
template <class Loss>
concept library_label_loss = requires(Loss const& loss) {
  loss->options.ignore_index();
  loss->options.reduction();
  loss->weight.defined();
};

template <class Loss, class Prediction, class Target>
concept weighs_pair = requires(Loss const& loss, Prediction const& prediction, Target const& target) { loss.weight(prediction, target); };
template <class Loss, class Target>
concept weighs_target = requires(Loss const& loss, Target const& target) { loss.weight(target); };
/// A loss that says what it is a mean over.
template <class Loss, class Prediction, class Target>
concept weighs = weighs_pair<Loss, Prediction, Target> || weighs_target<Loss, Target> || library_label_loss<Loss>;

/// A member function `weight`; class weights as data of that name are another thing.
template <class Loss>
concept names_weight_function = std::is_class_v<Loss> && requires { requires std::is_member_function_pointer_v<decltype(&Loss::weight)>; };

/// The sum of the class weights of the labels that count; without class weights the number of these labels.
template <class Tensor>
Tensor counted_labels(Tensor const& labels, std::int64_t ignore_index, Tensor const& class_weights) {
  Tensor const counts = labels.ne(ignore_index);
  if (!class_weights.defined()) return counts.sum();
  return class_weights.take(labels.to(counts.sum().scalar_type()).masked_fill(counts.logical_not(), 0)).masked_fill(counts.logical_not(), 0).sum();
}

/// The weight of a batch, as the loss states it.
template <class Loss, class Prediction, class Target>
auto weight_of_loss(Loss const& loss, Prediction const& prediction, Target const& target) {
  if constexpr (weighs_pair<Loss, Prediction, Target>) {
    return loss.weight(prediction, target);
  } else if constexpr (weighs_target<Loss, Target>) {
    return loss.weight(target);
  } else {
    constexpr std::size_t mean = 1;  // of the variant none, mean, sum
    std::int64_t const classes = prediction.size(prediction.dim() == 1 ? 0 : 1);
    if (target.is_floating_point()) return target.new_full({}, static_cast<double>(prediction.numel() / classes));
    if (loss->options.reduction().index() != mean) return prediction.new_full({}, static_cast<double>(prediction.size(0)));
    return counted_labels(target, loss->options.ignore_index(), loss->weight);
  }
}

}  // namespace tacit::inline v0::detail
