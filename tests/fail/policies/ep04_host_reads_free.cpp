// expect: TACIT-EP04
#include "fake/tensor.hpp"
#include "tacit/concepts/device_policy.hpp"

struct Tpu {
  using slot = tacit::slot::device;
  template <class Tensor>
  struct bound : tacit::device_archetype::bound<Tensor> {  // of which one member is another
#ifdef FIX
    bool host_reads_free() const { return true; }
#else
    int host_reads_free() const { return 1; }
#endif
  };
  template <class Tensor>
  bound<Tensor> bind() const {
    return {};
  }
};

static_assert(tacit::require_device_policy<Tpu, fake::Tensor>());
