#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <sstream>
#include <string>

#include "tacit/core/error.hpp"

namespace tacit::inline v0::data {

/// Samples along dimension 0 of both tensors.
struct Batch {
  at::Tensor input;
  at::Tensor target;
};

/// Inputs (N x ...) and targets (N x ...) held in memory, on any device.
///
/// A batch costs one `index_select` per tensor; consecutive indices, as in evaluation, give views without a copy, so
/// batches are to be read. A view is taken only where it has the alignment of a fresh tensor: no kernel can tell, and
/// results are the same to the last bit.
class TensorDataset {
 public:
  /// Throws: DataError for a tensor that is undefined, without dimensions or empty, and for unequal lengths.
  TensorDataset(at::Tensor const& inputs, at::Tensor const& targets)
      : inputs_{inputs, "inputs"}, targets_{targets, "targets"} {
    if (inputs_.tensor.size(0) != targets_.tensor.size(0)) {
      throw DataError{"TACIT-RD23",
                      tacit::detail::message({"inputs of shape ", shape(inputs_.tensor), " and targets of shape ", shape(targets_.tensor),
                                              " differ in their number of samples"}),
                      "TensorDataset", "give tensors of equal size in dimension 0"};
    }
  }

  std::int64_t size() const noexcept { return inputs_.size; }

  /// Throws: DataError for an index outside [0, size).
  /// Cost: allocates the two results and one tensor that wraps `indices`, nothing else.
  Batch get_batch(std::span<std::int64_t const> indices) const {
    if (!is_run(indices)) return gather(indices);
    auto const first = static_cast<std::uint64_t>(indices.front());
    if (!inputs_.aligned(first) || !targets_.aligned(first)) return gather(indices);
    if (indices.front() < 0 || indices.back() >= size()) refuse(indices);
    auto const count = static_cast<std::int64_t>(indices.size());
    return {inputs_.tensor.narrow(0, indices.front(), count), targets_.tensor.narrow(0, indices.front(), count)};
  }

  at::Tensor const& inputs() const& noexcept { return inputs_.tensor; }
  at::Tensor inputs() const&& { return inputs_.tensor; }
  at::Tensor const& targets() const& noexcept { return targets_.tensor; }
  at::Tensor targets() const&& { return targets_.tensor; }

 private:
  static constexpr std::uint64_t alignment = 64;  // c10's allocators give this or more

  struct Column {
    at::Tensor tensor;
    std::int64_t size = 0;
    std::uint64_t row_bytes = 0;  // 0 where rows must be copied

    Column(at::Tensor const& given, char const* name) {
      if (!given.defined()) {
        throw DataError{"TACIT-RD20", tacit::detail::message({name, " is an undefined tensor"}), "TensorDataset",
                        "give tensors that hold the data"};
      }
      if (given.dim() == 0) {
        throw DataError{"TACIT-RD21", tacit::detail::message({name, " has no dimension that could count samples (shape [])"}), "TensorDataset",
                        "give a tensor of shape [samples, ...]"};
      }
      if (given.numel() == 0) {
        throw DataError{"TACIT-RD22", tacit::detail::message({name, " is empty: its shape is ", shape(given)}), "TensorDataset",
                        "check where the data come from"};
      }
      // Data that hang on a graph would make every backward go through the first batch's graph again.
      tensor = given.detach();
      size = tensor.size(0);
      if (tensor.layout() == at::kStrided && tensor.is_contiguous() &&
          reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % alignment == 0) {
        row_bytes = tensor.nbytes() / static_cast<std::uint64_t>(size);
      }
    }

    bool aligned(std::uint64_t row) const noexcept { return row_bytes != 0 && row * row_bytes % alignment == 0; }

    at::Tensor gather(at::Tensor const& index) const {
      return tensor.is_cpu() ? tensor.index_select(0, index) : tensor.index_select(0, index.to(tensor.device()));
    }
  };

  /// Whether each index is one more than the one before. An order that is shuffled shows at its last index already.
  static bool is_run(std::span<std::int64_t const> indices) {
    if (indices.empty()) return false;
    auto const first = static_cast<std::uint64_t>(indices.front());
    auto follows = [&](std::size_t place) { return static_cast<std::uint64_t>(indices[place]) == first + place; };
    bool run = follows(indices.size() - 1);
    for (std::size_t place = 1; run && place + 1 < indices.size(); ++place) run = follows(place);
    return run;
  }

  Batch gather(std::span<std::int64_t const> indices) const {
    // On the CPU `index_select` looks at every index anyway; elsewhere a bad one would stop the device.
    if (!inputs_.tensor.is_cpu() || !targets_.tensor.is_cpu()) check(indices);
    // from_blob wants a mutable pointer; index_select only reads.
    at::Tensor const index = at::from_blob(const_cast<std::int64_t*>(indices.data()),
                                           {static_cast<std::int64_t>(indices.size())}, at::TensorOptions{at::kLong});
    try {
      return {inputs_.gather(index), targets_.gather(index)};
    } catch (...) {
      check(indices);
      throw;
    }
  }

  void check(std::span<std::int64_t const> indices) const {
    for (std::int64_t const index : indices) {
      if (index < 0 || index >= size()) refuse(indices);
    }
  }

  static std::string shape(at::Tensor const& tensor) {
    std::ostringstream text;
    text << tensor.sizes();
    return text.str();
  }

  [[noreturn]] void refuse(std::span<std::int64_t const> indices) const {
    std::size_t at = 0;
    while (indices[at] >= 0 && indices[at] < size()) ++at;
    throw DataError{
        "TACIT-RD24",
        tacit::detail::message({"sample ", indices[at], " of ", size(), " was asked for, at place ", at, " of a batch of ", indices.size()}),
        "TensorDataset", "ask for samples from 0 to size - 1"};
  }

  Column inputs_;
  Column targets_;
};

}  // namespace tacit::inline v0::data
