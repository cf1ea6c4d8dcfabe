#pragma once

#include <cstdint>
#include <string>

#include "tacit/core/error.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/progress.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

/// Halves the micro-batch when memory runs out, as often as it takes, with the same gradient.
///
/// What the window had computed is computed again, therefore layers with running statistics see those rows twice, and dropout draws
/// anew. From then on every batch is computed in parts of at most that many rows, each with its own TrainStepStart, TrainLossComputed
/// and TrainStepEnd; counters, limits and the schedule go on in whole batches. The step that failed is told as Aborted<stage::TrainStep>.
/// Requires: a task of one phase, batches that are tensors, structs or tuples of tensors with equal rows (or have
/// `rows(first, count)`), and a step whose loss is a mean over the rows or over the `weight` that it returns.
/// Throws: what the memory's allocator threw, once a single row does not fit.
/// Cost: the batches of a window are kept until its update.
struct AutoMicroBatch {
  using events = event::list<event::TrainingRunStart>;

  Samples rows = unset;  ///< at most, from the start on; where not given, whole batches until memory runs out

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) { visit("rows", self.rows); }
};

template <class Composition>
class AutoMicroBatch::bound {
 public:
  using events = AutoMicroBatch::events;

  explicit bound(AutoMicroBatch const& config) : config_{config}, rows_{config.rows} {
    if (rows_.value() == 0) throw ConfigError{"TACIT-RC69", "a micro-batch of 0 rows", "AutoMicroBatch::rows", "give 1 or more, or leave it out"};
  }

  /// The most rows that are computed at once; unset: whole batches.
  Samples micro_batch_rows() const noexcept { return rows_; }
  /// Memory ran out: from now on so many rows at most.
  void halved(Samples most, Sink const& sink, Progress const& progress) {
    rows_ = most;
    report::write_line(sink, "[tacit] AutoMicroBatch: out of memory in epoch " + std::to_string(progress.epoch.value()) + ", step " +
                                 std::to_string(progress.step.value()) + "; parts of at most " + report::count_text(most.value(), "row") + " from here on");
  }

  void on(event::TrainingRunStart const&, auto& context) {
    if (!rows_.is_set() || !context.is_main_process()) return;
    report::write_line(context.sink(), "[tacit] AutoMicroBatch: parts of at most " + report::count_text(rows_.value(), "row"));
  }

  static void visit_config(auto& self, auto&& visit) { AutoMicroBatch::visit_config(self.config_, visit); }
  static void visit_state(auto& self, auto&& visit) { visit("rows", self.rows_); }

 private:
  AutoMicroBatch config_;
  Samples rows_;
};

}  // namespace tacit::inline v0
