#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <range/v3/iterator/operations.hpp>
#include <range/v3/range/access.hpp>
#include <range/v3/range/concepts.hpp>
#include <range/v3/range/conversion.hpp>
#include <range/v3/range/primitives.hpp>
#include <range/v3/view/filter.hpp>
#include <range/v3/view/iota.hpp>
#include <range/v3/view/transform.hpp>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/dataset.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/random.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/fetch.hpp"
#include "tacit/data/owned_or_borrowed.hpp"

/// Lazy views over datasets: each is a dataset itself, copies no sample, and may be asked from several threads at once.
///
/// A dataset or range given as an lvalue is borrowed and has to outlive the view; an rvalue is moved into it.
/// Example: `auto const part = data | data::views::take(1000) | data::views::map(normalise);`
namespace tacit::inline v0::data {

namespace detail {

template <class D>
concept has_get = requires(std::remove_cvref_t<D> const& data, std::int64_t index) {
  requires std::is_object_v<std::remove_cvref_t<decltype(data.get(index))>>;
};

/// A random-access range of sample numbers that can be read while const.
template <class R>
concept sample_numbers = ranges::random_access_range<std::remove_cvref_t<R> const> &&
                         ranges::sized_range<std::remove_cvref_t<R> const> &&
                         std::integral<ranges::range_value_t<std::remove_cvref_t<R> const>>;

[[noreturn]] inline void refuse_sample(std::int64_t index, std::int64_t size, char const* where) {
  throw DataError{"TACIT-RD100",
                  tacit::detail::message({"sample ", index, " of ", size, " was asked for"}), where,
                  "ask for samples from 0 to size - 1"};
}

inline void check_samples(std::span<std::int64_t const> indices, std::int64_t size, char const* where) {
  for (std::int64_t const index : indices) {
    if (index < 0 || index >= size) refuse_sample(index, size, where);
  }
}

/// `fetch` for indices that are not ours to overwrite.
template <dataset D>
batch_of_t<D> fetch_unchanged(D const& data, std::span<std::int64_t const> indices) {
  if constexpr (index_view<D>) {
    std::vector<std::int64_t> scratch(indices.begin(), indices.end());
    return fetch(data, scratch);
  } else {
    return data.get_batch(indices);
  }
}

/// first, first + step, ... : what `take`, `drop` and `slice` choose.
struct Affine {
  std::int64_t first = 0;
  std::int64_t step = 1;
  std::int64_t operator()(std::int64_t position) const noexcept { return first + step * position; }
};
inline auto affine(std::int64_t first, std::int64_t count, std::int64_t step) {
  return ranges::views::iota(std::int64_t{0}, count) | ranges::views::transform(Affine{first, step});
}

}  // namespace detail

/// Some samples of a dataset in an order of their own: `take`, `drop`, `slice`, `filter` and `reorder` make it.
///
/// `D` is the type of an owned dataset or a reference to a borrowed one, `Numbers` likewise a range of sample numbers.
template <class D, class Numbers>
  requires dataset<D> && detail::sample_numbers<Numbers>
class IndexView {
 public:
  using index_view_type = IndexView;

  /// Requires: every number lies in [0, base.size()); the makers check.
  IndexView(D&& base, Numbers&& numbers) : base_{std::forward<D>(base)}, numbers_{std::forward<Numbers>(numbers)} {}

  std::int64_t size() const { return static_cast<std::int64_t>(ranges::size(numbers_.get())); }

  /// Throws: DataError for an index outside [0, size).
  /// Cost: one list of indices beside the dataset's own; a loader avoids it by `map_indices`.
  auto get_batch(std::span<std::int64_t const> indices) const
    requires tacit::detail::has_get_batch<std::remove_cvref_t<D>>
  {
    std::vector<std::int64_t> mapped(indices.begin(), indices.end());
    map_indices(mapped);
    return fetch(base(), mapped);
  }
  auto get_batch(std::span<std::int64_t const> indices, std::span<Random> random) const
    requires tacit::detail::has_random_get_batch<std::remove_cvref_t<D>>
  {
    std::vector<std::int64_t> mapped(indices.begin(), indices.end());
    map_indices(mapped);
    return base().get_batch(mapped, random);
  }

