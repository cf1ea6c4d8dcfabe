#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "tacit/train/stop_request.hpp"

namespace tacit::inline v0::detail {

/// The few numbers that ranks sum once for each phase of a window: its weight and samples, who skips the update, who asks for what end.
/// A request has a place of its own, so that the sum tells the strongest that any rank has.
class WindowReduction {
 public:
  bool is_open() const noexcept { return is_open_; }
  void open() noexcept { *this = WindowReduction{true}; }
  void close() noexcept { is_open_ = false; }

  /// This rank's share of the window.
  void add_weights(double weight, double samples) noexcept {
    has_weights_ = true;
    numbers_[at_weight] = weight;
    numbers_[at_samples] = samples;
  }
  /// `flagged`: whether this rank holds a skip flag on the device.
  void add_requests(bool skips, bool flagged, StopRequest stop) noexcept {
    has_requests_ = true;
    numbers_[at_skips] = skips ? 1.0 : 0.0;
    numbers_[at_flagged] = flagged ? 1.0 : 0.0;
    if (!stop.is_none()) numbers_[place_of(stop.strength())] = 1.0;
  }

  /// To be summed over the ranks; empty where there is nothing to tell.
  std::span<double> numbers() noexcept {
    return std::span{numbers_}.first(has_requests_ ? numbers_.size() : has_weights_ ? std::size_t{at_skips} : 0);
  }

  // After the sum, of all ranks.
  bool has_weights() const noexcept { return has_weights_; }
  double weight() const noexcept { return numbers_[at_weight]; }
  double samples() const noexcept { return numbers_[at_samples]; }
  bool has_requests() const noexcept { return has_requests_; }
  bool any_skips() const noexcept { return numbers_[at_skips] > 0.0; }
  bool any_skips_or_flags() const noexcept { return any_skips() || numbers_[at_flagged] > 0.0; }
  StopRequest strongest_stop() const noexcept {
    for (int strength = StopRequest::most_strength; strength > 0; --strength) {
      if (numbers_[place_of(strength)] > 0.0) return StopRequest::of_strength(strength);
    }
    return {};
  }

  constexpr WindowReduction() = default;

 private:
  explicit constexpr WindowReduction(bool is_open) : is_open_{is_open} {}

  enum : std::size_t { at_weight, at_samples, at_skips, at_flagged, at_stops };
  static constexpr std::size_t place_of(int strength) noexcept { return at_stops + static_cast<std::size_t>(strength) - 1; }

  std::array<double, at_stops + StopRequest::most_strength> numbers_{};
  bool is_open_ = false;
  bool has_weights_ = false;
  bool has_requests_ = false;
};

}  // namespace tacit::inline v0::detail
