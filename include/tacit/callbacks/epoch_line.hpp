#pragma once

#include <concepts>
#include <cstdint>
#include <string>

#include "tacit/core/list.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/events/progress.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0::detail {

template <class Callback, class... C>
consteval bool stands_in(list<C...>) {
  return (std::same_as<Callback, innermost_t<C>> || ...);
}

/// An epoch is one line: of LogMetrics where it stands in the pack, else of ProgressBar, else of PrintProgress.
template <class Composition, class... Before>
inline constexpr bool writes_epoch_line = !(stands_in<Before>(typename Composition::callbacks{}) || ...);

/// "epoch 3/8", or "epoch 3" where the number of epochs is not known.
inline std::string epoch_title(RunPlan const& plan, EpochIndex epoch) {
  std::string const number = std::to_string(epoch.value() + 1);
  if (!plan.epochs.is_set()) return "epoch " + number;
  std::string const of = std::to_string(plan.epochs.value());
  return "epoch " + report::right_text(number, of.size()) + "/" + of;
}

}  // namespace tacit::inline v0::detail
