#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tacit/concepts/dataset.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/random.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/fetch.hpp"
#include "tacit/data/shuffle.hpp"

namespace tacit::inline v0::data {

/// Some samples of a dataset, in an order of their own; shares the dataset and copies no sample.
template <dataset D>
class Subset {
 public:
  using index_view_type = Subset;

  /// Throws: DataError if there is no dataset or an index lies outside of it.
  Subset(std::shared_ptr<D const> base, std::vector<std::int64_t> indices)
      : base_{std::move(base)}, indices_{std::move(indices)} {
    if (base_ == nullptr)
      throw DataError{"TACIT-RD02", "no dataset was given", "Subset", "pass the dataset to select from"};
    auto const size = static_cast<std::int64_t>(base_->size());
    for (std::int64_t const index : indices_) {
      if (index < 0 || index >= size) {
        throw DataError{
            "TACIT-RD03",
            "index " + std::to_string(index) + " is outside of a dataset of " + std::to_string(size) + " samples",
            "Subset", "give indices from 0 to size - 1"};
      }
    }
  }

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(indices_.size()); }

  /// Throws: DataError for an index outside [0, size).
  /// Cost: one list of indices beside the dataset's own; a loader avoids it by `map_indices`.
  auto get_batch(std::span<std::int64_t const> indices) const
    requires tacit::detail::has_get_batch<D>
  {
    std::vector<std::int64_t> mapped(indices.begin(), indices.end());
    map_indices(mapped);
    return fetch(*base_, mapped);
  }
  auto get_batch(std::span<std::int64_t const> indices, std::span<Random> random) const
    requires tacit::detail::has_random_get_batch<D>
  {
    std::vector<std::int64_t> mapped(indices.begin(), indices.end());
    map_indices(mapped);
    return base_->get_batch(mapped, random);
  }

  /// Throws: DataError for an index outside [0, size).
  auto get(std::int64_t index) const
    requires tacit::detail::has_get<D>
  {
    map_indices({&index, 1});
    return base_->get(index);
  }
  auto get(std::int64_t index, Random& random) const
    requires tacit::detail::has_random_get<D>
  {
    map_indices({&index, 1});
    return base_->get(index, random);
  }

  /// Replaces each index into this subset by the index into `base()`.
  /// Throws: DataError for an index outside [0, size).
  void map_indices(std::span<std::int64_t> in_place) const {
    for (std::int64_t& index : in_place) {
      if (index < 0 || index >= size()) {
        throw DataError{"TACIT-RD04",
                        tacit::detail::message({"sample ", index, " of ", size(), " was asked for"}),
                        "Subset", "ask for samples from 0 to size - 1"};
      }
      index = indices_[static_cast<std::size_t>(index)];
    }
  }

  D const& base() const& noexcept { return *base_; }
  void base() const&& = delete;
  /// The samples of `base()` that belong to this subset.
  std::span<std::int64_t const> indices() const& noexcept { return indices_; }
  std::vector<std::int64_t> indices() const&& { return indices_; }

 private:
  std::shared_ptr<D const> base_;
  std::vector<std::int64_t> indices_;
};

namespace detail {
template <class D, std::size_t... Part>
std::array<Subset<D>, sizeof...(Part)> make_parts(std::shared_ptr<D const> const& base,
                                                  std::array<std::vector<std::int64_t>, sizeof...(Part)>&& parts,
                                                  std::index_sequence<Part...>) {
  return {{Subset<D>{base, std::move(parts[Part])}...}};
}
}  // namespace detail

/// Deals the samples of a dataset at random into parts of the given sizes, the same for the same seed on any machine.
///
/// The parts share the dataset. What remains when the sizes add up to less than the dataset belongs to no part.
/// Throws: ConfigError for a part of size 0; DataError if the sizes add up to more than the dataset has.
/// Example: `auto [train, valid, test] = data::split(data::fashion_mnist(), {50000, 5000, 5000}, 42);`
template <dataset D, std::size_t N>
std::array<Subset<D>, N> split(D dataset, Samples const (&sizes)[N], Seed seed) {
  auto const available = static_cast<std::int64_t>(dataset.size());
  std::int64_t left = available;
  std::string sum;
  for (std::size_t part = 0; part < N; ++part) {
    if (sizes[part].value() < 1) {
      throw ConfigError{"TACIT-RC10", tacit::detail::message({"part ", part, " of ", N, " has no samples"}),
                        "split", "give every part a size of at least 1"};
    }
    sum.append(part == 0 ? "" : " + ").append(std::to_string(sizes[part].value()));
  }
  for (Samples const size : sizes) {
    // Compared before it is subtracted: the sum itself could overflow.
    if (size.value() > left) {
      throw DataError{
          "TACIT-RD05",
          "the parts " + sum + " need more samples than the " + std::to_string(available) + " of the dataset", "split",
          "make the sizes add up to at most the size of the dataset"};
    }
    left -= size.value();
  }
  ShuffledOrder const order{available, detail::absorb(detail::split_purpose, seed.value_or(0))};
  std::array<std::vector<std::int64_t>, N> parts;
  std::int64_t first = 0;
  for (std::size_t part = 0; part < N; ++part) {
    parts[part].resize(static_cast<std::size_t>(sizes[part].value()));
    order.fill(first, parts[part]);
    first += sizes[part].value();
  }
  return detail::make_parts(std::make_shared<D const>(std::move(dataset)), std::move(parts),
                            std::make_index_sequence<N>{});
}

}  // namespace tacit::inline v0::data
