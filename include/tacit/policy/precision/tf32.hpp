#pragma once

#include <ATen/Context.h>
#include <torch/headeronly/version.h>

#include <array>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/core/list.hpp"
#include "tacit/policy/device/cpu.hpp"

namespace tacit::inline v0 {

namespace detail {

/// While it lives, CUDA's float32 matrix products and convolutions may use TensorFloat-32; then all is as before.
class Tf32Scope {
 public:
  Tf32Scope() {
    for (std::size_t i = 0; i < operations.size(); ++i) {
      before_[i] = get(operations[i]);
      set(operations[i], allowed);
    }
  }
  Tf32Scope(Tf32Scope const&) = delete;
  Tf32Scope& operator=(Tf32Scope const&) = delete;
  ~Tf32Scope() {
    for (std::size_t i = 0; i < operations.size(); ++i) set(operations[i], before_[i]);
  }

 private:
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 10
  using operation = at::Float32Op;
  using precision = at::Float32Precision;
  static constexpr std::array operations{operation::MATMUL, operation::CONV, operation::RNN};
  static constexpr precision allowed = precision::TF32;
  static precision get(operation op) { return at::globalContext().float32Precision(at::Float32Backend::CUDA, op); }
  static void set(operation op, precision value) { at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, op, value); }
#else
  enum class operation { matmul, cudnn };
  using precision = bool;
  static constexpr std::array operations{operation::matmul, operation::cudnn};
  static constexpr precision allowed = true;
  static precision get(operation op) {
    return op == operation::matmul ? at::globalContext().allowTF32CuBLAS() : at::globalContext().allowTF32CuDNN();
  }
  static void set(operation op, precision value) {
    if (op == operation::matmul) {
      at::globalContext().setAllowTF32CuBLAS(value);
    } else {
      at::globalContext().setAllowTF32CuDNN(value);
    }
  }
#endif
  std::array<precision, operations.size()> before_;
};

}  // namespace detail

/// float32 everywhere, and TensorFloat-32 inside CUDA's matrix products and convolutions: 10 bits of mantissa in, float32
/// sums. The process-wide switches are set while a run lasts, and put back when it ends.
struct Tf32 {
  using slot = slot::precision;
  using excludes = list<Cpu>;

  template <class Parameters>
  struct bound {
    using tensor_type = typename Parameters::tensor_type;
    struct no_guard {};
    static constexpr bool casts = false;
    tensor_type const& cast(tensor_type const& tensor) const noexcept { return tensor; }
    no_guard autocast() const noexcept { return {}; }
    detail::Tf32Scope run_scope() const { return {}; }
    void backward(tensor_type const& loss, double factor) const { tensor_traits<tensor_type>::backward(loss, factor); }
    tensor_type const* unscale(Parameters&) const noexcept { return nullptr; }
    void after_update() const noexcept {}
    static constexpr char const* name() noexcept { return "tf32"; }
  };

  template <class Parameters, class Device>
  constexpr bound<Parameters> bind(Device const&) const noexcept {
    return {};
  }
};

}  // namespace tacit::inline v0
