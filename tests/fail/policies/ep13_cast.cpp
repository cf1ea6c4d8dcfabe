// expect: TACIT-EP13
#include "fake/tensor.hpp"
#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/precision_policy.hpp"

struct Fp8 {
  using slot = tacit::slot::precision;
  template <class Parameters>
  struct bound : tacit::precision_archetype::bound<Parameters> {  // of which one member is another
#ifdef FIX
    typename Parameters::tensor_type cast(typename Parameters::tensor_type const& tensor) { return tensor; }
#else
    void cast(typename Parameters::tensor_type&) {}
#endif
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

static_assert(tacit::require_precision_policy<Fp8, tacit::basic_parameter_set<fake::Tensor>, tacit::device_archetype::bound<fake::Tensor>>());
