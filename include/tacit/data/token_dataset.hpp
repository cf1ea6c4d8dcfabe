#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tacit/data/tensor_dataset.hpp"
#include "tacit/data/token_windows.hpp"

namespace tacit::inline v0::data {

/// Windows of tokens as batches of tensors: input and target are int64 of shape [B, length].
/// Example: `data::TokenDataset const train{data::TokenFile{"train.bin"}, {.length = 256, .stride = 1, .vocabulary = 50257}};`
template <token_sequence T>
class TokenDataset {
 public:
  /// Throws: as `TokenWindows`.
  TokenDataset(T tokens, WindowOptions const& options) : windows_{std::move(tokens), options} {}

  std::int64_t size() const noexcept { return windows_.size(); }
  TokenWindows<T> const& windows() const noexcept { return windows_; }

  /// Throws: DataError for an index outside [0, size), and for a token outside of the vocabulary.
  /// Cost: allocates the two results, nothing else.
  Batch get_batch(std::span<std::int64_t const> indices) const {
    std::int64_t const sizes[] = {static_cast<std::int64_t>(indices.size()), windows_.length()};
    Batch batch{at::empty(sizes, at::TensorOptions{at::kLong}), at::empty(sizes, at::TensorOptions{at::kLong})};
    windows_.fill(indices, numbers(batch.input), numbers(batch.target));
    return batch;
  }

 private:
  static std::span<std::int64_t> numbers(at::Tensor const& tensor) {
    return {static_cast<std::int64_t*>(tensor.mutable_data_ptr()), static_cast<std::size_t>(tensor.numel())};
  }

  TokenWindows<T> windows_;
};

}  // namespace tacit::inline v0::data