  auto get(std::int64_t index) const
    requires detail::has_get<D>
  {
    map_indices({&index, 1});
    return base().get(index);
  }

  /// Replaces each index into this view by the index into `base()`.
  /// Throws: DataError for an index outside [0, size).
  void map_indices(std::span<std::int64_t> in_place) const {
    detail::check_samples(in_place, size(), "IndexView");
    // A const random-access range is read by position only: nothing is iterated, nothing is shared between threads.
    auto const first = ranges::begin(std::as_const(numbers_.get()));
    for (std::int64_t& index : in_place) {
      index = static_cast<std::int64_t>(first[static_cast<ranges::iter_difference_t<decltype(first)>>(index)]);
    }
  }

  std::remove_cvref_t<D> const& base() const& noexcept { return base_.get(); }
  void base() const&& = delete;

 private:
  OwnedOrBorrowed<D> base_;
  OwnedOrBorrowed<Numbers> numbers_;
};

/// A dataset whose batches, and samples where it has `get`, go through a function: `map` makes it.
///
/// The function is called as `f(batch, indices)` where it can be, else as `f(batch)`; for samples as `f(sample, index)`
/// or `f(sample)`. The indices are those of the dataset that is mapped, so that random transforms can draw from the
/// samples' own streams. It is const and called from several threads at once.
template <class D, class F>
  requires dataset<D>
class MapView {
  using Indices = std::span<std::int64_t const>;
  static constexpr bool with_indices = std::invocable<F const&, batch_of_t<D>, Indices>;

 public:
  MapView(D&& base, F function) : base_{std::forward<D>(base)}, function_{std::move(function)} {}

  std::int64_t size() const { return static_cast<std::int64_t>(base().size()); }

  auto get_batch(Indices indices) const
    requires tacit::detail::has_get_batch<std::remove_cvref_t<D>> && (with_indices || std::invocable<F const&, batch_of_t<D>>)
  {
    if constexpr (with_indices) {
      return function_(detail::fetch_unchanged(base(), indices), indices);
    } else {
      return function_(detail::fetch_unchanged(base(), indices));
    }
  }

  auto get(std::int64_t index) const
    requires detail::has_get<D> && (requires(F const& f, std::remove_cvref_t<D> const& d) { f(d.get(index), index); } ||
                                    requires(F const& f, std::remove_cvref_t<D> const& d) { f(d.get(index)); })
  {
    if constexpr (requires { function_(base().get(index), index); }) {
      return function_(base().get(index), index);
    } else {
      return function_(base().get(index));
    }
  }

  std::remove_cvref_t<D> const& base() const& noexcept { return base_.get(); }
  void base() const&& = delete;

 private:
  OwnedOrBorrowed<D> base_;
  F function_;
};

/// Joins batches that are vectors, an element a sample; `concatenate` asks for such a function of every batch type.
///
/// Row i of the result is row `places[i]` of the parts set one behind the other. Overloads for other types of batch are
/// found in the type's own namespace.
template <class T>
std::vector<T> join_batches(std::vector<std::vector<T>> parts, std::span<std::int64_t const> places) {
  std::vector<T*> rows;
  for (std::vector<T>& part : parts) {
    for (T& row : part) rows.push_back(&row);
  }
  std::vector<T> joined;
  joined.reserve(places.size());
  // Each row is asked for once.
  for (std::int64_t const place : places) joined.push_back(std::move(*rows[static_cast<std::size_t>(place)]));
  return joined;
}

/// A batch for which there is `join_batches`.
template <class Batch>
concept joinable_batch = requires(std::vector<Batch> parts, std::span<std::int64_t const> places) {
  { join_batches(std::move(parts), places) } -> std::same_as<Batch>;
};

/// The samples of several datasets one behind the other: `concatenate` makes it.
template <class First, class... Rest>
  requires(dataset<First> && (dataset<Rest> && ...))
class ConcatenateView {
 public:
  using batch_type = batch_of_t<First>;
  static_assert((std::same_as<batch_type, batch_of_t<Rest>> && ...), "all datasets give the same type of batch");

