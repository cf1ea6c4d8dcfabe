#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/launch/environment.hpp"

namespace tacit::inline v0 {

/// One process, no communication, no code for it.
/// Throws: DistributedError on binding if a launcher started more than one process: each would train a model of its own.
struct SingleProcess {
  using slot = slot::distribution;

  template <class Parameters>
  struct bound {
    using tensor_type = typename Parameters::tensor_type;
    struct no_guard {};
    static constexpr bool is_single = true;
    static constexpr int rank() noexcept { return 0; }
    static constexpr int local_rank() noexcept { return 0; }
    static constexpr int world_size() noexcept { return 1; }
    void reduce_sum(std::span<double>) const noexcept {}
    void reduce_max(tensor_type&) const noexcept {}
    std::int64_t agree(std::int64_t request) const noexcept { return request; }
    std::vector<std::string> gather(std::string_view text) const { return {std::string{text}}; }
    tensor_type gather(tensor_type const& tensor) const { return tensor; }
    tensor_type sum(tensor_type const& tensor) const { return tensor; }
    void broadcast(tensor_type&, int) const noexcept {}
    void barrier() const noexcept {}
    no_guard no_sync() const noexcept { return {}; }
    void prepare_parameters(Parameters&) const noexcept {}
    void prepare_gradients(Parameters&) const noexcept {}
    static constexpr char const* name() noexcept { return "single process"; }
  };

  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    if (auto const world = launch::announced_world(); world && world->world_size > 1) {
      throw DistributedError{"TACIT-RX04",
                             detail::message({world->launcher, " started ", world->world_size, " processes (", world->variables,
                                              "), but SingleProcess would train a separate model in each"}),
                             "SingleProcess", "name a distribution policy that joins them, or start one process"};
    }
    return {};
  }
};

}  // namespace tacit::inline v0
