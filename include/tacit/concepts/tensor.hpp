#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <vector>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// What the loop, the metrics and the callbacks ask of a tensor type: the one door between Tacit and a tensor library.
///
/// Specialised for `at::Tensor` in task/aten.hpp and for the tests' tensor in tests/fake/. All members are static.
/// A *scalar* below is a tensor of one element; nothing here but `read` waits for the device.
template <class Tensor>
struct tensor_traits;

/// A tensor type whose `tensor_traits` is complete.
template <class Tensor>
concept tensor = std::copyable<Tensor> && requires(Tensor& t, Tensor const& c, std::vector<Tensor>& list, double x, std::int64_t i, std::exception const& e) {
  typename tensor_traits<Tensor>::no_grad;  // RAII guard: no graph is recorded while it lives
  { tensor_traits<Tensor>::defined(c) } -> std::same_as<bool>;
  { tensor_traits<Tensor>::size0(c) } -> std::same_as<std::int64_t>;        // rows: the size of dimension 0, 1 for a 0-dim tensor
  { tensor_traits<Tensor>::dimensions(c) } -> std::same_as<std::int64_t>;
  { tensor_traits<Tensor>::numel(c) } -> std::same_as<std::int64_t>;
  { tensor_traits<Tensor>::rows(c, i, i) } -> std::same_as<Tensor>;         // a view of rows [i, i + the second i)
  { tensor_traits<Tensor>::out_of_memory(e) } -> std::same_as<bool>;        // what the library throws where memory does not suffice
  { tensor_traits<Tensor>::threads() } -> std::same_as<std::int64_t>;       // that operations on the host use
  tensor_traits<Tensor>::set_threads(i);
  { tensor_traits<Tensor>::host_readable(c) } -> std::same_as<bool>;        // reading it waits for nothing
  { tensor_traits<Tensor>::read(c) } -> std::same_as<double>;               // a scalar's value; waits for the device
  { tensor_traits<Tensor>::sum(c) } -> std::same_as<Tensor>;                // scalar, detached
  { tensor_traits<Tensor>::scalar_like(x, c) } -> std::same_as<Tensor>;     // float64 scalar on c's device
  { tensor_traits<Tensor>::flag_like(x, c) } -> std::same_as<Tensor>;       // float32 scalar on c's device, 0 or 1
  tensor_traits<Tensor>::add_(t, c, x);                                     // t += x * c, outside any graph
  tensor_traits<Tensor>::max_(t, c);                                        // t = max(t, c), outside any graph
  { tensor_traits<Tensor>::weighted(c, c) } -> std::same_as<Tensor>;        // float64 scalar: the first times the second, 0 where the second is 0, NaN or not
  { tensor_traits<Tensor>::non_finite(c) } -> std::same_as<Tensor>;         // float32 scalar: 1 if any element is NaN or infinite
  { tensor_traits<Tensor>::first_non_finite(list) } -> std::same_as<Tensor>;  // float64 scalar: 1 + the place of the first that `non_finite` is 1 for, else 0
  tensor_traits<Tensor>::backward(c, x);                                    // gradients of x * c; x == 1 costs nothing extra
  { tensor_traits<Tensor>::multiply(c, c) } -> std::same_as<Tensor>;        // a loss times its weight, in the loss's graph
  { tensor_traits<Tensor>::divide(x, c) } -> std::same_as<Tensor>;          // x / c as a new scalar, outside any graph
  { tensor_traits<Tensor>::requires_grad(c) } -> std::same_as<bool>;
  tensor_traits<Tensor>::set_requires_grad(t, true);
  { tensor_traits<Tensor>::grad(t) } -> std::same_as<Tensor&>;              // undefined where backward gave none
  tensor_traits<Tensor>::clear_grad(t);                                     // the next backward starts from nothing
  { tensor_traits<Tensor>::same(c, c) } -> std::same_as<bool>;              // the same tensor, not equal values
  { tensor_traits<Tensor>::identity(c) } -> std::same_as<void const*>;      // one address for all handles of the same tensor
  tensor_traits<Tensor>::set_data(t, c);                                    // t keeps its identity and takes c's data, dtype and device
  tensor_traits<Tensor>::visit_bytes(c, [](char const*, std::size_t) {});   // its elements in row-major order, on the host
  tensor_traits<Tensor>::scale_(list, x);                                   // each *= x, one call for all
  tensor_traits<Tensor>::scale_(list, c);                                   // the same with a scalar on the device
  { tensor_traits<Tensor>::clip_norm_(list, x) } -> std::same_as<Tensor>;   // scales so that the 2-norm of all is at most x; the norm before, no host read
  tensor_traits<Tensor>::clip_value_(list, x);                              // clamps every element of each to [-x, x]
  { tensor_traits<Tensor>::is_floating(c) } -> std::same_as<bool>;
  { tensor_traits<Tensor>::is_half(c) } -> std::same_as<bool>;              // floating, of 16 bits or fewer
  { tensor_traits<Tensor>::clone(c) } -> std::same_as<Tensor>;              // its own data, outside any graph
  { tensor_traits<Tensor>::equal(c, c) } -> std::same_as<bool>;             // the same shape and values
  { tensor_traits<Tensor>::alias(c) } -> std::same_as<Tensor>;              // the data of now: stays so when `set_data` gives c others
  tensor_traits<Tensor>::copy_(list, list);                                 // each of the first takes the values of the second
  tensor_traits<Tensor>::lerp_(list, list, x);                              // each of the first += x * (second - first)
  tensor_traits<Tensor>::masked_lerp_(list, list, x, c);                    // the same, but nothing where the flag c is not 0
};

/// A task or a loss with tensors besides those of its model: `visit_tensors(visit)` calls `visit(tensor)` for each of them.
template <class Part, class Tensor>
concept visits_tensors = requires(Part& part, void (&visit)(Tensor&)) { part.visit_tensors(visit); };

}  // namespace tacit::inline v0
