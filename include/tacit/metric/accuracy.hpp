#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/events/events.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/task/batch.hpp"

namespace tacit::inline v0 {

namespace detail {

template <class Output>
concept has_prediction = requires(Output const& output) { output.prediction; };

}  // namespace detail

namespace metric {

/// Records the share of labels that are predicted rightly, over a whole eval set and all ranks.
///
/// | `prediction` | `target` | counted is |
/// | [N, C], [N, C, d...] or [..., C] | class numbers [N], [N, d...] or [...] | the largest score, at equal scores the first |
/// | the same | probabilities of its sizes, which sum to 1 over the classes | the largest of both |
/// | one score each: [N], [N, 1] or [N, 1, d...] | 0 or 1 each | score > threshold |
/// | any, with `.multi_label` | 0 or 1 for each element | score > threshold, each element on its own |
///
/// Where both dimension 1 and the last one fit as classes it is 1, as for `loss::CrossEntropy`. Labels equal to `ignore_index` do not
/// count. Throws: DataError if the shapes fit in no way and for targets of one score that are neither 0 nor 1; UsageError for targets
/// of the prediction's sizes that are no probabilities. Values are looked at where the host may read them.
/// Cost: an argmax, a comparison and two sums a batch, on the device.
struct Accuracy {
  double threshold = 0.0;            ///< of one score: 0 for a logit, 0.5 for a probability
  std::int64_t ignore_index = -100;  ///< the loss's
  bool multi_label = false;

  using events = event::list<event::EvalEpochStart, event::EvalStepEnd, event::EvalEpochEnd>;
  using records = tacit::records<tag::accuracy>;

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) {
    visit("threshold", self.threshold);
    visit("ignore_index", self.ignore_index);
    visit("multi_label", self.multi_label);
  }
};

template <class Composition>
class Accuracy::bound {
  using tensor_type = typename Composition::tensor_type;
  using traits = tensor_traits<tensor_type>;

 public:
  using events = Accuracy::events;

  explicit bound(Accuracy const& config) : config_{config} {}

  void on(event::EvalEpochStart const&, auto&) {
    correct_.reset();
    is_class_last_ = false;
  }
  void on(event::EvalStepEnd const&, auto& context) {
    using output_type = std::remove_cvref_t<decltype(context.output())>;
    using batch_type = std::remove_cvref_t<decltype(context.batch())>;
    constexpr bool fits = tacit::detail::has_prediction<output_type> && tacit::detail::supervised_batch<batch_type>;
    static_assert(fits,
                  "[TACIT-EM07] metric::Accuracy finds no prediction or no target, wanted: a step that returns a struct with `prediction`, and a batch "
                  "with `target`, see docs/errors.md");
    if constexpr (fits) add(context.output().prediction, tacit::detail::target_of(context.batch()));
  }
  void on(event::EvalEpochEnd const&, auto& context) { context.record(tag::accuracy{}, correct_); }

  static void visit_state(auto& self, auto&& visit) { visit("correct", self.correct_); }
  static void visit_config(auto& self, auto&& visit) { Accuracy::visit_config(self.config_, visit); }

 private:
  template <class Prediction, class Target>
  void add(Prediction const& prediction, Target const& target) {
    std::int64_t const numbers = traits::numel(prediction);
    bool const is_one_to_one = traits::numel(target) == numbers;
    if (is_one_to_one && (config_.multi_label || has_one_score(prediction, target))) {
      if (!config_.multi_label) require_binary(target);
      return count(prediction.gt(config_.threshold), target.reshape_as(prediction));
    }
    if (config_.multi_label || prediction.dim() == 0) refuse(prediction, target, "one target for each element");
    if (is_one_to_one) {
      std::int64_t const classes = has_sizes(prediction, target) ? class_dimension(prediction, prediction.dim() == 2) : refuse(prediction, target, "a probability for each class");
      require_probabilities(target, classes);
      auto const right = prediction.argmax(classes).eq(target.argmax(classes));
      correct_.add(right);
      return;
    }
    auto const labels_fit = [&](std::int64_t dimension) { return without(prediction, dimension) == sizes_of(target, dimension); };
    bool const fits_last = labels_fit(prediction.dim() - 1);
    bool const fits_one = prediction.dim() > 2 && labels_fit(1);
    if (!fits_last && !fits_one) refuse(prediction, target, "a class number for each prediction, or a probability for each class");
    if (prediction.dim() > 2 && !fits_one) is_class_last_ = true;
    auto const predicted = prediction.argmax(fits_one && !(is_class_last_ && fits_last) ? 1 : prediction.dim() - 1);
    count(predicted, target.reshape_as(predicted));
  }

