#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/view_as_real.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <limits>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/metric/device_scalar.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/task/parameter_set.hpp"

namespace tacit::inline v0 {

namespace detail {
/// The elements of a tensor on the CPU whose type is T.
///
/// `const_data_ptr<T>()` is out of line, and its name in a library built by g++ is not the one that clang 19 asks for.
template <class T>
T const* host_data(at::Tensor const& t) {
  return static_cast<T const*>(t.const_data_ptr());
}
}  // namespace detail

/// LibTorch's tensor behind the one door: see concepts/tensor.hpp for what each member means.
///
/// Scalars on the CPU are read and written through their data pointer, without LibTorch's dispatcher.
template <>
struct tensor_traits<at::Tensor> {
  using no_grad = at::NoGradGuard;

  static bool defined(at::Tensor const& t) noexcept { return t.defined(); }
  static std::int64_t size0(at::Tensor const& t) { return t.dim() == 0 ? 1 : t.size(0); }
  static std::int64_t dimensions(at::Tensor const& t) { return t.dim(); }
  static std::int64_t numel(at::Tensor const& t) { return t.numel(); }
  /// Whether somebody else holds the tensor's memory: a data set, a container of batches, a buffer that was not LibTorch's to allocate.
  static bool memory_is_shared(at::Tensor const& t) {
    c10::TensorImpl& impl = *t.unsafeGetTensorImpl();
    if (!impl.has_storage() || impl.is_inference()) return false;  // inference tensors count no changes
    c10::Storage const& storage = impl.unsafe_storage();
    if (t.use_count() == 1 && storage.use_count() == 1) return storage && storage.data_ptr().get_context() == nullptr && storage.nbytes() != 0;
    // A view of fresh memory keeps the tensor that it is a view of, and nobody else does.
    return !(t.use_count() == 1 && storage.use_count() == 2 && t.is_view() && t._base().use_count() == 1);
  }
  /// Grows with every change in place, also of views. Requires: memory_is_shared.
  static std::int64_t version(at::Tensor const& t) { return static_cast<std::int64_t>(t._version()); }
  /// The same shape and values, wherever they lie.
  static bool equal(at::Tensor const& a, at::Tensor const& b) {
    at::NoGradGuard const guard;
    return a.sizes() == b.sizes() && at::equal(a, b.to(a.device(), a.scalar_type()));
  }
  static at::Tensor rows(at::Tensor const& t, std::int64_t first, std::int64_t count) { return t.narrow(0, first, count); }
  /// The CPU's allocator has no exception of its own.
  static bool out_of_memory(std::exception const& error) {
    return dynamic_cast<c10::OutOfMemoryError const*>(&error) != nullptr || dynamic_cast<std::bad_alloc const*>(&error) != nullptr ||
           std::string_view{error.what()}.find("DefaultCPUAllocator: ") != std::string_view::npos;
  }
  /// Adds a line to an error of LibTorch; nothing to other errors, and nothing where memory did not suffice.
  static void add_context(std::exception& error, std::string text) {
    auto* const own = dynamic_cast<c10::Error*>(&error);
    if (own != nullptr && !out_of_memory(error)) own->add_context(std::move(text));
  }
  /// `[8, 5]`
  static std::string shape(at::Tensor const& t) { return detail::sizes_text(t.defined() ? t.sizes() : at::IntArrayRef{}); }
  static std::int64_t threads() { return at::get_num_threads(); }
  static void set_threads(std::int64_t count) { at::set_num_threads(static_cast<int>(count)); }
  static bool host_readable(at::Tensor const& t) { return t.is_cpu(); }

  /// Requires: one element. Throws: c10::Error otherwise.
  static double read(at::Tensor const& t) {
    if (is_plain_host_scalar(t)) {
      switch (t.scalar_type()) {
        case at::kFloat:
          return double{*detail::host_data<float>(t)};
        case at::kDouble:
          return *detail::host_data<double>(t);
        case at::kLong:
          return static_cast<double>(*detail::host_data<std::int64_t>(t));
        case at::kBool:
          return *detail::host_data<bool>(t) ? 1.0 : 0.0;
        default:
          break;
      }
    }
    return t.item<double>();
  }

  /// The sum as a new tensor: int64 of integers and bools, float32 of half precisions, else of t's own type.
  static at::Tensor sum(at::Tensor const& t) {
    no_grad const guard;
    if (at::isReducedFloatingType(t.scalar_type())) return at::sum(t, at::kFloat);
    return at::sum(t);
  }

  static at::Tensor scalar_like(double value, at::Tensor const& where) { return scalar(value, at::kDouble, where); }
  static at::Tensor flag_like(double value, at::Tensor const& where) { return scalar(value, at::kFloat, where); }

  /// Requires: t and x hold one element each, t of a floating type.
  static void add_(at::Tensor& t, at::Tensor const& x, double factor) {
    if (t.scalar_type() == at::kDouble && is_plain_host_scalar(t) && x.is_cpu()) {
      *static_cast<double*>(t.mutable_data_ptr()) += factor * read(x);
      return;
    }
    no_grad const guard;
    t.add_(x.dim() == t.dim() ? x : x.reshape(t.sizes()), factor);
  }

