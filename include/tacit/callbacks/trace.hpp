#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/pfr/core.hpp>

#include "tacit/callbacks/event_text.hpp"
#include "tacit/core/aggregate.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

namespace detail {

enum class stage_step { none, start, end };

/// Which stage an event starts or ends.
template <class Event>
struct stage_of {
  static constexpr stage_step step = stage_step::none;
  using stage = void;
};
template <class Stage, stage_step Step>
struct stage_event {
  static constexpr stage_step step = Step;
  using stage = Stage;
};
template <fixed_string Phase, class Event>
struct stage_of<event::Of<Phase, Event>> : stage_of<Event> {};
template <class Stage>
struct stage_of<event::Aborted<Stage>> : stage_event<Stage, stage_step::end> {};
template <>
struct stage_of<event::TrainingRunStart> : stage_event<stage::TrainingRun, stage_step::start> {};
template <>
struct stage_of<event::TrainingRunEnd> : stage_event<stage::TrainingRun, stage_step::end> {};
template <>
struct stage_of<event::TrainingRunEpochStart> : stage_event<stage::TrainingRunEpoch, stage_step::start> {};
template <>
struct stage_of<event::TrainingRunEpochEnd> : stage_event<stage::TrainingRunEpoch, stage_step::end> {};
template <>
struct stage_of<event::TrainEpochStart> : stage_event<stage::TrainEpoch, stage_step::start> {};
template <>
struct stage_of<event::TrainEpochEnd> : stage_event<stage::TrainEpoch, stage_step::end> {};
template <>
struct stage_of<event::DataFetchStart> : stage_event<stage::DataFetch, stage_step::start> {};
template <>
struct stage_of<event::DataFetchEnd> : stage_event<stage::DataFetch, stage_step::end> {};
template <>
struct stage_of<event::TrainStepStart> : stage_event<stage::TrainStep, stage_step::start> {};
template <>
struct stage_of<event::TrainStepEnd> : stage_event<stage::TrainStep, stage_step::end> {};
template <>
struct stage_of<event::UpdateStart> : stage_event<stage::Update, stage_step::start> {};
template <>
struct stage_of<event::UpdateEnd> : stage_event<stage::Update, stage_step::end> {};
template <>
struct stage_of<event::EvaluationRunStart> : stage_event<stage::EvaluationRun, stage_step::start> {};
template <>
struct stage_of<event::EvaluationRunEnd> : stage_event<stage::EvaluationRun, stage_step::end> {};
template <>
struct stage_of<event::EvalEpochStart> : stage_event<stage::EvalEpoch, stage_step::start> {};
template <>
struct stage_of<event::EvalEpochEnd> : stage_event<stage::EvalEpoch, stage_step::end> {};
template <>
struct stage_of<event::EvalStepStart> : stage_event<stage::EvalStep, stage_step::start> {};
template <>
struct stage_of<event::EvalStepEnd> : stage_event<stage::EvalStep, stage_step::end> {};

/// The fields of an event as text: " epoch=0 step=3". Of a user's event it is their values alone, and nothing where the
/// event has a base class.
class FieldText {
 public:
  template <class Event>
  static std::string of(Event const& event) {
    FieldText text;
    if constexpr (is_builtin_event<Event>) {
      text.add_named(event);
    } else if constexpr (std::is_aggregate_v<Event> && !has_base<Event>) {
      boost::pfr::for_each_field(event, [&text](auto const& field) { text.add({}, field); });
    }
    return text.text_;
  }

 private:
  template <class Event>
  void add_named(Event const& event) {
    if constexpr (requires { event.epoch; }) add("epoch", event.epoch);
    if constexpr (requires { event.step; }) add("step", event.step);
    if constexpr (requires { event.update; }) add("update", event.update);
    if constexpr (requires { event.batches_per_epoch; }) add("batches_per_epoch", event.batches_per_epoch);
    if constexpr (requires { event.has_evaluation; }) add("has_evaluation", event.has_evaluation);
    if constexpr (requires { event.exhausted; }) add("exhausted", event.exhausted);
    if constexpr (requires { event.steps; }) add("steps", event.steps);
    if constexpr (requires { event.updates; }) add("updates", event.updates);
    if constexpr (requires { event.intermediate; }) add("intermediate", event.intermediate);
    if constexpr (requires { event.batches; }) add("batches", event.batches);
    if constexpr (requires { event.set; }) add("set", event.set);
    if constexpr (requires { event.reason; }) add("reason", event.reason);
    if constexpr (requires { event.count; }) add("count", event.count);
    if constexpr (requires { event.path; }) add("path", event.path);
    if constexpr (requires { event.what; }) add("what", event.what);
  }