  ConcatenateView(First&& first, Rest&&... rest)
      : parts_{OwnedOrBorrowed<First>{std::forward<First>(first)}, OwnedOrBorrowed<Rest>{std::forward<Rest>(rest)}...} {
    std::apply(
        [&](auto const&... part) {
          std::size_t number = 0;
          ((ends_[number] = (number == 0 ? 0 : ends_[number - 1]) + static_cast<std::int64_t>(part.get().size()),
            ++number),
           ...);
        },
        parts_);
  }

  std::int64_t size() const noexcept { return ends_.back(); }

  /// Throws: DataError for an index outside [0, size).
  /// Cost: one batch of each dataset that is touched and one `join_batches`, or nothing where only one is touched.
  batch_type get_batch(std::span<std::int64_t const> indices) const
    requires joinable_batch<batch_type> && tacit::detail::has_get_batch<std::remove_cvref_t<First>> &&
             (tacit::detail::has_get_batch<std::remove_cvref_t<Rest>> && ...)
  {
    detail::check_samples(indices, size(), "ConcatenateView");
    std::array<std::vector<std::int64_t>, count> asked;
    std::vector<std::size_t> owner;
    owner.reserve(indices.size());
    for (std::int64_t const index : indices) {
      std::size_t const part = part_of(index);
      owner.push_back(part);
      asked[part].push_back(index - begin_of(part));
    }
    std::array<std::int64_t, count> next{};  // where the next row of each part lies among all parts' rows
    std::size_t touched = 0;
    for (std::size_t part = 0; part < count; ++part) {
      if (part > 0) next[part] = next[part - 1] + static_cast<std::int64_t>(asked[part - 1].size());
      touched += asked[part].empty() ? 0U : 1U;
    }
    std::vector<batch_type> batches;
    batches.reserve(touched);
    auto add = [&]<std::size_t Part>(std::integral_constant<std::size_t, Part>) {
      bool const only_this = touched == 0 && Part == 0;  // no index at all: an empty batch of the first
      if (!asked[Part].empty() || only_this) batches.push_back(fetch(std::get<Part>(parts_).get(), asked[Part]));
    };
    [&]<std::size_t... Part>(std::index_sequence<Part...>) {
      (add(std::integral_constant<std::size_t, Part>{}), ...);
    }(std::index_sequence_for<First, Rest...>{});
    if (batches.size() == 1) return std::move(batches.front());
    std::vector<std::int64_t> places;
    places.reserve(indices.size());
    for (std::size_t const part : owner) places.push_back(next[part]++);
    return join_batches(std::move(batches), std::span<std::int64_t const>{places});
  }

  auto get(std::int64_t index) const
    requires detail::has_get<First> && (detail::has_get<Rest> && ...)
  {
    detail::check_samples({&index, 1}, size(), "ConcatenateView");
    return get_of<0>(part_of(index), index);
  }

 private:
  static constexpr std::size_t count = 1 + sizeof...(Rest);

  std::size_t part_of(std::int64_t index) const noexcept {
    return static_cast<std::size_t>(std::ranges::upper_bound(ends_, index) - ends_.begin());
  }
  std::int64_t begin_of(std::size_t part) const noexcept { return part == 0 ? 0 : ends_[part - 1]; }

  template <std::size_t Part>
  auto get_of(std::size_t part, std::int64_t index) const {
    if constexpr (Part + 1 < count) {
      if (part > Part) return get_of<Part + 1>(part, index);
    }
    return std::get<Part>(parts_).get().get(index - begin_of(Part));
  }

