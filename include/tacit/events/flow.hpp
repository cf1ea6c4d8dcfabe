#pragma once

#include <string_view>

#include "tacit/core/units.hpp"

namespace tacit::inline v0 {

/// What a handler may ask of the loop; the strongest request of all callbacks counts, and every callback still sees the event.
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
constexpr std::string_view to_string(Flow flow) noexcept {
  switch (flow) {
    case Flow::proceed: return "proceed";
    case Flow::skip_batch: return "skip batch";
    case Flow::end_epoch: return "end epoch";
    case Flow::stop_run: return "stop run";
  }
  return "unknown";
}
template <detail::output_stream Stream>
Stream& operator<<(Stream& out, StopReason reason) {
  out << to_string(reason);
  return out;
}
template <detail::output_stream Stream>
Stream& operator<<(Stream& out, Flow flow) {
  out << to_string(flow);
  return out;
}

}  // namespace tacit::inline v0
