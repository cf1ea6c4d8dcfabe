#pragma once

#include <cstddef>

#include "tacit/events/dispatch.hpp"
#include "tacit/events/events.hpp"
#include "tacit/train/loop.hpp"

/// What an evaluation does, from the run down to the batch.
namespace tacit::inline v0::detail {

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
inline void eval_shadow(Run& run) {
  static_cast<void>(run.template forward<I>());
  if constexpr (I + 1 < Run::phase_count) eval_shadow<I + 1>(run);
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
      [[maybe_unused]] auto const shadow = run.shadow_batch();
      eval_shadow<0>(run);
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

/// An evaluation on its own.
template <class Run>
inline void eval_run(Run& run) {
  guard_phase<stage::EvaluationRun>(
      run, [&] { notify(run, event::EvaluationRunStart{}); },
      [&] {
        run.share_models();
        eval_epoch(run);
        notify(run, event::EvaluationRunEnd{});
      });
}

}  // namespace tacit::inline v0::detail
