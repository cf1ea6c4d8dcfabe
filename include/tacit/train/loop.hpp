#pragma once

#include <cstddef>
#include <utility>

#include "tacit/core/type_name.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/events/events.hpp"

/// What training does, from the run down to the update. A run knows its data, its counters and its limits; the names that
/// a line calls on it say what they do. The events fired elsewhere are InitEnd (trainer), StopRequested and ParametersChanged (run).
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

/// Forward, loss and backward of phase I and all later ones on one micro-batch.
/// Phases but the last update at once, so that the next one sees what they learnt; the last one's output lives to TrainStepEnd.
template <std::size_t I, class Run>
inline void step_phases(Run& run) {
  [[maybe_unused]] auto const scope = run.gradient_scope();
  auto const output = run.template forward<I>();
  run.template set_output<I>(output);
  notify_phase<I>(run, event::TrainLossComputed{run.epoch_index(), run.step_index(), run.update_index()});
  run.template backward<I>(output);
  run.template track_loss<I>(output);
  if constexpr (I + 1 == Run::phase_count) {
    notify(run, event::TrainStepEnd{run.epoch_index(), run.step_index(), run.update_index()});
  } else {
    if (run.closes_window()) update<I>(run);
    step_phases<I + 1>(run);
  }
}

/// The updates that this window still owes: the last phase's, and every phase's where this rank had no batch to step with.
template <std::size_t I, class Run>
inline void update_remaining(Run& run) {
  if (!run.template is_updated<I>()) update<I>(run);
  if constexpr (I + 1 < Run::phase_count) update_remaining<I + 1>(run);
}
template <class Run>
inline void close_window(Run& run) {
  if (run.window_has_weight()) {
    update_remaining<0>(run);
    run.after_update();
    if (run.evaluates_inside_epoch()) run.evaluate(true);
  } else {
    run.drop_window();
  }
}

/// Fires the event of a step that begins: a handler may leave the batch out.
template <class Event, class Run>
inline void begin_step(Run& run, Event const& event) {
  Flow const wish = fire(run, event);
  if (wish == Flow::skip_batch) {
    run.skip_batch();
  } else {
    run.core().take(wish, &type_name<Event>);
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

/// Phase I and all later ones where this rank has no batch and modules of the model wait for it: a stand-in goes through, with weight 0.
template <std::size_t I, class Run>
inline void accompany(Run& run) {
  [[maybe_unused]] auto const scope = run.gradient_scope();
  run.template backward<I>(run.template forward<I>());
  if constexpr (I + 1 < Run::phase_count) {
    if (run.closes_window()) update<I>(run);
    accompany<I + 1>(run);
  }
}

/// One micro-batch; the last of a window is followed by the update.
template <class Run>
inline void train_step(Run& run) {
  if (run.has_batch()) {
    if constexpr (Run::halves_batches) {
      run.in_parts([&] { compute(run); });
    } else {
      compute(run);
    }
  }
  if constexpr (Run::talks) {
    if (run.is_awaited()) {
      [[maybe_unused]] auto const stand_in = run.stand_in();
      accompany<0>(run);
    }
  }
  run.end_step();
  if (run.window_is_full()) close_window(run);
}

/// All batches once, or until a limit or a wish ends it.
template <class Run>
inline void train_epoch(Run& run) {
  auto const training = run.training_mode();
  guard_phase<stage::TrainEpoch>(
      run, [&] { notify(run, event::TrainEpochStart{run.epoch_index(), run.batches_per_epoch()}); },
      [&] {
        run.begin_epoch();
        while (!run.epoch_is_over() && fetch(run)) train_step(run);
        if (run.window_is_open()) close_window(run);  // data of unknown length ended inside a window
        run.record_loss();
        notify(run, event::TrainEpochEnd{run.epoch_index(), run.epoch_steps(), run.epoch_updates()});
      });
}

/// One batch of an eval set.
template <std::size_t I, class Run>
inline void eval_phases(Run& run) {
  auto const output = run.template forward<I>();
  run.template set_output<I>(output);
  run.template track_loss<I>(output);
  if constexpr (I + 1 == Run::phase_count) {
    notify(run, event::EvalStepEnd{run.step_index()});
  } else {
    eval_phases<I + 1>(run);
  }
}
/// The same for a shadow batch, where this rank has none and steps of the others ask all ranks.
template <std::size_t I, class Run>
inline void accompany_evaluation(Run& run) {
  static_cast<void>(run.template forward<I>());
  if constexpr (I + 1 < Run::phase_count) accompany_evaluation<I + 1>(run);
}
template <class Run>
inline void eval_step(Run& run) {
  if (run.has_batch()) {
    guard_phase<stage::EvalStep>(
        run, [&] { begin_step(run, event::EvalStepStart{run.step_index()}); },
        [&] {
          if (run.has_batch()) eval_phases<0>(run);
        });
  }
  if constexpr (Run::steps_across_ranks) {
    if (run.is_awaited()) {
      [[maybe_unused]] auto const shadow = run.stand_in();
      accompany_evaluation<0>(run);
    }
  }
  run.end_step();
}

/// An eval set once; the models' modes and the caller's counters are as before afterwards.
template <class Run>
inline void eval_epoch(Run& run) {
  auto const evaluation = run.evaluation_mode();
  guard_phase<stage::EvalEpoch>(
      run,
      [&] { notify(run, event::EvalEpochStart{run.epoch_index(), run.is_intermediate(), run.batches_per_epoch(), run.set_name()}); },
      [&] {
        run.begin_epoch();
        while (!run.epoch_is_over() && fetch(run)) eval_step(run);
        run.record_loss();
        notify(run, event::EvalEpochEnd{run.epoch_index(), run.is_intermediate(), run.set_name()});
      });
}

/// A training run: epochs, each with its evaluation, until a limit is reached or somebody stops it.
template <class Run>
inline void train_run(Run& run) {
  guard_phase<stage::TrainingRun>(
      run, [&] { notify(run, event::TrainingRunStart{run.batches_per_epoch(), run.has_evaluation()}); },
      [&] {
        while (run.begins_another_epoch()) {
          guard_phase<stage::TrainingRunEpoch>(
              run, [&] { notify(run, event::TrainingRunEpochStart{run.epoch_index()}); },
              [&] {
                train_epoch(run);
                if (run.evaluates_after_epoch()) run.evaluate(false);
                notify(run, event::TrainingRunEpochEnd{run.epoch_index()});
              });
          run.end_epoch();
        }
        notify(run, event::TrainingRunEnd{run.reason(), run.updates()});
      });
}

/// An evaluation on its own.
template <class Run>
inline void eval_run(Run& run) {
  guard_phase<stage::EvaluationRun>(
      run, [&] { notify(run, event::EvaluationRunStart{}); },
      [&] {
        eval_epoch(run);
        notify(run, event::EvaluationRunEnd{});
      });
}

}  // namespace tacit::inline v0::detail
