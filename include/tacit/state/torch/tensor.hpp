#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/ScalarType.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/state/safetensors.hpp"
#include "tacit/state/state.hpp"
#include "tacit/task/aten.hpp"

/// LibTorch's tensors and random generators as parts of checkpoints.
namespace tacit::inline v0 {

namespace detail {

/// Whether the storage reaches as far as sizes, strides and offset do.
inline bool is_backed(at::Tensor const& t) {
  std::uint64_t last = static_cast<std::uint64_t>(t.storage_offset());
  for (std::int64_t i = 0; i < t.dim(); ++i) last += static_cast<std::uint64_t>(t.size(i) - 1) * static_cast<std::uint64_t>(t.stride(i));
  return t.has_storage() && (last + 1) * t.itemsize() <= t.storage().nbytes();
}

/// The types that both LibTorch and safetensors have.
inline constexpr std::array<std::pair<at::ScalarType, safetensors::Dtype>, 19> torch_dtypes{
    {{at::kBool, safetensors::Dtype::boolean},
     {at::kByte, safetensors::Dtype::u8},
     {at::kChar, safetensors::Dtype::i8},
     {at::kShort, safetensors::Dtype::i16},
     {at::kInt, safetensors::Dtype::i32},
     {at::kLong, safetensors::Dtype::i64},
     {at::kUInt16, safetensors::Dtype::u16},
     {at::kUInt32, safetensors::Dtype::u32},
     {at::kUInt64, safetensors::Dtype::u64},
     {at::kHalf, safetensors::Dtype::f16},
     {at::kBFloat16, safetensors::Dtype::bf16},
     {at::kFloat, safetensors::Dtype::f32},
     {at::kDouble, safetensors::Dtype::f64},
     {at::kComplexFloat, safetensors::Dtype::c64},
     {at::kFloat8_e5m2, safetensors::Dtype::f8_e5m2},
     {at::kFloat8_e4m3fn, safetensors::Dtype::f8_e4m3},
     {at::kFloat8_e5m2fnuz, safetensors::Dtype::f8_e5m2fnuz},
     {at::kFloat8_e4m3fnuz, safetensors::Dtype::f8_e4m3fnuz},
     {at::kFloat8_e8m0fnu, safetensors::Dtype::f8_e8m0}}};

// The errors here have no place yet: whoever knows the member's name gives it.

/// Why the elements of a tensor can be neither read nor written; empty where they can.
inline std::string_view missing_elements(at::Tensor const& t) {
  if (t.is_nested()) return "is a nested tensor";
  if (t.is_meta()) return "lies on the device meta, where it has no elements";
  if (t.key_set().has(c10::DispatchKey::ZeroTensor)) return "is a tensor of zeros without memory";
  if (t.layout() == at::kStrided && t.numel() != 0 && !is_backed(t)) return "has less memory than its sizes and strides ask for";
  return {};
}
/// Throws: StateError for such a tensor.
inline void check_elements(at::Tensor const& t) {
  std::string_view const what = missing_elements(t);
  if (!what.empty()) throw StateError{"TACIT-RS45", message({"a tensor ", what}), "", "make it anew as a dense tensor with memory of its own"};
}

/// Throws: StateError for types that safetensors files cannot hold.
inline safetensors::Dtype dtype_of(at::Tensor const& t) {
  check_elements(t);
  for (auto const& [type, dtype] : torch_dtypes) {
    if (type == t.scalar_type() && t.layout() == at::kStrided && !t.is_quantized()) return dtype;
  }
  throw StateError{"TACIT-RS91",
                   message({"a tensor of type ", c10::toString(t.scalar_type()), (t.layout() == at::kStrided ? "" : ", not dense,"), " cannot be saved"}), "",
                   "save it as dense tensors of real types: view_as_real, indices and values"};
}
inline at::ScalarType scalar_type_of(safetensors::Dtype dtype) {
  for (auto const& [type, known] : torch_dtypes) {
    if (known == dtype) return type;
  }
  throw StateError{"TACIT-RS92", message({"LibTorch has no type ", safetensors::name_of(dtype)}), "", "convert it where it was made"};
}
inline safetensors::Shape shape_of(at::Tensor const& t) {
  safetensors::Shape shape;
  for (std::int64_t const size : t.sizes()) shape.push_back(static_cast<std::uint64_t>(size));
  return shape;
}

/// Whether the bytes of the elements are their values, and lie on the host.
inline bool is_plain_on_host(at::Tensor const& t) {
  constexpr c10::DispatchKeySet lazy{{c10::DispatchKey::Conjugate, c10::DispatchKey::Negative, c10::DispatchKey::ZeroTensor}};
  return t.is_cpu() && !t.key_set().has_any(lazy);
}

/// The elements in row-major order as a tensor on the host, of its own or, with `borrow`, where they lie if that can be done.
inline at::Tensor from_bytes(safetensors::Dtype dtype, safetensors::Shape const& shape, std::span<std::byte const> bytes, bool borrow = false) {
  std::vector<std::int64_t> sizes;
  for (std::uint64_t const size : shape) {
    // A 0 beside it makes the product small, and LibTorch counts in int64.
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      throw StateError{"TACIT-RS92", message({"a size of ", size, " is more than LibTorch can count"}), "", "convert it where it was made"};
    }
    sizes.push_back(static_cast<std::int64_t>(size));
  }
  at::TensorOptions const options{scalar_type_of(dtype)};
  bool const aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % 16 == 0 || reinterpret_cast<std::uintptr_t>(bytes.data()) % (safetensors::bits_of(dtype) / 8) == 0;
  if (borrow && aligned && dtype != safetensors::Dtype::boolean && !bytes.empty()) {
    return at::from_blob(const_cast<std::byte*>(bytes.data()), sizes, options);  // it is only read
  }
  at::Tensor made = at::empty(sizes, options);
  if (bytes.empty()) return made;
  if (dtype == safetensors::Dtype::boolean) {
    // Any other byte than 0 and 1 would be no bool.
    auto* to = static_cast<std::uint8_t*>(made.mutable_data_ptr());
    for (std::byte const b : bytes) *to++ = b == std::byte{0} ? 0 : 1;
  } else {
    std::memcpy(made.mutable_data_ptr(), bytes.data(), bytes.size());
  }
  return made;
}

/// Of `from` the elements that `each_once(to)` has.
inline at::Tensor first_of_each(at::Tensor const& from, at::Tensor const& to) {
  at::Tensor result = from;
  for (std::int64_t i = 0; i < to.dim(); ++i) {
    if (to.stride(i) == 0 && to.size(i) > 1) result = result.narrow(i, 0, 1);
  }
  return result;
}
/// The elements of an expanded tensor, each once: dimensions of stride 0 have the size 1.
inline at::Tensor each_once(at::Tensor const& t) { return first_of_each(t, t); }
inline bool same_bytes(at::Tensor const& a, at::Tensor const& b) {
  at::Tensor const x = a.cpu().contiguous();
  at::Tensor const y = b.cpu().contiguous();
  return x.nbytes() == y.nbytes() && (x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0);
}

/// Whether `write_into(to, from)` can be done, and leaves in `to` what `from` has: asked while staging, for the commit cannot throw.
///
/// Elements of `to` that are one place in memory, as `expand` makes them, must have one value in `from`.
/// Throws: StateError.
inline void check_can_be_written(at::Tensor const& to, at::Tensor const& from) {
  if (to.is_inference()) {
    throw StateError{"TACIT-RS93", "a tensor of the program was made in inference mode and cannot be written", "",
                     "make the model outside c10::InferenceMode"};
  }
  if (at::has_internal_overlap(to) == at::MemOverlap::No) return;
  // Strides that nobody can tell: tried on memory of its own.
  at::Tensor probe = at::empty_strided(to.sizes(), to.strides(), from.options().device(at::kCPU));
  each_once(probe).copy_(first_of_each(from, to));
  if (same_bytes(probe, from)) return;
  throw StateError{"TACIT-RS46", "elements of a tensor of the program are one place in memory, as expand makes them, and have several values in the file", "",
                   "give it memory of its own: tensor.clone(), or load another file"};
}

/// Puts the elements of `from` into `to`, of one shape and type, in place.
/// Requires: `check_can_be_written(to, from)`.
inline void write_into(at::Tensor& to, at::Tensor const& from) {
  at::NoGradGuard const guard;
  if (is_plain_on_host(to) && is_plain_on_host(from) && to.is_contiguous() && from.is_contiguous()) {
    if (from.nbytes() != 0) std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), from.nbytes());
    to.unsafeGetTensorImpl()->bump_version();
  } else {
    each_once(to).copy_(first_of_each(from, to));
  }
}

}  // namespace detail

