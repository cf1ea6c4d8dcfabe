#pragma once

#include <atomic>
#include <compare>

#include "tacit/events/flow.hpp"

namespace tacit::inline v0::detail {

/// What a run is asked to end: nothing, its epoch, or all of it for a reason. Compares by strength.
class StopRequest {
 public:
  constexpr StopRequest() = default;
  static constexpr StopRequest end_epoch() noexcept { return StopRequest{1}; }
  static constexpr StopRequest end_run(StopReason reason) noexcept { return StopRequest{2 + static_cast<int>(reason)}; }
  /// The inverse of `strength`, which is what ranks send each other.
  static constexpr StopRequest of_strength(int strength) noexcept { return StopRequest{strength}; }

  constexpr bool is_none() const noexcept { return strength_ == 0; }
  constexpr bool ends_epoch() const noexcept { return strength_ == 1; }
  constexpr bool ends_run() const noexcept { return strength_ >= 2; }
  /// Requires: ends_run().
  constexpr StopReason reason() const noexcept { return static_cast<StopReason>(strength_ - 2); }
  constexpr int strength() const noexcept { return strength_; }
  static constexpr int most_strength = 2 + static_cast<int>(StopReason::non_finite);

  friend constexpr auto operator<=>(StopRequest, StopRequest) = default;

 private:
  explicit constexpr StopRequest(int strength) : strength_{strength} {}
  int strength_ = 0;
};

/// The request that waits for the loop. Any thread and any signal handler may make one.
class PendingStop {
 public:
  /// A stronger request replaces a weaker one, but of two that end the run the first stays.
  void ask(StopRequest request) noexcept {
    int seen = strength_.load(std::memory_order_relaxed);
    while (!StopRequest::of_strength(seen).ends_run() && seen < request.strength() &&
           !strength_.compare_exchange_weak(seen, request.strength(), std::memory_order_relaxed)) {
    }
  }
  StopRequest get() const noexcept { return StopRequest::of_strength(strength_.load(std::memory_order_relaxed)); }
  /// The loop has done what was asked; a stronger request that came meanwhile stays.
  void done(StopRequest request) noexcept {
    int seen = request.strength();
    strength_.compare_exchange_strong(seen, 0, std::memory_order_relaxed);
  }
  void reset() noexcept { strength_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<int> strength_{0};
};

}  // namespace tacit::inline v0::detail