  std::tuple<OwnedOrBorrowed<First>, OwnedOrBorrowed<Rest>...> parts_;
  std::array<std::int64_t, count> ends_{};
};

/// Datasets of equal size side by side: `zip` makes it. A batch is a pair of batches, or a tuple of more than two.
template <class First, class Second, class... Rest>
  requires(dataset<First> && dataset<Second> && (dataset<Rest> && ...))
class ZipView {
  template <class... T>
  static auto row(T&&... values) {
    if constexpr (sizeof...(T) == 2) {
      return std::pair<std::remove_cvref_t<T>...>{std::forward<T>(values)...};
    } else {
      return std::tuple<std::remove_cvref_t<T>...>{std::forward<T>(values)...};
    }
  }

 public:
  /// Throws: DataError for datasets of unequal size.
  ZipView(First&& first, Second&& second, Rest&&... rest)
      : parts_{OwnedOrBorrowed<First>{std::forward<First>(first)}, OwnedOrBorrowed<Second>{std::forward<Second>(second)},
               OwnedOrBorrowed<Rest>{std::forward<Rest>(rest)}...} {
    std::apply(
        [&](auto const& head, auto const&... tail) {
          size_ = static_cast<std::int64_t>(head.get().size());
          if (!((static_cast<std::int64_t>(tail.get().size()) == size_) && ...)) {
            std::string sizes = std::to_string(size_);
            (sizes.append(", ").append(std::to_string(tail.get().size())), ...);
            throw DataError{"TACIT-RD103", tacit::detail::message({"the datasets have unequal sizes: ", sizes}), "zip",
                            "take as many samples of each: `data | views::take(n)`"};
          }
        },
        parts_);
  }

  std::int64_t size() const noexcept { return size_; }

  auto get_batch(std::span<std::int64_t const> indices) const
    requires tacit::detail::has_get_batch<std::remove_cvref_t<First>> && tacit::detail::has_get_batch<std::remove_cvref_t<Second>> &&
             (tacit::detail::has_get_batch<std::remove_cvref_t<Rest>> && ...)
  {
    return std::apply(
        [&](auto const&... part) { return row(detail::fetch_unchanged(part.get(), indices)...); }, parts_);
  }

  auto get(std::int64_t index) const
    requires detail::has_get<First> && detail::has_get<Second> && (detail::has_get<Rest> && ...)
  {
    return std::apply([&](auto const&... part) { return row(part.get().get(index)...); }, parts_);
  }

 private:
  std::tuple<OwnedOrBorrowed<First>, OwnedOrBorrowed<Second>, OwnedOrBorrowed<Rest>...> parts_;
  std::int64_t size_ = 0;
};

namespace views {

/// What stands right of `|`: a view that still waits for its dataset. Two of them compose by `|`, too.
template <class Make>
class Adaptor {
 public:
  explicit Adaptor(Make make) : make_{std::move(make)} {}

  template <dataset D>
  friend auto operator|(D&& data, Adaptor adaptor) {
    return std::move(adaptor.make_)(std::forward<D>(data));
  }
  template <class Then>
  friend auto operator|(Adaptor first, Adaptor<Then> then) {
    auto both = [first = std::move(first), then = std::move(then)]<dataset D>(D&& data) {
      return std::forward<D>(data) | first | then;
    };
    return Adaptor<decltype(both)>{std::move(both)};
  }

