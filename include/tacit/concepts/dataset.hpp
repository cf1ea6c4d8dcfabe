#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "tacit/core/misuse.hpp"
#include "tacit/core/random.hpp"
#include "tacit/core/report.hpp"

namespace tacit::inline v0 {

namespace detail {
template <class D>
concept has_size = requires(D const& data) {
  { data.size() } -> std::integral;
};
template <class D>
concept has_get_batch = requires(D const& data, std::span<std::int64_t const> indices) {
  requires std::is_object_v<std::remove_cvref_t<decltype(data.get_batch(indices))>>;
};
template <class D>
concept has_random_get_batch = requires(D const& data, std::span<std::int64_t const> indices, std::span<Random> random) {
  requires std::is_object_v<std::remove_cvref_t<decltype(data.get_batch(indices, random))>>;
};
template <class D>
concept has_get = requires(D const& data, std::int64_t index) {
  requires std::is_object_v<std::remove_cvref_t<decltype(data.get(index))>>;
};
template <class D>
concept has_random_get = requires(D const& data, std::int64_t index, Random& random) {
  requires std::is_object_v<std::remove_cvref_t<decltype(data.get(index, random))>>;
};
}  // namespace detail

/// Samples that can be asked for in batches: `size()` of them, by `get_batch(indices)` or `get_batch(indices, random)`.
///
/// `random` is a `std::span<Random>`, each sample's own generator, made as for `sample_dataset`.
template <class D>
concept batch_dataset =
    detail::has_size<std::remove_cvref_t<D>> &&
    (detail::has_get_batch<std::remove_cvref_t<D>> || detail::has_random_get_batch<std::remove_cvref_t<D>>);

/// Samples that can be asked for one by one: `size()` of them, by `get(index)` or `get(index, random)`.
///
/// `random` is the sample's own generator, made from (seed, epoch, index): what is drawn from it does not depend on who
/// fetches the sample, nor on when.
template <class D>
concept sample_dataset =
    detail::has_size<std::remove_cvref_t<D>> &&
    (detail::has_get<std::remove_cvref_t<D>> || detail::has_random_get<std::remove_cvref_t<D>>);

/// Samples that can be asked for by number: one by one (`get`), in batches (`get_batch`), or both.
///
/// All members are const and may be called from several threads at once. A batch is any object type, usually a struct
/// of tensors whose dimension 0 counts samples. The indices are read during the call only. Where there are both,
/// `get_batch` is the fast way to what `get` and collate would give.
/// Example: `struct Squares { std::int64_t size() const; Sample get(std::int64_t index) const; };`
template <class D>
concept dataset = batch_dataset<D> || sample_dataset<D>;

namespace detail {
template <class D>
decltype(auto) get_batch(D const& data, std::span<std::int64_t const> indices, std::span<Random> random) {
  if constexpr (has_random_get_batch<D>) {
    return data.get_batch(indices, random);
  } else {
    return data.get_batch(indices);
  }
}
}  // namespace detail

/// What a dataset's `get_batch` returns, by value.
template <batch_dataset D>
using batch_of_t = std::remove_cvref_t<decltype(detail::get_batch(
    std::declval<std::remove_cvref_t<D> const&>(), std::declval<std::span<std::int64_t const>>(), std::declval<std::span<Random>>()))>;

namespace detail {
template <class D>
decltype(auto) get_sample(D const& data, std::int64_t index, Random& random) {
  if constexpr (has_random_get<D>) {
    return data.get(index, random);
  } else {
    return data.get(index);
  }
}
}  // namespace detail

/// What a dataset's `get` returns, by value.
template <sample_dataset D>
using sample_of_t = std::remove_cvref_t<decltype(detail::get_sample(
    std::declval<std::remove_cvref_t<D> const&>(), std::int64_t{}, std::declval<Random&>()))>;

/// A dataset that only renumbers the samples of another one, so that a loader can translate indices in place.
///
/// It names itself in `index_view_type`: a type derived from it with a `get_batch` of its own is then no index view,
/// and its `get_batch` is called.
template <class D>
concept index_view = dataset<D> && std::same_as<typename D::index_view_type, D> &&
                     requires(D const& data, std::span<std::int64_t> in_place) {
                       data.map_indices(in_place);
                       { data.base() } -> dataset;
                     };

namespace detail {
/// The first requirement that a dataset does not meet.
template <class D>
consteval misuse missing_in_dataset() {
  if constexpr (!has_size<std::remove_cvref_t<D>>) {
    return misuse::ED01;
  } else if constexpr (!dataset<D>) {
    return misuse::ED02;
  } else {
    return misuse::none;
  }
}
/// What is said of a type that should have been a dataset.
template <class D>
using refused_dataset = bad<missing_in_dataset<D>(), std::remove_cvref_t<D>>;
}  // namespace detail

/// One numbered error for the first requirement of `dataset` that a type lacks.
template <class D>
consteval bool require_dataset() {
  return detail::report(detail::refused_dataset<D>{});
}

/// The least that satisfies `dataset`; loaders are compiled against it.
struct dataset_archetype {
  class batch_type {
   public:
    batch_type(batch_type&&) = default;
    batch_type& operator=(batch_type&&) = delete;

   private:
    friend dataset_archetype;
    batch_type() = default;
  };
  dataset_archetype(dataset_archetype const&) = delete;
  dataset_archetype& operator=(dataset_archetype const&) = delete;
  short size() const { return 1; }
  batch_type get_batch(std::span<std::int64_t const>) const { return {}; }
};

}  // namespace tacit::inline v0