  /// Adds which of the predicted labels are the target's, but for the ignored ones.
  template <class Predicted, class Labels>
  void count(Predicted const& predicted, Labels const& labels) {
    auto const kept = labels.ne(config_.ignore_index);
    correct_.add_sum(traits::sum(predicted.eq(labels).logical_and(kept)), traits::sum(kept));
  }

  /// One class, in dimension 1 or in a last one that the target has not.
  template <class Prediction, class Target>
  static bool has_one_score(Prediction const& prediction, Target const& target) {
    std::int64_t const dimensions = prediction.dim();
    return dimensions <= 1 || prediction.size(1) == 1 || (prediction.size(dimensions - 1) == 1 && target.dim() < dimensions);
  }
  template <class Prediction, class Target>
  static bool has_sizes(Prediction const& prediction, Target const& target) {
    return without(prediction, -1) == without(target, -1);
  }
  template <class Prediction>
  std::int64_t class_dimension(Prediction const& prediction, bool is_last) const {
    return is_last || prediction.dim() == 1 || is_class_last_ ? prediction.dim() - 1 : 1;
  }
  /// The sizes but for one dimension.
  template <class Some>
  static std::vector<std::int64_t> without(Some const& tensor, std::int64_t dimension) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t i = 0; i < tensor.dim(); ++i) {
      if (i != dimension) sizes.push_back(tensor.size(i));
    }
    return sizes;
  }
  /// The sizes of labels, which may have a dimension of 1 in the place of the classes.
  template <class Target>
  static std::vector<std::int64_t> sizes_of(Target const& target, std::int64_t dimension) {
    return without(target, dimension < target.dim() && target.size(dimension) == 1 ? dimension : -1);
  }

  template <class Target>
  void require_binary(Target const& target) const {
    if (!traits::host_readable(target)) return;
    auto const right = target.eq(0).logical_or(target.eq(1)).logical_or(target.eq(config_.ignore_index));
    if (traits::read(traits::sum(right)) == static_cast<double>(traits::numel(target))) return;
    throw DataError{"TACIT-RD128", "a target of one score is neither 0 nor 1", "metric::Accuracy",
                    "give 0 or 1, or a score for each class"};
  }
  /// Several labels of a sample are no probabilities.
  template <class Target>
  static void require_probabilities(Target const& target, std::int64_t classes) {
    if (!traits::host_readable(target) || traits::numel(target) == 0) return;
    auto const off = target.sum(classes).sub(1).abs().gt(0.01);
    if (target.is_floating_point() && traits::read(traits::sum(off)) == 0.0) return;
    throw UsageError{"TACIT-RU30", "the target has the prediction's sizes, and is no probability of each class: its numbers do not sum to 1", "metric::Accuracy",
                    "for labels that a sample may have several of: metric::Accuracy{.multi_label = true}"};
  }
  template <class Prediction, class Target>
  [[noreturn]] static std::int64_t refuse(Prediction const& prediction, Target const& target, std::string_view fix) {
    auto const text = [](auto const& tensor) { return detail::sizes_text(without(tensor, -1)); };
    throw DataError{"TACIT-RD60", detail::message({"the prediction has sizes ", text(prediction), ", the target ", text(target)}), "metric::Accuracy",
                    detail::message({"give ", fix})};
  }

  Accuracy config_;
  bool is_class_last_ = false;  // a batch had its classes there and nowhere else
  basic_mean<tensor_type> correct_{};
};

}  // namespace metric
}  // namespace tacit::inline v0