 private:
  Make make_;
};

namespace detail {
template <class D, class Numbers>
auto index_view(D&& data, Numbers&& numbers) {
  return IndexView<D, Numbers>{std::forward<D>(data), std::forward<Numbers>(numbers)};
}
}  // namespace detail

/// The first `count` samples, or all where there are fewer.
inline auto take(Samples count) {
  return Adaptor{[count]<dataset D>(D&& data) {
    auto const size = static_cast<std::int64_t>(data.size());
    std::int64_t const taken = std::min(count.value_or(size), size);
    return detail::index_view(std::forward<D>(data), data::detail::affine(0, taken, 1));
  }};
}

/// All but the first `count` samples.
inline auto drop(Samples count) {
  return Adaptor{[count]<dataset D>(D&& data) {
    auto const size = static_cast<std::int64_t>(data.size());
    std::int64_t const first = std::min(count.value_or(0), size);
    return detail::index_view(std::forward<D>(data), data::detail::affine(first, size - first, 1));
  }};
}

/// Every `step`-th of the samples `first` to `last` - 1.
/// Throws: ConfigError for a step of 0; DataError, when the dataset comes, unless 0 <= first <= last <= its size.
inline auto slice(std::int64_t first, std::int64_t last, Samples step = 1) {
  if (step.value_or(0) < 1) {
    throw ConfigError{"TACIT-RD101", "a step of 0 would choose one sample for ever", "views::slice",
                      "give a step of at least 1"};
  }
  return Adaptor{[first, last, step = step.value()]<dataset D>(D&& data) {
    auto const size = static_cast<std::int64_t>(data.size());
    if (first < 0 || first > last || last > size) {
      throw DataError{"TACIT-RD102",
                      tacit::detail::message({"samples ", first, " to ", last, " of ", size, " were asked for"}),
                      "views::slice", "give 0 <= first <= last <= size"};
    }
    std::int64_t const count = first == last ? 0 : (last - first - 1) / step + 1;
    return detail::index_view(std::forward<D>(data), data::detail::affine(first, count, step));
  }};
}

/// The samples of the given numbers, in their order; a number may stand there more than once.
/// Throws: DataError, when the dataset comes, for a number outside of it.
template <data::detail::sample_numbers Numbers>
auto reorder(Numbers&& numbers) {
  return Adaptor{[numbers = OwnedOrBorrowed<Numbers>{std::forward<Numbers>(numbers)}]<dataset D>(D&& data) {
    auto const size = static_cast<std::int64_t>(data.size());
    for (auto const number : std::as_const(numbers.get())) {
      // Compared as unsigned: negative ones become too large.
      if (static_cast<std::uint64_t>(number) >= static_cast<std::uint64_t>(size)) {
        throw DataError{"TACIT-RD104",
                        tacit::detail::message({"index ", number, " is outside of a dataset of ", size, " samples"}),
                        "views::reorder", "give indices from 0 to size - 1"};
      }
    }
    if constexpr (std::is_reference_v<Numbers>) {
      return IndexView<D, Numbers>{std::forward<D>(data), numbers.get()};
    } else {
      return IndexView<D, Numbers>{std::forward<D>(data), Numbers{numbers.get()}};
    }
  }};
}

/// The samples whose number satisfies a predicate, which is asked once for each when the dataset comes.
/// Example: `data | views::filter([&](std::int64_t i) { return labels[i] != 3; })`.
template <std::predicate<std::int64_t> Predicate>
auto filter(Predicate keep) {
  return Adaptor{[keep = std::move(keep)]<dataset D>(D&& data) {
    auto const size = static_cast<std::int64_t>(data.size());
    auto kept = ranges::views::iota(std::int64_t{0}, size) |
                ranges::views::filter([&keep](std::int64_t index) { return static_cast<bool>(keep(index)); }) |
                ranges::to<std::vector<std::int64_t>>();
    return detail::index_view(std::forward<D>(data), std::move(kept));
  }};
}

/// Every batch (and sample) through a function: see `MapView` for how it is called.
template <class F>
auto map(F function) {
  return Adaptor{[function = std::move(function)]<dataset D>(D&& data) {
    return MapView<D, F>{std::forward<D>(data), function};
  }};
}

/// The samples of all datasets, one dataset behind the other.
template <dataset First, dataset... Rest>
auto concatenate(First&& first, Rest&&... rest) {
  return ConcatenateView<First, Rest...>{std::forward<First>(first), std::forward<Rest>(rest)...};
}

/// The datasets side by side.
/// Throws: DataError for datasets of unequal size.
template <dataset First, dataset Second, dataset... Rest>
auto zip(First&& first, Second&& second, Rest&&... rest) {
  return ZipView<First, Second, Rest...>{std::forward<First>(first), std::forward<Second>(second),
                                         std::forward<Rest>(rest)...};
}

}  // namespace views
}  // namespace tacit::inline v0::data
