#pragma once

#include <string_view>

#include "tacit/core/units.hpp"

namespace tacit::inline v0::data {

namespace unit {
struct worker {
  static constexpr std::string_view name = "workers";
};
struct batch {
  static constexpr std::string_view name = "batches";
};
}  // namespace unit

using Workers = Count<unit::worker>;
using Batches = Count<unit::batch>;

}  // namespace tacit::inline v0::data
