// expect: TACIT-EP23
#include "fake/tensor.hpp"
#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/distribution_policy.hpp"

struct Ring {
  using slot = tacit::slot::distribution;
  template <class Parameters>
  struct bound : tacit::distribution_archetype::bound<Parameters> {  // of which one member is another
#ifdef FIX
    int rank() const { return 0; }
#else
    std::size_t rank() const { return 0; }
#endif
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

static_assert(tacit::require_distribution_policy<Ring, tacit::basic_parameter_set<fake::Tensor>, tacit::device_archetype::bound<fake::Tensor>>());
