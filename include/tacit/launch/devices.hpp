#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/launch/world.hpp"

namespace tacit::inline v0::launch {

/// Which of the devices that this process sees is its own: that of its local rank, or the only one where the launcher shows each process one.
/// Throws: DistributedError if the host has fewer devices than processes.
inline int own_device(World const& world, int visible) {
  if (world.world_size == 1 || visible == 1) return 0;
  if (world.local_world_size > visible) {
    throw DistributedError{"TACIT-RX25", tacit::detail::message({world.local_world_size, " processes of this host for ", visible, " devices (", world.variables, ")"}), "launch environment",
                           "start at most as many processes on a host as it has devices, or see what CUDA_VISIBLE_DEVICES hides"};
  }
  return world.local_rank;
}

/// Throws: DistributedError if two ranks are on one device; `devices` are their unique names in rank order.
inline void require_own_devices(std::vector<std::string> const& devices) {
  for (std::size_t rank = 1; rank < devices.size(); ++rank) {
    for (std::size_t other = 0; other < rank; ++other) {
      if (devices[rank] != devices[other]) continue;
      throw DistributedError{"TACIT-RX26", tacit::detail::message({"rank ", other, " and rank ", rank, " are both on device ", devices[rank]}), "launch environment",
                             "start at most as many processes on a host as it has devices, or let the launcher show each process another one"};
    }
  }
}

}  // namespace tacit::inline v0::launch
