#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <utility>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/log_point.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/task/batch.hpp"

/// Windows that are computed more than once: in parts when memory ran out, and by optimizers that ask for the loss again.
/// Such runs keep the batches of the window in work; others keep nothing.
namespace tacit::inline v0::detail {

/// A micro-batch of the window in work. A shadow batch runs because other ranks wait for its modules: nothing of it counts.
template <class Batch>
struct Part {
  Batch batch;
  std::int64_t samples;
  bool is_shadow;
};

/// Reports and refuses what cannot be computed in parts. `is_synchronizing`: steps of this rank wait for other ranks.
template <class Run>
void require_divisible_batches(bool is_synchronizing) {
  if constexpr (Run::phase_count > 1) report(bad<misuse::EC16, typename Run::task_type>{});
  if constexpr (!is_divisible<typename Run::tensor_type, typename Run::batch_type>()) report(bad<misuse::ED06, typename Run::batch_type>{});
  if (is_synchronizing) {
    constexpr bool by_steps = Run::core_type::steps_across_ranks;
    throw ConfigError{"TACIT-RC89",
                      message({"AutoMicroBatch halves batches of one rank and not of another, but ",
                               by_steps ? "steps of the task (across_ranks)" : "modules of the model (SyncBatchNorm)",
                               " wait for all ranks"}),
                      "AutoMicroBatch",
                      by_steps ? "give a smaller per_device_batch_size, or take a step that asks no other rank"
                               : "give a smaller per_device_batch_size, or take a batch norm of each rank's own"};
  }
}

/// The gradients of what the window has computed so far, and no others. Returns: the mean loss.
template <class Run>
auto compute_window_again(Run& run) {
  basic_mean<typename Run::tensor_type> loss;
  run.core().template phase<0>().parameters.clear_gradients();
  for (auto const& part : run.parts()) {
    bool const is_last = &part == &run.parts().back();
    [[maybe_unused]] auto const local = run.local_scope(Run::keeps_gradients_local || !is_last);
    [[maybe_unused]] auto const shadow = run.shadow_scope(part.is_shadow);
    run.set_batch(part.batch, part.samples);
    auto const output = run.template forward<0>();
    if (!part.is_shadow) run.template weigh<0>(output);
    run.template differentiate<0>(output);
    run.template add_loss<0>(loss, output);
  }
  run.clear_batch();
  return loss;
}

/// What an optimizer with a closure calls: the window's mean loss over all ranks; its gradients are made anew.
template <class Run>
typename Run::tensor_type loss_again(Run& run) {
  auto& core = run.core();
  auto const loss = compute_window_again(run);
  run.finish_again();
  LogPoint const now{LogPoint::outside_a_run{}};
  double numbers[2] = {loss.sum(now), loss.weight(now)};
  if constexpr (!Run::is_single) core.distribution().reduce_sum(numbers);
  double const mean = loss.quotient(numbers[0], numbers[1]);
  run.note_closure(mean);
  return Run::traits::scalar_like(mean, core.any_parameter());
}

/// False if memory did not suffice and the step can be tried with fewer rows.
template <class Traits, class Step>
bool fits_in_memory(Step const& step, std::int64_t rows) {
  try {
    step();
    return true;
  } catch (std::exception const& error) {
    if (rows < 2 || !Traits::out_of_memory(error)) throw;
  }
  return false;
}

/// Calls `step` for the batch in work, or for one part of it after the other once memory ran out.
///
/// A step that fails may leave partial gradients: they are cleared, the window is computed again, and the part is halved.
template <class Run, class Step>
void in_parts(Run& run, Step const& step) {
  using tensor_type = typename Run::tensor_type;
  auto& micro_batch = run.micro_batch();
  auto const whole = run.batch();
  std::int64_t const samples = run.samples();
  std::int64_t const rows = common_rows<tensor_type>(whole);
  std::int64_t kept = 0;
  for (std::int64_t first = 0; first < std::max<std::int64_t>(rows, 1);) {
    std::int64_t const most = micro_batch.micro_batch_rows().value_or(std::max<std::int64_t>(rows, 1));
    if (most == 0) throw ConfigError{"TACIT-RC69", "a micro-batch of 0 rows", "micro_batch_rows()", "give 1 or more, or Samples{unset}"};
    std::int64_t const count = std::min(most, rows - first);
    bool const is_whole = count == rows || rows == 0;  // without common rows it cannot be halved
    run.set_batch(is_whole ? whole : rows_from<tensor_type>(whole, first, count),
                  is_whole ? samples : samples * (first + count) / rows - samples * first / rows);
    // The callback may have set the rows after the window began.
    if (!is_whole && run.window().is_plain()) run.window().leave_plain(static_cast<double>(samples));
    auto const before = run.window();
    if (fits_in_memory<typename Run::traits>(step, count)) {
      kept += run.samples();
      first += std::max<std::int64_t>(count, 1);
      run.keep_part();
    } else {
      run.window() = before;
      run.clear_batch();
      if (before.is_plain()) run.window().leave_plain(static_cast<double>(samples));
      micro_batch.halved(Samples{(count + 1) / 2}, run.core().sink(), run.core().progress());
      if constexpr (releases_memory<typename Run::core_type::device_type>) run.core().device().release_memory();
      compute_window_again(run);
    }
  }
  run.clear_batch();
  run.set_samples(kept);
}

}  // namespace tacit::inline v0::detail
