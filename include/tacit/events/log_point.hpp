#pragma once

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// The right to wait for the device: reading a device scalar on the host needs one, and only the loop makes them.
class LogPoint {
 public:
  LogPoint(LogPoint const&) = delete;
  LogPoint& operator=(LogPoint const&) = delete;

  /// The log point of a caller that owns the whole step: a hand-written loop, or code after a run.
  struct outside_a_run {};
  explicit LogPoint(outside_a_run) noexcept {}
};

}  // namespace tacit::inline v0
