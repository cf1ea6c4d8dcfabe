// expect: TACIT-EP03
#include "fake/tensor.hpp"
#include "tacit/concepts/device_policy.hpp"

struct Tpu {
  using slot = tacit::slot::device;
  template <class Tensor>
  struct bound : tacit::device_archetype::bound<Tensor> {  // of which one member is another
#ifdef FIX
    Tensor to(Tensor const& tensor) const { return tensor; }
#else
    void to(Tensor&) const {}
#endif
  };
  template <class Tensor>
  bound<Tensor> bind() const {
    return {};
  }
};

static_assert(tacit::require_device_policy<Tpu, fake::Tensor>());
