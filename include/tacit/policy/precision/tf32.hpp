#pragma once

#include <ATen/Context.h>
#include <c10/util/Exception.h>
#include <torch/headeronly/version.h>

#include <array>
#include <cstddef>
#include <utility>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/core/list.hpp"
#include "tacit/policy/device/cpu.hpp"

namespace tacit::inline v0 {

namespace detail {

/// LibTorch's process-wide switches for TensorFloat-32, as they are stored.
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 10
///
/// LibTorch has two worlds of them, an older and a newer one, and throws where it is asked in one about what was set in
/// the other. Setters of the older one set both, therefore they are used. The newer world's getters give effective values,
/// that is those of a wider switch where a narrow one is unset; put back, such a value would hide later changes of the
/// wider one.
class Tf32Switches {
  using backend = at::Float32Backend;
  using operation = at::Float32Op;
  using precision = at::Float32Precision;
  using matmul_precision = at::Float32MatmulPrecision;

 public:
  static Tf32Switches read() {
    Tf32Switches now;
    for (std::size_t i = 0; i < narrow.size(); ++i) now.narrow_[i] = stored(narrow[i].first, narrow[i].second);
    now.matmul_ = stored_matmul();
    now.cudnn_ = stored_cudnn();
    now.write_narrow();
    return now;
  }
  /// The same, but with TensorFloat-32 for CUDA's matrix products and convolutions.
  Tf32Switches allowed() const {
    Tf32Switches result = *this;
    if (result.matmul_ == matmul_precision::HIGHEST) result.matmul_ = matmul_precision::HIGH;
    result.cudnn_ = true;
    for (std::size_t i = 0; i < narrow.size(); ++i) {
      if (narrow[i].first == backend::CUDA) result.narrow_[i] = precision::TF32;
    }
    return result;
  }
  void write() const {
    at::globalContext().setFloat32MatmulPrecision(name_of(matmul_));
    at::globalContext().setAllowTF32CuDNN(cudnn_);
    write_narrow();  // these setters have set more than they say
  }
  bool operator==(Tf32Switches const&) const = default;

 private:
  static constexpr std::array<std::pair<backend, operation>, 4> narrow{
      {{backend::CUDA, operation::MATMUL},
       {backend::MKLDNN, operation::MATMUL},
       {backend::CUDA, operation::CONV},
       {backend::CUDA, operation::RNN}}};

  static precision get(backend where, operation what) { return at::globalContext().float32Precision(where, what); }
  static void set(backend where, operation what, precision value) {
    at::globalContext().setFloat32Precision(where, what, value);
  }

  /// An unset switch follows the next wider one; it is asked with that one at two values.
  static precision stored(backend where, operation what) {
    if (where == backend::GENERIC) return get(where, what);
    backend const wide = what == operation::ALL ? backend::GENERIC : where;
    precision const before = stored(wide, operation::ALL);
    set(wide, operation::ALL, precision::IEEE);
    precision const one = get(where, what);
    set(wide, operation::ALL, precision::TF32);
    precision const other = get(where, what);
    set(wide, operation::ALL, before);
    return one == other ? one : precision::NONE;
  }
  static char const* name_of(matmul_precision value) {
    if (value == matmul_precision::HIGHEST) return "highest";
    return value == matmul_precision::HIGH ? "high" : "medium";
  }
  // The older getters answer where the newer switches fit to what is stored; the caller puts those back.
  static matmul_precision stored_matmul() {
    for (precision const host : {precision::IEEE, precision::TF32, precision::BF16}) {
      try {
        set(backend::CUDA, operation::MATMUL, host == precision::IEEE ? host : precision::TF32);
        set(backend::MKLDNN, operation::MATMUL, host);
        return at::globalContext().float32MatmulPrecision();
      } catch (c10::Error const&) {  // another one is stored
      }
    }
    return matmul_precision::HIGHEST;
  }
  static bool stored_cudnn() {
    try {
      set(backend::CUDA, operation::CONV, precision::TF32);
      set(backend::CUDA, operation::RNN, precision::TF32);
      return at::globalContext().allowTF32CuDNN();
    } catch (c10::Error const&) {  // it is off
      return false;
    }
  }

  void write_narrow() const {
    for (std::size_t i = 0; i < narrow.size(); ++i) set(narrow[i].first, narrow[i].second, narrow_[i]);
  }

  std::array<precision, narrow.size()> narrow_{};
  matmul_precision matmul_{};
  bool cudnn_ = false;
};
#else
struct Tf32Switches {
  bool matmul = false;
  bool cudnn = false;

  static Tf32Switches read() { return {at::globalContext().allowTF32CuBLAS(), at::globalContext().allowTF32CuDNN()}; }
  Tf32Switches allowed() const { return {true, true}; }
  void write() const {
    at::globalContext().setAllowTF32CuBLAS(matmul);
    at::globalContext().setAllowTF32CuDNN(cudnn);
  }
  bool operator==(Tf32Switches const&) const = default;
};
#endif

/// While it lives, CUDA's float32 matrix products and convolutions may use TensorFloat-32; then all is as before.
class Tf32Scope {
 public:
  Tf32Scope() : before_{Tf32Switches::read()} { before_.allowed().write(); }
  Tf32Scope(Tf32Scope const&) = delete;
  Tf32Scope& operator=(Tf32Scope const&) = delete;
  ~Tf32Scope() { before_.write(); }

 private:
  Tf32Switches before_;
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
