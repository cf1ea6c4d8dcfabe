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
struct pixel {
  static constexpr std::string_view name = "pixels";
};
struct target_class {
  static constexpr std::string_view name = "classes";
};
}  // namespace unit

using Workers = Count<unit::worker>;
using Batches = Count<unit::batch>;
using Pixels = Count<unit::pixel>;
using Classes = Count<unit::target_class>;

}  // namespace tacit::inline v0::data
