#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/dataset.hpp"
#include "tacit/core/random.hpp"
#include "tacit/data/collate.hpp"
#include "tacit/data/owned_or_borrowed.hpp"
#include "tacit/task/batch.hpp"

namespace tacit::inline v0::data {

namespace transform {

/// A function of a whole batch and the samples' generators.
template <class T, class Batch>
concept whole_batch_transform = std::invocable<T const&, Batch, std::span<Random>>;

/// A function of a batch's inputs and the samples' generators.
template <class T, class Batch>
concept input_transform = !whole_batch_transform<T, Batch> && tacit::detail::supervised_batch<Batch> &&
                          requires(T const& transform, Batch& batch, std::span<Random> random) {
                            {
                              transform(tacit::detail::input_of(batch), random)
                            } -> std::convertible_to<std::remove_cvref_t<decltype(tacit::detail::input_of(batch))>>;
                          };

/// What can be applied to a batch: to all of it, or to its inputs.
template <class T, class Batch>
concept batch_transform = whole_batch_transform<T, Batch> || input_transform<T, Batch>;

namespace detail {

template <class T, class Batch>
  requires batch_transform<T, Batch>
auto apply(T const& transform, Batch batch, std::span<Random> random) {
  if constexpr (whole_batch_transform<T, Batch>) {
    return transform(std::move(batch), random);
  } else {
    auto const& input = tacit::detail::input_of(batch);
    // The members of the local batch are no constants: only the accessor is const.
    const_cast<std::remove_cvref_t<decltype(input)>&>(input) = transform(input, random);
    return batch;
  }
}

template <class T>
void check(T const& part) {
  if constexpr (requires { part.check(); }) part.check();
}

}  // namespace detail

/// Transforms one after the other; each sample's generator goes through all of them.
/// Example: `Sequence{RandomCrop{.height = 32, .width = 32, .padding = 4}, HorizontalFlip{}}`
template <class... T>
class Sequence {
 public:
  explicit Sequence(T... parts) : parts_{std::move(parts)...} {}

  /// Throws: ConfigError where a part's options cannot be used.
  void check() const {
    std::apply([](T const&... part) { (detail::check(part), ...); }, parts_);
  }

  /// Applies them to images, or to the images of a batch.
  /// Throws: what the parts throw.
  template <class Batch>
    requires(batch_transform<T, Batch> && ...)
  Batch operator()(Batch batch, std::span<Random> random) const {
    std::apply([&](T const&... part) { ((batch = detail::apply(part, std::move(batch), random)), ...); }, parts_);
    return batch;
  }

 private:
  std::tuple<T...> parts_;
};

}  // namespace transform

namespace detail {

/// The batch of the given samples, however the dataset gives it; `indices` is scratch.
template <dataset D, class Collate>
auto fetch_random(D const& data, std::span<std::int64_t> indices, std::span<Random> random, Collate const& collate) {
  if constexpr (index_view<D>) {
    data.map_indices(indices);
    return fetch_random(data.base(), indices, random, collate);
  } else if constexpr (takes_batches_v<D, Collate>) {
    return tacit::detail::get_batch(data, indices, random);
  } else {
    std::vector<sample_of_t<D>> samples;
    samples.reserve(indices.size());
    for (std::size_t i = 0; i < indices.size(); ++i) samples.push_back(tacit::detail::get_sample(data, indices[i], random[i]));
    return collate_with(collate, std::span{samples}, CollateContext{indices});
  }
}

template <class D, class Collate>
using random_batch_t = decltype(fetch_random(std::declval<std::remove_cvref_t<D> const&>(), std::span<std::int64_t>{},
                                             std::span<Random>{}, std::declval<Collate const&>()));

}  // namespace detail

/// A dataset whose batches go through transforms: `transformed` makes it.
template <class D, class Transform, class Collate>
  requires dataset<D>
class TransformedView {
 public:
  TransformedView(D&& base, Transform transform, Collate collate)
      : base_{std::forward<D>(base)}, transform_{std::move(transform)}, collate_{std::move(collate)} {
    transform::detail::check(transform_);
  }

