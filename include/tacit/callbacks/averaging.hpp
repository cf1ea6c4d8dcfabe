#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/task/task.hpp"
#include "tacit/task/weight_average.hpp"

namespace tacit::inline v0::detail {

/// What the callbacks that average weights share: the average of the model, and its evaluations under a name.
template <class Composition>
class averaging {
 public:
  using traits = tensor_traits<typename Composition::tensor_type>;
  using model_type = std::remove_cvref_t<decltype(task_model<0>(std::declval<typename Composition::task&>()))>;

  averaging(std::string_view name, Epochs evaluate_every, char const* option) : name_{name}, every_{evaluate_every.value_or(0)} {
    if constexpr (task_phase_count<typename Composition::task> > 1) report(bad<misuse::ET21, typename Composition::task>{});
    if (every_ > 0) return;
    [name, option]<class... Tags>(list<Tags...>) {
      (refuse_watched(name, Tags::name, option), ...);
    }(typename Composition::watched_tags{});
  }

  void begin(event::TrainingRunStart const& event, auto& context) {
    evaluates_ = event.has_evaluation && every_ > 0;
    if (!average_) average_.emplace(context.trainer().model());
  }
  /// The model may have other parameters now.
  void follow(auto& context) {
    if (average_) average_->follow(context.trainer().model());
  }
  /// Evaluates the average where it is time; the model has its own weights afterwards, on every way out.
  void evaluate(event::TrainEpochEnd const& event, auto& context) {
    if (!evaluates_ || (event.epoch.value() + 1) % every_ != 0) return;
    auto const averaged = average_->swap();
    context.evaluate(name_);
  }
  WeightAverage<model_type>& average() { return *average_; }
  /// The model takes the average over for good, and an optimizer that keeps weights of its own is told.
  void leave(auto& context) {
    average_->apply();
    auto const trainer = context.trainer();
    if constexpr (requires { trainer.optimizer().weights_replaced(trainer.parameters()); }) {
      trainer.optimizer().weights_replaced(trainer.parameters());
    }
  }

  static void visit_state(auto& self, auto&& visit) {
    if (self.average_) WeightAverage<model_type>::visit_state(*self.average_, visit);
  }

 private:
  static void refuse_watched(std::string_view name, std::string_view tag, char const* option) {
    if (!tag.starts_with(name) || tag.size() == name.size() || tag[name.size()] != '/') return;
    throw ConfigError{"TACIT-RC150", message({"'", tag, "' is watched, but the average is never evaluated"}), option,
                      "evaluate it, or watch another metric"};
  }

  std::string_view name_;
  std::int64_t every_;
  std::optional<WeightAverage<model_type>> average_{};
  bool evaluates_ = false;
};

}  // namespace tacit::inline v0::detail
