#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

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

/// Records the share of samples whose prediction is largest at the target class, over a whole eval set and all ranks.
///
/// `prediction` [..., classes] of the task's output, against a `target` of class numbers [...] or of probabilities [..., classes].
/// Throws: DataError if the shapes fit in neither way. Cost: an argmax, a comparison and a sum a batch, on the device.
struct Accuracy {
  using events = event::list<event::EvalEpochStart, event::EvalStepEnd, event::EvalEpochEnd>;
  using records = tacit::records<tag::accuracy>;

  template <class Composition>
  class bound;

  static void visit_config(auto&, auto&&) {}
};

template <class Composition>
class Accuracy::bound {
  using tensor_type = typename Composition::tensor_type;
  using traits = tensor_traits<tensor_type>;

 public:
  using events = Accuracy::events;

  explicit bound(Accuracy const&) {}

  void on(event::EvalEpochStart const&, auto&) { correct_.reset(); }
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

 private:
  template <class Prediction, class Target>
  void add(Prediction const& prediction, Target const& target) {
    auto const predicted = prediction.argmax(-1);
    if (traits::numel(target) == traits::numel(predicted)) {
      correct_.add(predicted.eq(target.reshape_as(predicted)));
    } else if (traits::numel(target) == traits::numel(prediction)) {
      correct_.add(predicted.eq(target.argmax(-1)));
    } else {
      throw DataError{"TACIT-RD60",
                      detail::message({traits::numel(predicted), " predictions against a target of ", traits::numel(target), " numbers"}),
                      "metric::Accuracy", "give a class number for each prediction, or a probability for each class"};
    }
  }

  basic_mean<tensor_type> correct_{};
};

}  // namespace metric
}  // namespace tacit::inline v0
