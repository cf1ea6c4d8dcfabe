#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/context.hpp"
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

  /// The average is there afterwards. Called at every event from the first epoch's start, where all ranks have the same
  /// weights, for an adapter may hold some back.
  /// Returns: whether the average begins anew, for the weights are not known to be those that the last run left.
  bool begin(auto& context) {
    if (!run_.is_new(context)) return false;
    model_type& model = context.trainer().model();
    bool const is_loaded = std::exchange(is_loaded_, false);
    if (average_ && !is_loaded && !(left_ && are_left(model))) average_.reset();
    left_.reset();
    if (average_) {
      average_->follow(model);
      return false;
    }
    average_.emplace(model);
    return !is_loaded;
  }
  /// The run is over, and leaves the model as it is now.
  void end(auto& context) noexcept {
    if (run_.is_new(context)) {  // none of the run's events came here
      left_.reset();
      return;
    }
    try {
      left_.emplace();
      for_each_weight(context.trainer().model(), [this](auto const& weight) { left_->push_back(traits::clone(weight)); });
    } catch (std::exception const&) {
      left_.reset();  // no memory for the copy: the average begins anew in the next run
    }
  }
  /// An exception ended the run, on several ranks perhaps at different updates: their averages are not the same then.
  void abort(auto& context) noexcept {
    if (context.world_size() == 1) {
      end(context);
    } else {
      left_.reset();
    }
  }
  /// The model may have other parameters now.
  void follow(auto& context) {
    if (run_.is_now(context)) average_->follow(context.trainer().model());
  }
  /// Evaluates the average where it is time; the model has its own weights afterwards, on every way out.
  void evaluate(event::TrainEpochEnd const& event, auto& context) {
    if (every_ == 0 || !has_evaluations(context) || (event.epoch.value() + 1) % every_ != 0) return;
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

  /// The average came with the weights.
  void state_loaded() noexcept { is_loaded_ = true; }
  static void visit_state(auto& self, auto&& visit) {
    if (self.average_) WeightAverage<model_type>::visit_state(*self.average_, visit);
  }

 private:
  using weights = std::vector<typename Composition::tensor_type>;

  template <class Run, unsigned Parts, std::size_t Phase>
  static constexpr bool has_evaluations(Context<Run, Parts, Phase> const&) {
    return Run::has_evaluation();
  }
  // Buffers do not count: those of rank 0 replace the others' at the end of a run, and all ranks must find the same.
  static void for_each_weight(model_type& model, auto const& visit) {
    auto parameters = model.named_parameters();
    for (auto& item : parameters) visit(item.value());
  }
  bool are_left(model_type& model) const {
    std::size_t count = 0;
    bool same = true;
    for_each_weight(model, [&](auto const& weight) {
      same = same && count < left_->size() && traits::equal(weight, (*left_)[count]);
      ++count;
    });
    return same && count == left_->size();
  }

  static void refuse_watched(std::string_view name, std::string_view tag, char const* option) {
    if (!tag.starts_with(name) || tag.size() == name.size() || tag[name.size()] != '/') return;
    throw ConfigError{"TACIT-RC150", message({"'", tag, "' is watched, but the average is never evaluated"}), option,
                      "evaluate it, or watch another metric"};
  }

  std::string_view name_;
  std::int64_t every_;
  std::optional<WeightAverage<model_type>> average_{};
  std::optional<weights> left_{};  // the weights that the last run left; none within a run
  bool is_loaded_ = false;
  RunWatch run_{};
};

}  // namespace tacit::inline v0::detail
