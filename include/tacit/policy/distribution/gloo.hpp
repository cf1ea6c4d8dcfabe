#pragma once

#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO  // LibTorch's header is empty without it
#endif
#include <c10/core/Device.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "tacit/policy/distribution/process_group.hpp"

namespace tacit::inline v0 {

/// Collectives of tensors on the CPU, over TCP.
///
/// Requires: Gloo's headers, or the folder `tacit/policy/distribution/gloo_stubs` among the include directories: `tacit::ddp` adds it.
struct Gloo {
  std::string interface{};  ///< network interface of the connections, "eth0"; where not given GLOO_SOCKET_IFNAME, else the one of the host's name

  static constexpr std::string_view name = "gloo";
  template <class Device>
  static constexpr bool serves = Device::is_host;

  /// Throws: what LibTorch throws.
  c10::intrusive_ptr<c10d::ProcessGroup> connect(c10::intrusive_ptr<c10d::Store> const& store, launch::World const& world, std::chrono::milliseconds timeout, c10::Device) const {
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    std::string const& wanted = interface.empty() ? world.interface : interface;
    if (!wanted.empty()) {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(wanted));
    } else if (world.local_world_size == world.world_size) {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));  // the host's name may lead anywhere
    } else {
      options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    }
    auto group = c10::make_intrusive<c10d::ProcessGroup>(store, world.rank, world.world_size);
    c10::intrusive_ptr<c10d::Backend> backend = c10::make_intrusive<c10d::ProcessGroupGloo>(store, world.rank, world.world_size, std::move(options));
    group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::GLOO, backend);
    group->setDefaultBackend(c10d::ProcessGroup::GLOO);
    return group;
  }
};

}  // namespace tacit::inline v0