  /// A NaN on either side gives NaN. Requires: t and x hold one element each.
  static void max_(at::Tensor& t, at::Tensor const& x) {
    if (t.scalar_type() == at::kFloat && is_plain_host_scalar(t) && x.is_cpu()) {
      auto* const value = static_cast<float*>(t.mutable_data_ptr());
      auto const other = static_cast<float>(read(x));
      if (other > *value || std::isnan(other)) *value = other;
      return;
    }
    no_grad const guard;
    at::maximum_out(t, t, x.dim() == t.dim() ? x : x.reshape(t.sizes()));
  }

  /// Requires: x and weight hold one element each.
  static at::Tensor weighted(at::Tensor const& x, at::Tensor const& weight) {
    no_grad const guard;
    c10::InferenceMode const normal{false};
    at::Tensor const wide = weight.detach().to(at::kDouble).reshape({});
    // Not by a product with 0, which is NaN where x is.
    return x.detach().to(at::kDouble).reshape({}).mul(wide).masked_fill(wide.eq(0), 0.0);
  }

  static at::Tensor non_finite(at::Tensor const& t) {
    if (!t.is_floating_point() && !t.is_complex()) return flag_like(0.0, t);
    if (t.is_cpu() && t.numel() == 1 && !t.is_complex()) return flag_like(std::isfinite(read(t)) ? 0.0 : 1.0, t);
    no_grad const guard;
    // 0 * x is NaN just where x is not finite, and no sum of such terms overflows.
    at::Tensor probe = t.mul(0);
    if (probe.dim() != 0) probe = probe.sum();
    if (probe.is_complex()) probe = probe.abs();
    at::Tensor flag = flag_like(0.0, t);
    at::ne_out(flag, probe, 0);
    return flag;
  }

  /// By the largest magnitudes, which no sum of squares overflows. Requires: a list that is not empty, on one device.
  /// Cost: one reduction over all elements; no host read but on the CPU.
  static at::Tensor first_non_finite(std::vector<at::Tensor> const& list) {
    no_grad const guard;
    std::vector<at::Tensor> dense;
    dense.reserve(list.size());
    bool wide = false;
    for (at::Tensor t : list) {
      if (t.is_sparse()) t = t._values();
      if (t.is_complex()) t = at::view_as_real(t);
      if (t.numel() == 0) t = flag_like(0.0, t);
      wide = wide || t.scalar_type() == at::kDouble;
      dense.push_back(std::move(t));
    }
    at::Tensor const largest = at::stack(at::_foreach_norm(dense, std::numeric_limits<double>::infinity(), wide ? at::kDouble : at::kFloat));
    if (!largest.is_cpu()) {
      at::Tensor const places = at::arange(1, largest.numel() + 1, largest.options().dtype(at::kDouble));
      at::Tensor const first = places.masked_fill(largest.mul(0).eq(0), std::numeric_limits<double>::infinity()).amin();
      return first.masked_fill(first.isinf(), 0.0);
    }
    for (std::int64_t i = 0; i < largest.numel(); ++i) {
      double const value = wide ? detail::host_data<double>(largest)[i] : double{detail::host_data<float>(largest)[i]};
      if (!std::isfinite(value)) return scalar_like(static_cast<double>(i) + 1.0, largest);
    }
    return scalar_like(0.0, largest);
  }

  static void backward(at::Tensor const& loss, double factor) {
    if (factor == 1.0) {
      loss.backward();
    } else {
      loss.backward(at::full_like(loss, factor));
    }
  }

  /// A loss times its weight, in the loss's graph.
  static at::Tensor multiply(at::Tensor const& loss, at::Tensor const& weight) { return loss.mul(weight.detach().reshape(loss.sizes())); }
  static at::Tensor divide(double x, at::Tensor const& by) {
    no_grad const guard;
    return by.reciprocal().mul_(x);
  }

  static bool requires_grad(at::Tensor const& t) { return t.requires_grad(); }
  static void set_requires_grad(at::Tensor& t, bool on) { t.set_requires_grad(on); }
  static at::Tensor& grad(at::Tensor& t) { return t.mutable_grad(); }
  static void clear_grad(at::Tensor& t) { t.mutable_grad().reset(); }

  static bool same(at::Tensor const& a, at::Tensor const& b) noexcept { return a.is_same(b); }
  static void const* identity(at::Tensor const& t) noexcept { return t.unsafeGetTensorImpl(); }
  static void set_data(at::Tensor& t, at::Tensor const& data) { t.set_data(data); }

  /// t in double precision, real or complex; what is neither (integers, bools, no tensor at all) as it is.
  static at::Tensor to_float64(at::Tensor const& t) {
    if (!t.defined()) return t;
    if (t.is_floating_point()) return t.to(at::kDouble);
    return t.is_complex() ? t.to(at::kComplexDouble) : t;
  }

  template <class Function>
  static void visit_bytes(at::Tensor const& t, Function&& function) {
    no_grad const guard;
    at::Tensor const plain = t.to(at::kCPU).resolve_conj().resolve_neg().contiguous();
    std::forward<Function>(function)(static_cast<char const*>(plain.const_data_ptr()), plain.nbytes());
  }