/// A tensor of any device and strides. Loading writes into a defined one, which keeps its storage, strides and graph role; an
/// undefined one becomes a new tensor on the CPU.
template <>
struct state_tensor<at::Tensor> {
  static bool defined(at::Tensor const& t) noexcept { return t.defined(); }
  static safetensors::Dtype dtype(at::Tensor const& t) { return detail::dtype_of(t); }
  static safetensors::Shape shape(at::Tensor const& t) { return detail::shape_of(t); }

  static std::string identity(at::Tensor const& t) {
    bool const there = detail::missing_elements(t).empty() && t.layout() == at::kStrided && t.numel() != 0;
    void const* const data = there ? t.const_data_ptr() : nullptr;
    if (data == nullptr) return {};
    std::string text = detail::message({reinterpret_cast<std::uintptr_t>(data), t.device().str(), c10::toString(t.scalar_type()),
                                        (t.is_conj() ? "conjugate" : ""), (t.is_neg() ? "negative" : "")});
    for (std::int64_t const size : t.sizes()) text += detail::message({",", size});
    for (std::int64_t const stride : t.strides()) text += detail::message({"/", stride});
    return text;
  }

  static std::optional<std::span<std::byte const>> borrow(at::Tensor const& t) {
    if (!detail::is_plain_on_host(t) || !t.is_contiguous()) return std::nullopt;
    return std::span{static_cast<std::byte const*>(t.const_data_ptr()), t.nbytes()};
  }
  static void copy_to(at::Tensor const& t, std::span<std::byte> into) {
    tensor_traits<at::Tensor>::visit_bytes(t, [&](char const* data, std::size_t size) {
      if (size != 0) std::memcpy(into.data(), data, size);
    });
  }

