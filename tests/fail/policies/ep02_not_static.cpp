// expect: TACIT-EP02
#include "fake/tensor.hpp"
#include "tacit/concepts/device_policy.hpp"

struct Npu {
  using slot = tacit::slot::device;
  template <class Tensor>
  struct bound {
#ifdef FIX
    static constexpr bool is_host = true;
#else
    bool is_host = true;
#endif
    Tensor to(Tensor const& tensor) const { return tensor; }
    bool host_reads_free() const { return true; }
    char const* name() const { return "npu"; }
    void synchronize() {}
  };
  template <class Tensor>
  bound<Tensor> bind() const {
    return {};
  }
};

static_assert(tacit::require_device_policy<Npu, fake::Tensor>());
