#pragma once

#include <string_view>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// What a handler may ask of the loop; the strongest wish of all callbacks counts, and every callback still sees the event.
enum class Flow {
  proceed,     ///< go on
  skip_batch,  ///< leave this batch out; from `TrainStepStart` and `EvalStepStart` only
  end_epoch,   ///< the epoch ends after the current update, with its end events
  stop_run     ///< the run ends after the current update, with all end events
};

/// Why a run ended.
enum class StopReason { completed, limit, requested, callback, non_finite };

constexpr std::string_view to_string(StopReason reason) noexcept {
  switch (reason) {
    case StopReason::completed: return "completed";
    case StopReason::limit: return "limit reached";
    case StopReason::requested: return "stop requested";
    case StopReason::callback: return "stopped by a callback";
    case StopReason::non_finite: return "loss is not finite";
  }
  return "unknown";
}

}  // namespace tacit::inline v0
