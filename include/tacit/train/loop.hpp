#pragma once

#include <cstddef>
#include <utility>

#include "tacit/core/type_name.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/events/events.hpp"

/// What training does, from the run down to the update. A run knows its data, its counters and its limits; the names that
/// a line calls on it say what they do. An evaluation stands in `eval_loop.hpp`.
/// The events fired elsewhere are InitEnd (trainer), StopRequested and ParametersChanged (run).
namespace tacit::inline v0::detail {

/// Fires an event where only `end_epoch` and `stop_run` have a meaning.
template <class Event, class Run>
inline void notify(Run& run, Event const& event) {
  run.core().take(fire(run, event), &type_name<Event>);
}

/// Fires an event of the task's phase I: under the phase's name where the task has several.
template <std::size_t I, class Event, class Run>
inline void notify_phase(Run& run, Event const& event) {
  if constexpr (Run::phase_count > 1) {
    using named = event::Of<Run::template phase_name<I>, Event>;
    run.core().take(fire_with<event_parts<Event>, I>(run, named{event}), &type_name<named>);
  } else {
    run.core().take(fire_with<event_parts<Event>, 0>(run, event), &type_name<Event>);
  }
}

/// Brings the next batch to the device; false when the data of this epoch are exhausted.
template <class Run>
inline bool fetch(Run& run) {
  bool more = false;
  guard_phase<stage::DataFetch>(
      run, [&] { notify(run, event::DataFetchStart{run.step_index()}); },
      [&] {
        more = run.next_batch();
        notify(run, event::DataFetchEnd{run.step_index(), !more});
      });
  return more;
}

/// One update of phase I: gradients are made whole, then the optimizer steps.
template <std::size_t I, class Run>
inline void update(Run& run) {
  guard_phase<stage::Update>(
      run,
      [&] {
        run.template finish_gradients<I>();  // mean over the window and the ranks, unscaled, clipped
        notify_phase<I>(run, event::UpdateStart{run.epoch_index(), run.update_index()});
      },
      [&] {
        event::UpdateEnd const end{run.epoch_index(), run.update_index()};
        run.template apply_update<I>();
        notify_phase<I>(run, end);
      });
}

/// Closes the window of phase I: an update, unless every batch was left out on every rank.
template <std::size_t I, class Run>
inline void close_phase(Run& run) {
  if (run.template reduce_window<I>()) {
    update<I>(run);
  } else {
    run.template drop_update<I>();
  }
}
/// The phases that are still to be closed: the last one, and every one where this rank had no batch to step with.
template <std::size_t I, class Run>
inline void close_phases(Run& run) {
  if (!run.is_closed(I)) close_phase<I>(run);
  if constexpr (I + 1 < Run::phase_count) close_phases<I + 1>(run);
}
template <class Run>
inline void close_window(Run& run) {
  close_phases<0>(run);
  bool const is_updated = run.end_window();
  if (is_updated && run.evaluates_inside_epoch()) run.evaluate(true);
}

/// Forward, loss and backward of phase I and all later ones on one micro-batch.
/// Phases but the last update at once, so that the next one sees what they learnt; the last one's output lives to TrainStepEnd.
// g++ would inline a step with some packs of callbacks and not with others: then one that never fires costs calls.
template <std::size_t I, class Run>
[[gnu::always_inline]] inline void step_phases(Run& run) {
  [[maybe_unused]] auto const scope = run.gradient_scope();
  auto const output = run.template forward<I>();
  run.template set_output<I>(output);
  notify_phase<I>(run, event::TrainLossComputed{run.epoch_index(), run.step_index(), run.update_index()});
  run.template backward<I>(output);
  run.template track_loss<I>(output);
  if constexpr (I + 1 == Run::phase_count) {
    notify(run, event::TrainStepEnd{run.epoch_index(), run.step_index(), run.update_index()});
  } else {
    if (run.closes_window()) close_phase<I>(run);
    step_phases<I + 1>(run);
  }
}

/// Fires the event of a step that begins: a handler may leave the batch out.
template <class Event, class Run>
inline void begin_step(Run& run, Event const& event) {
  Flow const flow = fire(run, event);
  if (flow == Flow::skip_batch) {
    run.skip_batch();
  } else {
    run.core().take(flow, &type_name<Event>);
  }
}

/// The gradient of the batch in work, unless a handler leaves it out.
template <class Run>
inline void compute(Run& run) {
  guard_phase<stage::TrainStep>(
      run, [&] { begin_step(run, event::TrainStepStart{run.epoch_index(), run.step_index(), run.update_index()}); },
      [&] {
        if (run.has_batch()) step_phases<0>(run);
      });
}

/// Phase I and all later ones on a shadow batch: modules of the model wait for this rank, which has no batch. Nothing of it counts.
template <std::size_t I, class Run>
inline void step_shadow(Run& run) {
  [[maybe_unused]] auto const scope = run.gradient_scope();
  run.template backward<I>(run.template forward<I>());
  if constexpr (I + 1 < Run::phase_count) {
    if (run.closes_window()) close_phase<I>(run);
    step_shadow<I + 1>(run);
  }
}

/// One micro-batch; the last of a window is followed by the update.
template <class Run>
[[gnu::always_inline]] inline void train_step(Run& run) {
  if (run.has_batch()) {
    if constexpr (Run::halves_batches) {
      in_parts(run, [&] { compute(run); });
    } else {
      compute(run);
    }
  }
  if constexpr (Run::has_shadow_batches) {
    if (run.is_awaited()) {
      [[maybe_unused]] auto const shadow = run.shadow_batch();
      step_shadow<0>(run);
    }
  }
  run.end_step();
  if (run.window_is_full()) close_window(run);
}

/// Fires the start event of a stage that ends in another function; what a handler throws there, those told before it are told too.
template <class Stage, class Run, class Event>
inline void open_stage(Run& run, Event const& start) {
  start_phase<Stage>(run, [&] { notify(run, start); });
  run.open_stage();
}
/// Tells that the stages which are open end by an exception, the innermost first. Requires: called from its handler.
template <class Run>
inline void abort_stages(Run& run) {
  constexpr std::size_t all = Run::order.at.size();
  int const open = run.open_stages();
  if (open > 2) fire_aborted<stage::TrainEpoch>(run, all);
  run.leave_training_mode();
  if (open > 1) fire_aborted<stage::TrainingRunEpoch>(run, all);
  if (open > 0) fire_aborted<stage::TrainingRun>(run, all);
}

template <class Run>
inline void open_run(Run& run) {
  run.share_models();  // handlers of the run's start may copy the model
  open_stage<stage::TrainingRun>(run, event::TrainingRunStart{run.batches_per_epoch(), run.has_evaluation()});
  run.begin_updates();
}
template <class Run>
inline void open_epoch(Run& run) {
  open_stage<stage::TrainingRunEpoch>(run, event::TrainingRunEpochStart{run.epoch_index()});
  run.enter_training_mode();
  open_stage<stage::TrainEpoch>(run, event::TrainEpochStart{run.epoch_index(), run.batches_per_epoch()});
  run.begin_epoch();
}
template <class Run>
inline void close_epoch(Run& run) {
  if (run.window_is_open()) close_window(run);  // data of unknown length ended inside a window
  run.record_loss();
  notify(run, event::TrainEpochEnd{run.epoch_index(), run.epoch_steps(), run.epoch_updates()});
  run.close_stage();
  run.leave_training_mode();
  if (run.evaluates_after_epoch()) run.evaluate(false);
  notify(run, event::TrainingRunEpochEnd{run.epoch_index()});
  run.close_stage();
  run.end_epoch();
}
template <class Run>
inline void close_run(Run& run) {
  run.end_updates();
  notify(run, event::TrainingRunEnd{run.reason(), run.updates()});
  run.close_stage();
}

/// A training run: epochs, each with its evaluation, until a limit is reached or somebody stops it.
template <class Run>
inline void train_run(Run& run) {
  try {
    open_run(run);
    while (run.begins_another_epoch()) {
      open_epoch(run);
      while (!run.epoch_is_over() && fetch(run)) train_step(run);
      close_epoch(run);
      run.require_progress();
    }
    close_run(run);
  } catch (...) {
    abort_stages(run);
    throw;
  }
}

}  // namespace tacit::inline v0::detail
