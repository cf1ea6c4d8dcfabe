#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "tacit/events/flow.hpp"

namespace tacit::inline v0::detail {

/// What the ranks tell each other once a window, in one sum of a few numbers: its weight and samples, and who masks the update and
/// wishes what. A wish has a place of its own, so that a sum tells the largest that any rank has.
class Meeting {
 public:
  bool is_on() const noexcept { return is_on_; }
  void open() noexcept { *this = Meeting{true}; }
  void close() noexcept { is_on_ = false; }

  /// This rank's share of the window.
  void tell(double weight, double samples) noexcept {
    has_weights_ = true;
    numbers_[at_weight] = weight;
    numbers_[at_samples] = samples;
  }
  /// `flagged`: it holds a mask on the device. `wish`: 0 none, else as the core has it.
  void vote(bool masked, bool flagged, int wish) noexcept {
    has_votes_ = true;
    numbers_[at_masked] = masked ? 1.0 : 0.0;
    numbers_[at_flagged] = flagged ? 1.0 : 0.0;
    if (wish > 0) numbers_[at_wishes + static_cast<std::size_t>(wish) - 1] = 1.0;
  }

  /// What has to be summed over the ranks; empty where there is nothing to tell.
  std::span<double> numbers() noexcept { return std::span{numbers_}.first(has_votes_ ? numbers_.size() : has_weights_ ? std::size_t{at_masked} : 0); }

  // After the sum: what is true of all ranks.
  bool has_weights() const noexcept { return has_weights_; }
  double weight() const noexcept { return numbers_[at_weight]; }
  double samples() const noexcept { return numbers_[at_samples]; }
  bool has_votes() const noexcept { return has_votes_; }
  bool any_masks() const noexcept { return numbers_[at_masked] > 0.0; }
  bool any_mask_or_flag() const noexcept { return any_masks() || numbers_[at_flagged] > 0.0; }
  int largest_wish() const noexcept {
    int largest = 0;
    for (int wish = 1; wish <= most_wish; ++wish) {
      if (numbers_[at_wishes + static_cast<std::size_t>(wish) - 1] > 0.0) largest = wish;
    }
    return largest;
  }

  constexpr Meeting() = default;

 private:
  explicit constexpr Meeting(bool is_on) : is_on_{is_on} {}

  static constexpr int most_wish = 2 + static_cast<int>(StopReason::non_finite);
  enum : std::size_t { at_weight, at_samples, at_masked, at_flagged, at_wishes };

  std::array<double, at_wishes + most_wish> numbers_{};
  bool is_on_ = false;
  bool has_weights_ = false;
  bool has_votes_ = false;
};

}  // namespace tacit::inline v0::detail
