// expect: TACIT-EP05
#include "fake/tensor.hpp"
#include "tacit/concepts/device_policy.hpp"

struct Tpu {
  using slot = tacit::slot::device;
  template <class Tensor>
  struct bound : tacit::device_archetype::bound<Tensor> {  // of which one member is another
#ifdef FIX
    std::string name() const { return "tpu"; }
#else
    int name() const { return 7; }
#endif
  };
  template <class Tensor>
  bound<Tensor> bind() const {
    return {};
  }
};

static_assert(tacit::require_device_policy<Tpu, fake::Tensor>());
