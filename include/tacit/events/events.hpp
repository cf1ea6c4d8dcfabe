#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/flow.hpp"

/// The specification of events: when each fires, what holds on entry, whether it fires in a nested evaluation.
///
/// Start and end events come in pairs and nest. A handler is `void on(event::X const&, auto& context)`, or returns `Flow`.
/// An event holds plain fields; whatever depends on the composition is asked of the context.
namespace tacit::inline v0 {

/// The stretches of a run that start, end, and may be aborted.
namespace stage {
struct TrainingRun {};
struct TrainingRunEpoch {};
struct TrainEpoch {};
struct DataFetch {};
struct TrainStep {};
struct Update {};
struct EvaluationRun {};
struct EvalEpoch {};
struct EvalStep {};
}  // namespace stage

namespace event {

/// The trainer is built: the model is on its device, every policy is bound. Once per trainer.
struct InitEnd {};

/// `train` checked its arguments and made its loaders; nothing is fetched yet.
struct TrainingRunStart {
  std::int64_t batches_per_epoch;  ///< of this process; -1 where the data do not tell
  bool has_evaluation;
};
/// One round of a train epoch and, where there is an eval set, an evaluation. Training mode is not set yet.
struct TrainingRunEpochStart {
  EpochIndex epoch;
};
/// The model is in training mode.
struct TrainEpochStart {
  EpochIndex epoch;
  std::int64_t batches;  ///< of this process; -1 where the data do not tell
};
/// The next batch is about to be fetched; in training and in evaluation.
struct DataFetchStart {
  MicroBatchIndex step;  ///< within the epoch
};
/// The batch is fetched and on its device, or the data are exhausted.
struct DataFetchEnd {
  MicroBatchIndex step;
  bool exhausted;
};
/// A micro-batch is on the device and about to enter the task; `Flow::skip_batch` leaves it out with weight 0.
struct TrainStepStart {
  EpochIndex epoch;
  MicroBatchIndex step;  ///< within the epoch
  UpdateIndex update;    ///< the update that this micro-batch belongs to
};
/// The task returned its loss; no gradient is computed yet. Fires per phase of the task.
struct TrainLossComputed {
  EpochIndex epoch;
  MicroBatchIndex step;
  UpdateIndex update;
};
/// The gradients of this micro-batch are computed (of the last phase, where the task has several).
struct TrainStepEnd {
  EpochIndex epoch;
  MicroBatchIndex step;
  UpdateIndex update;
};
/// Gradients are whole: summed over the window, reduced over the ranks, unscaled, clipped. Fires per phase of the task.
struct UpdateStart {
  EpochIndex epoch;
  UpdateIndex update;
};
/// The optimizer has stepped and the gradients are dropped. Fires per phase of the task.
struct UpdateEnd {
  EpochIndex epoch;
  UpdateIndex update;
};
/// The train loss of the epoch is recorded.
struct TrainEpochEnd {
  EpochIndex epoch;
  MicroBatches steps;
  Updates updates;
};
/// The model is in evaluation mode and no graph is recorded. Fires in nested evaluations too.
struct EvalEpochStart {
  EpochIndex epoch;
  bool intermediate;      ///< inside a train epoch
  std::int64_t batches;   ///< of this process; -1 where the data do not tell
  std::string_view set;   ///< name of the eval set; empty for the one that has none
};
/// A batch of the eval set is on the device; `Flow::skip_batch` leaves it out. Fires in nested evaluations too.
struct EvalStepStart {
  MicroBatchIndex step;
};
/// The task returned its output for the batch. Fires in nested evaluations too.
struct EvalStepEnd {
  MicroBatchIndex step;
};
/// The eval loss is recorded. Fires in nested evaluations too.
struct EvalEpochEnd {
  EpochIndex epoch;
  bool intermediate;
  std::string_view set;
};
/// Train epoch and evaluation are over and all their metrics are recorded.
struct TrainingRunEpochEnd {
  EpochIndex epoch;
};
/// The run ends, for whatever reason but an exception.
struct TrainingRunEnd {
  StopReason reason;
  Updates updates;
};
/// `evaluate` checked its arguments.
struct EvaluationRunStart {};
/// The metrics of the evaluation are recorded.
struct EvaluationRunEnd {};

/// The ranks agreed to stop: once, right after the update at which the run will end, before the end events.
struct StopRequested {
  StopReason reason;
};
/// `change_parameters` is done: the optimizer knows the new set.
struct ParametersChanged {
  std::size_t count;
};
/// A checkpoint is safely on disk. Emitted by whatever saves, by `context.emit`.
struct CheckpointSaved {
  std::string_view path;
};
/// A checkpoint was loaded. Emitted by whatever loads, by `context.emit`.
struct CheckpointLoaded {
  std::string_view path;
};

/// The phase was left by an exception: to callbacks that saw its start, in the same order.
/// The context has no metrics, no collectives and no `emit`.
template <class Phase>
struct Aborted {
  std::string_view what;  ///< of the exception; empty for one that is no std::exception
};

/// The event `Event` of the task's phase `Name`: converts to `Event`, so a handler of that sees every phase.
template <fixed_string Name, class Event>
struct Of : Event {
  static constexpr std::string_view phase_name = Name.view();
};

/// Every event that the library fires, in the order of a run.
using all = list<InitEnd, TrainingRunStart, TrainingRunEpochStart, TrainEpochStart, DataFetchStart, DataFetchEnd, TrainStepStart,
                 TrainLossComputed, TrainStepEnd, UpdateStart, UpdateEnd, TrainEpochEnd, EvaluationRunStart, EvalEpochStart,
                 EvalStepStart, EvalStepEnd, EvalEpochEnd, EvaluationRunEnd, TrainingRunEpochEnd, StopRequested, ParametersChanged,
                 CheckpointSaved, CheckpointLoaded, TrainingRunEnd, Aborted<stage::TrainingRun>, Aborted<stage::TrainingRunEpoch>,
                 Aborted<stage::TrainEpoch>, Aborted<stage::DataFetch>, Aborted<stage::TrainStep>, Aborted<stage::Update>,
                 Aborted<stage::EvaluationRun>, Aborted<stage::EvalEpoch>, Aborted<stage::EvalStep>>;

/// The events that a callback states to handle: `using events = event::list<event::UpdateEnd>`.
template <class... Events>
using list = tacit::list<Events...>;

}  // namespace event

/// What a context offers besides the counters, history, sink and world; each is a member of the context or does not exist.
namespace part {
enum : unsigned {
  none = 0,
  batch = 1u << 0,        // batch()
  output = 1u << 1,       // output(), loss()
  mask = 1u << 2,         // mask_update()
  gradients = 1u << 3,    // gradient_norm(), update_mask()
  record = 1u << 4,       // record(), reductions over ranks
  latest = 1u << 5,       // latest()
  evaluate = 1u << 6,     // evaluate()
  parameters = 1u << 7,   // change_parameters()
  emit = 1u << 8,         // emit()
};
}  // namespace part

/// The parts of the context that an event's handlers get; a user's event has those of the event that emitted it, without
/// `emit`, `evaluate` and `parameters`.
template <class Event>
inline constexpr unsigned event_parts = part::record | part::latest;
template <>
inline constexpr unsigned event_parts<event::InitEnd> = part::none;
template <>
inline constexpr unsigned event_parts<event::TrainingRunStart> = part::latest | part::record | part::parameters | part::emit;
template <>
inline constexpr unsigned event_parts<event::TrainingRunEpochStart> = part::latest | part::record | part::parameters | part::emit;
template <>
inline constexpr unsigned event_parts<event::TrainEpochStart> =
    part::latest | part::record | part::evaluate | part::parameters | part::emit;
template <>
inline constexpr unsigned event_parts<event::DataFetchStart> = part::latest | part::emit;
template <>
inline constexpr unsigned event_parts<event::DataFetchEnd> = part::latest | part::emit;
template <>
inline constexpr unsigned event_parts<event::TrainStepStart> = part::latest | part::record | part::batch | part::emit;
template <>
inline constexpr unsigned event_parts<event::TrainLossComputed> =
    part::latest | part::record | part::batch | part::output | part::mask | part::emit;
template <>
inline constexpr unsigned event_parts<event::TrainStepEnd> = part::latest | part::record | part::batch | part::output | part::emit;
template <>
inline constexpr unsigned event_parts<event::UpdateStart> = part::latest | part::record | part::gradients | part::mask | part::emit;
template <>
inline constexpr unsigned event_parts<event::UpdateEnd> =
    part::latest | part::record | part::gradients | part::evaluate | part::parameters | part::emit;
template <>
inline constexpr unsigned event_parts<event::TrainEpochEnd> =
    part::latest | part::record | part::evaluate | part::parameters | part::emit;
template <>
inline constexpr unsigned event_parts<event::EvalEpochStart> = part::latest | part::record | part::emit;
template <>
inline constexpr unsigned event_parts<event::EvalStepStart> = part::latest | part::record | part::batch | part::emit;
template <>
inline constexpr unsigned event_parts<event::EvalStepEnd> = part::latest | part::record | part::batch | part::output | part::emit;
template <>
inline constexpr unsigned event_parts<event::EvalEpochEnd> = part::latest | part::record | part::emit;
template <>
inline constexpr unsigned event_parts<event::TrainingRunEpochEnd> =
    part::latest | part::record | part::evaluate | part::parameters | part::emit;
template <>
inline constexpr unsigned event_parts<event::TrainingRunEnd> = part::latest | part::record | part::emit;
template <>
inline constexpr unsigned event_parts<event::EvaluationRunStart> = part::latest | part::record | part::emit;
template <>
inline constexpr unsigned event_parts<event::EvaluationRunEnd> = part::latest | part::record | part::emit;
template <>
inline constexpr unsigned event_parts<event::StopRequested> = part::latest | part::record | part::emit;
template <>
inline constexpr unsigned event_parts<event::ParametersChanged> = part::latest;
template <class Phase>
inline constexpr unsigned event_parts<event::Aborted<Phase>> = part::none;
template <fixed_string Name, class Event>
inline constexpr unsigned event_parts<event::Of<Name, Event>> = event_parts<Event>;

namespace detail {
template <class Event>
inline constexpr bool is_phased_event_v = false;
template <fixed_string Name, class Event>
inline constexpr bool is_phased_event_v<event::Of<Name, Event>> = true;
}  // namespace detail

/// An event of the library's own; only from its context can another be emitted.
template <class Event>
inline constexpr bool is_builtin_event = detail::contains_v<event::all, Event> || detail::is_phased_event_v<Event>;

}  // namespace tacit::inline v0