  std::int64_t size() const { return static_cast<std::int64_t>(base().size()); }

  /// Requires: one generator for each index.
  /// Throws: what the dataset and the transforms throw. Cost: one list of indices beside theirs.
  auto get_batch(std::span<std::int64_t const> indices, std::span<Random> random) const
    requires transform::batch_transform<Transform, detail::random_batch_t<D, Collate>>
  {
    std::vector<std::int64_t> scratch(indices.begin(), indices.end());
    return transform::detail::apply(transform_, detail::fetch_random(base(), scratch, random, collate_), random);
  }

  std::remove_cvref_t<D> const& base() const& noexcept { return base_.get(); }
  void base() const&& = delete;

 private:
  OwnedOrBorrowed<D> base_;
  Transform transform_;
  Collate collate_;
};

/// A dataset whose samples are mixed with others of it: `mixed` makes it.
template <class D, class Mix, class Collate>
  requires dataset<D>
class MixedView {
  using batch_type = detail::random_batch_t<D, Collate>;

 public:
  MixedView(D&& base, Mix mix, Collate collate) : base_{std::forward<D>(base)}, mix_{std::move(mix)}, collate_{std::move(collate)} {
    transform::detail::check(mix_);
  }

  std::int64_t size() const { return static_cast<std::int64_t>(base().size()); }

  /// Requires: one generator for each index.
  /// Throws: what the dataset and the mix throw. Cost: two batches of the dataset.
  auto get_batch(std::span<std::int64_t const> indices, std::span<Random> random) const
    requires std::invocable<Mix const&, batch_type, batch_type const&, std::span<Random>>
  {
    std::vector<std::int64_t> partners;
    std::vector<Random> partners_random;
    partners.reserve(random.size());
    partners_random.reserve(random.size());
    for (Random& one : random) {
      partners.push_back(one.below(size()));
      partners_random.emplace_back(one());
    }
    std::vector<std::int64_t> scratch(indices.begin(), indices.end());
    batch_type batch = detail::fetch_random(base(), scratch, random, collate_);
    batch_type const others = detail::fetch_random(base(), partners, partners_random, collate_);
    return mix_(std::move(batch), others, random);
  }

  std::remove_cvref_t<D> const& base() const& noexcept { return base_.get(); }
  void base() const&& = delete;

 private:
  OwnedOrBorrowed<D> base_;
  Mix mix_;
  Collate collate_;
};

/// A dataset whose batches go through a transform, with the generators that a loader makes from (seed, epoch, index).
///
/// The transform is called as `f(batch, random)` where it can be, else as `f(input, random)` for the batch's inputs;
/// `random` is a `std::span<Random>`. Indices are those of the transformed view: what is split before it is transformed
/// counts from 0. A dataset that draws itself draws from the same generators first. An lvalue is borrowed.
/// Throws: ConfigError where a transform's options cannot be used.
/// Example: `data::transformed(train, transform::Sequence{transform::HorizontalFlip{}, transform::Normalize{{0.5}, {0.2}}})`
template <dataset D, class Transform, class Collate = DefaultCollate>
auto transformed(D&& data, Transform transform, Collate collate = {}) {
  return TransformedView<D, Transform, Collate>{std::forward<D>(data), std::move(transform), std::move(collate)};
}

/// A dataset whose samples are mixed by `MixUp` or `CutMix`, each with a partner that its own generator chooses from the
/// whole dataset: neither batch size nor number of workers or ranks changes a sample.
/// Throws: ConfigError where the mix's options cannot be used.
/// Example: `data::mixed(data::transformed(train, augment), transform::MixUp{.classes = 10})`
template <dataset D, class Mix, class Collate = DefaultCollate>
auto mixed(D&& data, Mix mix, Collate collate = {}) {
  return MixedView<D, Mix, Collate>{std::forward<D>(data), std::move(mix), std::move(collate)};
}

}  // namespace tacit::inline v0::data
