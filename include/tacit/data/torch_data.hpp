#pragma once

#include <torch/data/datasets/base.h>
#include <torch/data/example.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/data/collate.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/data/torch_collate.hpp"

namespace tacit::inline v0::data {

/// An example of `torch::data`, input and target, becomes a `Batch` of both stacked.
template <>
struct collation<torch::data::Example<at::Tensor, at::Tensor>> {
  static Batch join(std::span<torch::data::Example<at::Tensor, at::Tensor> const> parts, CollateContext const& context) {
    std::vector<at::Tensor> inputs;
    std::vector<at::Tensor> targets;
    for (auto const& part : parts) {
      inputs.push_back(part.data);
      targets.push_back(part.target);
    }
    return {collation<at::Tensor>::join(inputs, context), collation<at::Tensor>::join(targets, context)};
  }
};

/// An example without target becomes a tensor.
template <>
struct collation<torch::data::Example<at::Tensor, torch::data::example::NoTarget>> {
  static at::Tensor join(std::span<torch::data::Example<at::Tensor, torch::data::example::NoTarget> const> parts,
                         CollateContext const& context) {
    std::vector<at::Tensor> inputs;
    for (auto const& part : parts) inputs.push_back(part.data);
    return collation<at::Tensor>::join(inputs, context);
  }
};

/// A dataset of `torch::data` as one of ours; it is shared, not copied.
///
/// Datasets with `get(size_t)` are asked for samples; those that only make batches (`map(Stack<>())` among them) for
/// batches. `torch::data` does not declare its members const: with workers, the dataset's own must be safe to call from
/// several threads, which those that only read their members are.
template <class D>
class TorchDataset {
 public:
  /// Throws: DataError for a dataset without a size.
  explicit TorchDataset(D dataset) : dataset_{std::make_shared<D>(std::move(dataset))} {
    std::optional<std::size_t> const size = dataset_->size();
    if (!size) {
      throw DataError{"TACIT-RD77", "the dataset does not tell its size", "from_torch",
                      "make a data loader of torch::data over it and pass that: it is a range"};
    }
    size_ = static_cast<std::int64_t>(*size);
  }

  std::int64_t size() const noexcept { return size_; }
  auto get(std::int64_t index) const
    requires requires(D& dataset, std::size_t at) { dataset.get(at); }
  {
    return dataset_->get(static_cast<std::size_t>(index));
  }
  auto get_batch(std::span<std::int64_t const> indices) const
    requires(!requires(D& dataset, std::size_t at) { dataset.get(at); })
  {
    std::vector<std::size_t> const request(indices.begin(), indices.end());
    return dataset_->get_batch(request);
  }

 private:
  std::shared_ptr<D> dataset_;
  std::int64_t size_ = 0;
};

/// A dataset of `torch::data` for a loader of ours. A data loader of `torch::data` needs no adapter: it is a range.
/// Throws: DataError for a dataset without a size.
/// Example: `auto train = data::from_torch(torch::data::datasets::MNIST{"data"});`
template <class D>
TorchDataset<D> from_torch(D dataset) {
  return TorchDataset<D>{std::move(dataset)};
}

}  // namespace tacit::inline v0::data