  template <class Field>
  void add(std::string_view name, Field const& field) {
    text_.append(" ").append(name).append(name.empty() ? "" : "=").append(shown(field));
  }
  template <class Field>
  static std::string shown(Field const& field) {
    if constexpr (std::is_same_v<Field, bool>) {
      return field ? "true" : "false";
    } else if constexpr (std::is_integral_v<Field>) {
      return std::to_string(field);
    } else if constexpr (std::is_floating_point_v<Field>) {
      return report::shortest_text(static_cast<double>(field));
    } else if constexpr (requires { std::string_view{field}; }) {
      return "\"" + std::string{std::string_view{field}} + "\"";
    } else if constexpr (requires { std::string_view{to_string(field)}; }) {
      return "\"" + std::string{std::string_view{to_string(field)}} + "\"";
    } else if constexpr (requires { { field.value() } -> std::same_as<std::int64_t>; }) {
      return std::to_string(field.value());
    } else {
      return "?";
    }
  }

  std::string text_{};
};

}  // namespace detail

/// Writes every event and its fields on a line of its own, what lies between a start and its end indented.
///
/// Each rank writes, with its number in front where there are several. Fields of a user's event are written if it is an aggregate.
struct Trace {
  using events = event::all;

  std::optional<Sink> sink{};  ///< the run's where not given

  template <class Composition>
  class bound;

  static void visit_config(auto&, auto&&) {}
};

template <class Composition>
class Trace::bound {
 public:
  using events = Trace::events;

  explicit bound(Trace const& config) : config_{config} {}

  template <class Event, class Context>
  void on(Event const& event, Context& context) {
    using stage = typename detail::stage_of<Event>::stage;
    constexpr detail::stage_step step = detail::stage_of<Event>::step;
    if (run_.is_new(context)) open_.clear();  // an adapter may have held end events back
    if constexpr (is_builtin_event<Event>) close_skipped<Event>();
    if constexpr (step == detail::stage_step::end) close(number_of<stage>());
    std::string line;
    if (context.world_size() > 1) line.append(std::to_string(context.rank())).append(": ");
    line.append(2 * open_.size(), ' ').append(detail::event_text<Event>::name);
    if constexpr (!detail::event_text<Event>::phase.empty()) line.append(" of ").append(detail::event_text<Event>::phase);
    line.append(detail::FieldText::of(event));
    if (std::same_as<Event, event::InitEnd> && !config_.sink) {
      early_ = line;  // there is no run yet, and so no sink of one
      return;
    }
    Sink const& into = config_.sink ? *config_.sink : context.sink();
    if (!early_.empty()) report::write_line(into, std::exchange(early_, {}));
    report::write_line(into, line);
    if constexpr (step == detail::stage_step::start) open_.push_back(number_of<stage>());
  }

  /// Every run begins with nothing open.
  static void visit_config(auto&, auto&&) {}

 private:
  using stages = list<stage::TrainingRun, stage::TrainingRunEpoch, stage::TrainEpoch, stage::DataFetch, stage::TrainStep, stage::Update,
                      stage::EvaluationRun, stage::EvalEpoch, stage::EvalStep>;
  template <class Stage>
  static constexpr std::size_t number_of() {
    return []<class... S>(list<S...>) { return detail::index_of<Stage, S...>(); }(stages{});
  }

  /// Ends a stage and whatever was still open in it.
  void close(std::size_t stage) {
    std::size_t at = open_.size();
    while (at > 0 && open_[at - 1] != stage) --at;
    if (at > 0) open_.resize(at - 1);
  }

  /// A skipped batch has no end event; the events that can follow it tell.
  template <class Event>
  void close_skipped() {
    constexpr bool outside_of_steps = detail::contains_v<list<event::DataFetchStart, event::UpdateStart>, Event>;
    constexpr bool inside_of_steps =
        std::same_as<Event, event::TrainLossComputed> || (detail::is_phased_event_v<Event> && detail::stage_of<Event>::step == detail::stage_step::none);
    if constexpr (inside_of_steps) has_loss_ = true;
    if constexpr (std::same_as<Event, event::TrainStepStart>) has_loss_ = false;
    if constexpr (outside_of_steps || std::same_as<typename detail::stage_of<Event>::stage, stage::Update>) {
      bool const in_step = !open_.empty() && (open_.back() == number_of<stage::TrainStep>() || open_.back() == number_of<stage::EvalStep>());
      if (in_step && (std::same_as<Event, event::DataFetchStart> || !has_loss_)) open_.pop_back();
    }
  }

  Trace config_;
  detail::RunWatch run_{};
  std::vector<std::size_t> open_{};
  bool has_loss_ = false;
  std::string early_{};
};

}  // namespace tacit::inline v0
