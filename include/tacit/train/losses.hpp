#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#include "tacit/metric/mean.hpp"
#include "tacit/train/update_skip.hpp"

namespace tacit::inline v0::detail {

/// The mean loss of each phase in an epoch.
///
/// `Waits`: a handler may skip an update. Then the losses of a window wait for it, and those of a skipped one are in no mean.
template <class Tensor, std::size_t Phases, bool Waits>
class EpochLosses {
 public:
  using mean_type = basic_mean<Tensor>;

  void begin_epoch() {
    for (auto& loss : of_epoch_) loss.reset();
  }
  void begin_window() {
    if constexpr (Waits) {
      for (auto& loss : of_window_) loss.reset();
    }
  }
  /// Where the step's loss is to be added.
  mean_type& open(std::size_t phase) noexcept {
    if constexpr (Waits) {
      return of_window_[phase];
    } else {
      return of_epoch_[phase];
    }
  }
  /// The update of the phase comes. A loss scale that skips it leaves its loss in the mean.
  void keep([[maybe_unused]] std::size_t phase, [[maybe_unused]] UpdateSkip<Tensor>& skip) {
    if constexpr (Waits) {
      if (!skip.by_host()) of_epoch_[phase].add(of_window_[phase], skip.flag(nullptr));
      of_window_[phase].reset();
    }
  }
  mean_type const& operator[](std::size_t phase) const noexcept { return of_epoch_[phase]; }

 private:
  struct nothing {};
  std::array<mean_type, Phases> of_epoch_{};
  [[no_unique_address]] std::conditional_t<Waits, std::array<mean_type, Phases>, nothing> of_window_{};
};

}  // namespace tacit::inline v0::detail
