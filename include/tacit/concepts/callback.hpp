#pragma once

#include <concepts>

#include "tacit/core/member_names.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/units.hpp"

namespace tacit::inline v0 {

struct BatchLimits;
struct Progress;

/// A bound callback that keeps the size of micro-batches, as AutoMicroBatch does. `micro_batch_rows()`: the most rows that
/// are computed at once, unset for whole batches. `halved(most, sink, progress)`: memory ran out, from now on so many rows.
template <class Bound>
concept sizes_micro_batches = requires(Bound& bound, Bound const& fixed, Samples most, Sink const& sink, Progress const& progress) {
  { fixed.micro_batch_rows() } -> std::same_as<Samples>;
  bound.halved(most, sink, progress);
};

/// A bound callback that limits the batches of an epoch, as LimitBatches does: `batch_limits()` is asked before a run is planned.
template <class Bound>
concept limits_batches = requires(Bound const& fixed) {
  { fixed.batch_limits() } -> std::same_as<BatchLimits>;
};

namespace detail {

/// The first group of optional members that a bound callback names and does not have whole.
template <class Bound>
consteval misuse half_in_callback() {
  if constexpr (!can_be_probed<Bound>) {
    return misuse::none;
  } else {
    using probe = named_twice<Bound>;
    if constexpr (!requires { &probe::micro_batch_rows; &probe::halved; }) {
      if (!sizes_micro_batches<Bound>) return misuse::EC28;
    }
    if constexpr (!requires { &probe::batch_limits; }) {
      if (!limits_batches<Bound>) return misuse::EC29;
    }
    return misuse::none;
  }
}

}  // namespace detail
}  // namespace tacit::inline v0
