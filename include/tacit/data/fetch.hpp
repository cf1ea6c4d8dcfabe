#pragma once

#include <cstdint>
#include <span>

#include "tacit/concepts/dataset.hpp"

namespace tacit::inline v0::data {

/// The batch of the given samples; `indices` is scratch and holds the innermost dataset's indices afterwards.
///
/// Index views (subsets of subsets of ...) translate in place, so that the call costs one `get_batch` of the dataset
/// that has the data and allocates nothing of its own.
template <batch_dataset D>
  requires tacit::detail::has_get_batch<D>
batch_of_t<D> fetch(D const& data, std::span<std::int64_t> indices) {
  if constexpr (index_view<D>) {
    data.map_indices(indices);
    return fetch(data.base(), indices);
  } else {
    return data.get_batch(indices);
  }
}

}  // namespace tacit::inline v0::data