  static at::Tensor make(at::Tensor const* current, safetensors::Dtype dtype, safetensors::Shape const& shape, std::span<std::byte const> bytes) {
    c10::InferenceMode const normal{false};
    at::NoGradGuard const guard;
    at::Tensor made = detail::from_bytes(dtype, shape, bytes);
    return current == nullptr || !current->defined() ? made : made.to(current->device());
  }
  static at::Tensor view(at::Tensor const& current, safetensors::Dtype dtype, safetensors::Shape const& shape, std::span<std::byte const> bytes) {
    c10::InferenceMode const normal{false};
    at::NoGradGuard const guard;
    detail::check_elements(current);
    at::Tensor const host = detail::from_bytes(dtype, shape, bytes, /*borrow=*/true);
    detail::check_can_be_written(current, host);
    return host.to(current.device());
  }
  /// As `Tensor::to`. Requires: both types are floating, or both are integers or bools.
  static at::Tensor cast(at::Tensor const& t, safetensors::Dtype dtype) {
    c10::InferenceMode const normal{false};
    at::NoGradGuard const guard;
    return t.to(detail::scalar_type_of(dtype));
  }
  static void commit(at::Tensor& into, at::Tensor&& staged) noexcept {
    if (into.defined() && staged.defined() && into.scalar_type() == staged.scalar_type() && into.sizes().equals(staged.sizes())) {
      detail::write_into(into, staged);
    } else {
      into = std::move(staged);
    }
  }
};

/// A random generator of LibTorch: its whole state, the second of a pair of normal numbers included.
template <>
struct state_tensor<at::Generator> {
  static bool defined(at::Generator const& g) noexcept { return g.defined(); }
  static safetensors::Dtype dtype(at::Generator const&) { return safetensors::Dtype::u8; }
  static safetensors::Shape shape(at::Generator const& g) { return detail::shape_of(state_of(g)); }
  static std::string identity(at::Generator const& g) { return detail::message({"generator ", reinterpret_cast<std::uintptr_t>(g.unsafeGetGeneratorImpl())}); }
  static void copy_to(at::Generator const& g, std::span<std::byte> into) { state_tensor<at::Tensor>::copy_to(state_of(g), into); }
  template <class Function>
  static void visit_bytes(at::Generator const& g, Function&& function) {
    tensor_traits<at::Tensor>::visit_bytes(state_of(g), std::forward<Function>(function));
  }

  /// Throws: StateError for bytes that are no state of such a generator.
  static at::Generator make(at::Generator const* current, safetensors::Dtype dtype, safetensors::Shape const& shape, std::span<std::byte const> bytes) {
    bool const known = current != nullptr && current->defined();
    at::Generator made = known ? current->clone() : at::make_generator<at::CPUGeneratorImpl>();
    try {
      made.set_state(detail::from_bytes(dtype, shape, bytes));
    } catch (std::exception const&) {
      throw StateError{"TACIT-RS94", "the bytes are no state of a random generator of this kind", "",
                       "use the version of LibTorch that saved it, or another checkpoint"};
    }
    return made;
  }
  static void commit(at::Generator& into, at::Generator&& staged) noexcept {
    if (!into.defined() || !staged.defined()) {
      into = std::move(staged);
      return;
    }
    std::lock_guard const lock{into.mutex()};
    into.set_state(staged.get_state());
  }

 private:
  static at::Tensor state_of(at::Generator g) {  // another handle of the same generator, for its mutex
    std::lock_guard const lock{g.mutex()};
    return g.get_state();
  }
};

/// A random generator as a part of checkpoints: by default the one of the CPU that `torch::manual_seed` seeds, from which
/// dropout draws.
/// Example: GeneratorState random;  save_state(writer, update, {}, model, random);
struct GeneratorState {
  static constexpr std::string_view state_name = "generator";

  at::Generator generator = at::detail::getDefaultCPUGenerator();

  static void visit_state(auto& self, auto&& visit) { visit("state", self.generator); }
};

}  // namespace tacit::inline v0
