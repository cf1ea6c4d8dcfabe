// expect: TACIT-EP18
#include "fake/tensor.hpp"
#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/precision_policy.hpp"

struct Fp8 {
  using slot = tacit::slot::precision;
  template <class Parameters>
  struct bound : tacit::precision_archetype::bound<Parameters> {  // of which one member is another
#ifdef FIX
    std::string name() { return "fp8"; }
#else
    int name() { return 8; }
#endif
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

static_assert(tacit::require_precision_policy<Fp8, tacit::basic_parameter_set<fake::Tensor>, tacit::device_archetype::bound<fake::Tensor>>());