  /// Requires: every tensor of the list is defined.
  static void scale_(std::vector<at::Tensor>& list, double factor) {
    if (list.empty()) return;
    no_grad const guard;
    at::_foreach_mul_(list, at::Scalar{factor});
  }

  /// Requires: every tensor of the list is defined and on the factor's device.
  static void scale_(std::vector<at::Tensor>& list, at::Tensor const& factor) {
    if (list.empty()) return;
    no_grad const guard;
    at::_foreach_mul_(list, factor.dim() == 0 ? factor : factor.reshape({}));
  }

  /// Multiplies all by min(1, max / (norm + 1e-6)), the rule of torch.nn.utils.clip_grad_norm_ to the last bit; by 1 if the norm is NaN.
  /// Requires: every tensor is defined, all on one device. Cost: no host read but on the CPU, where it saves the
  /// multiplication by 1. The norm is float64 if any tensor is, else float32.
  static at::Tensor clip_norm_(std::vector<at::Tensor>& list, double max) {
    if (list.empty()) return at::scalar_tensor(0.0, at::kFloat);
    no_grad const guard;
    bool const wide = std::ranges::any_of(list, [](at::Tensor const& t) { return t.scalar_type() == at::kDouble; });
    at::Tensor const norm =
        at::linalg_vector_norm(at::stack(at::_foreach_norm(list, 2, wide ? at::kDouble : at::kFloat)), 2);
    if (!norm.is_cpu()) {
      // A norm that is NaN scales nothing: what is NaN in one gradient spreads to no other.
      scale_(list, norm.add(1e-6).reciprocal_().mul_(max).clamp_max_(1.0).nan_to_num_(1.0));
      return norm;
    }
    // In norm's own precision and in torch's order, so that both ways round alike.
    double const factor = wide ? 1.0 / (read(norm) + 1e-6) * max
                               : double{1.0F / (*detail::host_data<float>(norm) + 1e-6F) * static_cast<float>(max)};
    if (factor < 1.0) scale_(list, factor);
    return norm;
  }

  /// Requires: every tensor of the list is defined.
  static void clip_value_(std::vector<at::Tensor>& list, double most) {
    if (list.empty()) return;
    no_grad const guard;
    at::_foreach_clamp_min_(list, at::Scalar{-most});
    at::_foreach_clamp_max_(list, at::Scalar{most});
  }

  static bool is_floating(at::Tensor const& t) { return t.is_floating_point() || t.is_complex(); }
  static bool is_half(at::Tensor const& t) { return at::isReducedFloatingType(t.scalar_type()); }
  static at::Tensor clone(at::Tensor const& t) {
    c10::InferenceMode const normal{false};
    return t.detach().clone();
  }
  static at::Tensor alias(at::Tensor const& t) { return t.detach(); }

  /// Requires of these three: lists of equal length, tensors of equal shapes, types and devices in the same place.
  static void copy_(std::vector<at::Tensor>& to, std::vector<at::Tensor> const& from) {
    if (to.empty()) return;
    no_grad const guard;
    at::_foreach_copy_(to, from);
  }
  static void lerp_(std::vector<at::Tensor>& to, std::vector<at::Tensor> const& from, double weight) {
    if (to.empty()) return;
    no_grad const guard;
    at::_foreach_lerp_(to, from, at::Scalar{weight});
  }
  static void masked_lerp_(std::vector<at::Tensor>& to, std::vector<at::Tensor> const& from, double weight, at::Tensor const& mask) {
    if (to.empty()) return;
    no_grad const guard;
    // Not by a weight of 0 alone: what the mask is for may have made `from` NaN.
    at::Tensor const off = mask.ne(0).reshape({});
    at::Tensor const wide = at::full_like(mask.reshape({}), weight, at::kDouble).masked_fill(off, 0.0);
    for (std::size_t i = 0; i < to.size(); ++i) to[i].lerp_(from[i].where(off.logical_not(), to[i]), wide.to(to[i].scalar_type()));
  }

 private:
  /// One element on the CPU whose bytes are its value.
  static bool is_plain_host_scalar(at::Tensor const& t) {
    constexpr c10::DispatchKeySet lazy{{c10::DispatchKey::Negative, c10::DispatchKey::ZeroTensor}};
    return t.is_cpu() && t.numel() == 1 && !t.key_set().has_any(lazy);
  }

  static at::Tensor scalar(double value, at::ScalarType type, at::Tensor const& where) {
    // Evaluation may run in inference mode; what is made there could not be updated outside.
    c10::InferenceMode const normal{false};
    return at::scalar_tensor(value, at::TensorOptions{}.dtype(type).device(where.device()));
  }
};

static_assert(tensor<at::Tensor>);

using Parameter = basic_parameter<at::Tensor>;
using ParameterSet = basic_parameter_set<at::Tensor>;
using Mean = basic_mean<at::Tensor>;
using DeviceScalar = basic_device_scalar<at::Tensor>;

}  // namespace tacit::inline v0
