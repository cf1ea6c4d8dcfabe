#pragma once

#include <string>

#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/progress.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

/// Ends train epochs and evaluations after so many batches: a run through everything in a minute.
///
/// The limits are known before the run is planned, so that its lengths, and whatever follows from them, are those of the
/// shorter run; the last window closes early and counts as what it is. Throws: ConfigError when the trainer is made, for 0 batches.
/// Example: `LimitBatches{.train = 2, .eval = 1}`
struct LimitBatches {
  using events = event::list<event::TrainingRunStart, event::EvaluationRunStart>;

  MicroBatches train = unset;  ///< of one process
  MicroBatches eval = unset;   ///< of one process and eval set

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) {
    visit("train", self.train);
    visit("eval", self.eval);
  }
};

template <class Composition>
class LimitBatches::bound {
 public:
  using events = LimitBatches::events;

  explicit bound(LimitBatches const& config) : config_{config} {
    refuse_none(config_.train, "LimitBatches::train");
    refuse_none(config_.eval, "LimitBatches::eval");
  }

  BatchLimits batch_limits() const { return {config_.train, config_.eval}; }

  // A run that is cut short without a word would be taken for a whole one.
  void on(event::TrainingRunStart const& event, auto& context) {
    std::string text = part(config_.train, "training", "");
    if (event.has_evaluation) text += part(config_.eval, "evaluation", text);
    tell(text, context);
  }
  void on(event::EvaluationRunStart const&, auto& context) { tell(part(config_.eval, "evaluation", ""), context); }

  static void visit_config(auto& self, auto&& visit) { LimitBatches::visit_config(self.config_, visit); }

 private:
  static void refuse_none(MicroBatches limit, char const* where) {
    if (limit.value() == 0) throw ConfigError{"TACIT-RC82", "a limit of 0 batches leaves nothing to do", where, "give 1 or more, or leave it out"};
  }
  static std::string part(MicroBatches limit, char const* what, std::string const& before) {
    if (!limit.is_set()) return {};
    return (before.empty() ? "" : " and ") + std::string{what} + " to " + report::count_text(limit.value(), "batch");
  }
  template <class Context>
  static void tell(std::string const& what, Context& context) {
    if (what.empty() || !context.is_main_process()) return;
    report::write_line(context.sink(), "[tacit] LimitBatches: limits " + what + " an epoch");
  }

  LimitBatches config_;
};

}  // namespace tacit::inline v0
