#pragma once

#include "tacit/concepts/device_policy.hpp"

namespace tacit::inline v0 {

/// Training on the host: nothing is transferred and host reads are free.
struct Cpu {
  using slot = slot::device;

  template <class Tensor>
  struct bound {
    static constexpr bool is_host = true;
    Tensor const& to(Tensor const& tensor) const noexcept { return tensor; }
    static constexpr bool host_reads_free() noexcept { return true; }
    static constexpr char const* name() noexcept { return "cpu"; }
    void synchronize() const noexcept {}
  };

  template <class Tensor>
  constexpr bound<Tensor> bind() const noexcept {
    return {};
  }
};

}  // namespace tacit::inline v0
