#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/random.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/shuffle.hpp"
#include "tacit/data/units.hpp"

namespace tacit::inline v0::data {

/// What the order of an epoch may depend on.
struct OrderRequest {
  std::int64_t samples = 0;       ///< of the dataset
  std::uint64_t seed = 0;         ///< of the run or loader
  EpochIndex epoch{};
  std::int64_t global_batch = 1;  ///< samples of a full step, all ranks together
  int world_size = 1;
};

/// Which samples an epoch has and in which order: a pure function of (seed, epoch, index).
///
/// `count(samples)` is the number of positions of an epoch over a dataset of that size; it throws where the sampler does
/// not fit the dataset. `order(request)` gives an object whose `fill(first, into)` writes the samples at positions
/// first, first + 1, ... A loader cuts the positions into batches and deals them to the ranks.
template <class S>
concept sampler = requires(S const& sampler, std::int64_t samples, OrderRequest const& request, std::span<std::int64_t> into) {
  { sampler.count(samples) } -> std::same_as<std::int64_t>;
  sampler.order(request).fill(samples, into);
};

namespace detail {

/// A place with what it is sorted by; one type for all, and no std::pair: both spare compile time.
struct Ranked {
  double key;
  std::int64_t place;
  friend bool operator<(Ranked const& a, Ranked const& b) noexcept { return a.key < b.key || (a.key == b.key && a.place < b.place); }
};


inline std::uint64_t epoch_key(OrderRequest const& request) noexcept {
  return absorb(absorb(order_purpose, request.seed), static_cast<std::uint64_t>(request.epoch.value()));
}

/// The samples of an epoch, written down; shared, so that an order is cheap to move.
struct ListedOrder {
  std::vector<std::int64_t> samples{};
  void fill(std::int64_t first, std::span<std::int64_t> into) const {
    std::copy_n(samples.begin() + first, into.size(), into.begin());
  }
};

inline void check_sizes(char const* where, char const* what, std::size_t given, std::int64_t samples) {
  if (static_cast<std::int64_t>(given) != samples) {
    throw ConfigError{"TACIT-RC16",
                      tacit::detail::message({given, " ", what, " for a dataset of ", samples, " samples"}),
                      where, "give one for each sample"};
  }
}

inline void check_weights(std::vector<double> const& weights) {
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0) || std::isinf(weights[i])) {
      throw ConfigError{"TACIT-RC17", tacit::detail::message({"the weight of sample ", i, " is ", std::to_string(weights[i])}),
                        "WeightedSampler", "give finite weights of at least 0"};
    }
    sum += weights[i];
  }
  if (!(sum > 0) || std::isinf(sum)) {
    throw ConfigError{"TACIT-RC17", tacit::detail::message({"the weights add up to ", std::to_string(sum)}), "WeightedSampler",
                      "give at least one weight above 0, and a finite sum"};
  }
}

}  // namespace detail

/// The samples in the dataset's order.
struct SequentialSampler {
  struct Order {
    void fill(std::int64_t first, std::span<std::int64_t> into) const noexcept { std::iota(into.begin(), into.end(), first); }
  };
  std::int64_t count(std::int64_t samples) const noexcept { return samples; }
  Order order(OrderRequest const&) const noexcept { return {}; }
};

/// Every sample once, in a new order each epoch; `ShuffledOrder` tells how.
struct ShuffledSampler {
  std::int64_t count(std::int64_t samples) const noexcept { return samples; }
  ShuffledOrder order(OrderRequest const& request) const { return {request.samples, request.seed, request.epoch}; }
};

/// Samples drawn at random, each as often as its weight says.
///
/// With replacement a position draws from the running sums of the weights, independent of all other positions. Without,
/// the samples come in the order of u^(1/weight), u uniform per sample (Efraimidis, Spirakis: Weighted random sampling
/// with a reservoir, 2006); samples of weight 0 never come.
/// Cost: with replacement O(log n) a position and O(n) once an epoch; without, O(n log n) an epoch.
struct WeightedSampler {
  std::vector<double> weights{};  ///< one for each sample; they need not add up to 1
  Samples samples = unset;        ///< positions of an epoch; where not given, as many as there are samples (of weight above 0, without replacement)
  bool replacement = true;        ///< whether a sample may come again within an epoch

  class Order {
   public:
    Order(std::vector<double> const& weights, std::uint64_t key) : key_{key}, sums_(weights.size()) {
      std::partial_sum(weights.begin(), weights.end(), sums_.begin());
    }
    explicit Order(std::vector<std::int64_t>&& listed) : listed_{std::move(listed)} {}

    void fill(std::int64_t first, std::span<std::int64_t> into) const {
      if (sums_.empty()) return listed_.fill(first, into);
      for (std::int64_t& sample : into) {
        double const at = Random{detail::absorb(key_, static_cast<std::uint64_t>(first++))}.uniform() * sums_.back();
        auto const found = std::ranges::upper_bound(sums_, at);  // the first sum above `at`: never a sample of weight 0
        sample = static_cast<std::int64_t>((found != sums_.end() ? found : std::ranges::lower_bound(sums_, sums_.back())) - sums_.begin());
      }
    }

   private:
    std::uint64_t key_ = 0;
    std::vector<double> sums_{};
    detail::ListedOrder listed_{};
  };

  /// Throws: ConfigError for weights that are not one per sample, negative, not finite or all 0, and for more positions
  /// than can be drawn without replacement.
  std::int64_t count(std::int64_t dataset_size) const {
    detail::check_sizes("WeightedSampler", "weights", weights.size(), dataset_size);
    detail::check_weights(weights);
    if (replacement) return samples.value_or(dataset_size);
    std::int64_t const positive = std::ranges::count_if(weights, [](double weight) { return weight > 0; });
    std::int64_t const wanted = samples.value_or(positive);
    if (wanted > positive) {
      throw ConfigError{"TACIT-RC18", tacit::detail::message({wanted, " samples without replacement from ", positive, " of weight above 0"}),
                        "WeightedSampler", "take fewer, or replacement = true"};
    }
    return wanted;
  }

  Order order(OrderRequest const& request) const {
    std::uint64_t const key = detail::epoch_key(request);
    if (replacement) return {weights, key};
    std::vector<detail::Ranked> ranked;
    ranked.reserve(weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!(weights[i] > 0)) continue;
      double const u = 1.0 - Random{detail::absorb(key, i)}.uniform();  // in (0, 1]
      ranked.push_back({-std::log(u) / weights[i], static_cast<std::int64_t>(i)});
    }
    std::sort(ranked.begin(), ranked.end());
    std::vector<std::int64_t> listed(static_cast<std::size_t>(count(request.samples)));
    for (std::size_t i = 0; i < listed.size(); ++i) listed[i] = ranked[i].place;
    return Order{std::move(listed)};
  }
};

/// Every class equally often: each run of as many positions as there are classes has one sample of each.
///
/// A class's samples come in a shuffled order of their own, each once before any comes again.
struct ClassBalancedSampler {
  std::vector<std::int64_t> labels{};  ///< the class of each sample; any numbers
  Samples samples = unset;             ///< positions of an epoch; as many as the dataset has where not given

  class Order {
   public:
    Order(std::vector<std::int64_t> const& labels, std::uint64_t key) : key_{key}, sorted_(labels.size()) {
      std::iota(sorted_.begin(), sorted_.end(), 0);
      auto const label = [&](std::int64_t sample) { return labels[static_cast<std::size_t>(sample)]; };
      std::ranges::sort(sorted_, {}, [&](std::int64_t sample) { return std::pair{label(sample), sample}; });
      for (std::size_t i = 0; i < sorted_.size(); ++i) {
        if (i == 0 || label(sorted_[i]) != label(sorted_[i - 1])) starts_.push_back(static_cast<std::int64_t>(i));
      }
      starts_.push_back(static_cast<std::int64_t>(sorted_.size()));
    }

    void fill(std::int64_t first, std::span<std::int64_t> into) const {
      auto const classes = static_cast<std::int64_t>(starts_.size()) - 1;
      for (std::int64_t& sample : into) {
        std::int64_t const round = first / classes;
        std::int64_t const chosen = shuffled(classes, 0, round, first % classes);
        auto const at = static_cast<std::size_t>(chosen);
        std::int64_t const size = starts_[at + 1] - starts_[at];
        std::int64_t const member = shuffled(size, chosen + 1, round / size, round % size);
        sample = sorted_[static_cast<std::size_t>(starts_[at] + member)];
        ++first;
      }
    }

   private:
    std::int64_t shuffled(std::int64_t size, std::int64_t stream, std::int64_t round, std::int64_t position) const {
      std::uint64_t const key = detail::absorb(detail::absorb(key_, static_cast<std::uint64_t>(stream)), static_cast<std::uint64_t>(round));
      return ShuffledOrder{size, key}[position];
    }

    std::uint64_t key_;
    std::vector<std::int64_t> sorted_;  // samples, by class
    std::vector<std::int64_t> starts_{};  // of each class in sorted_, and the end
  };

  /// Throws: ConfigError where there is not one label for each sample.
  std::int64_t count(std::int64_t dataset_size) const {
    detail::check_sizes("ClassBalancedSampler", "labels", labels.size(), dataset_size);
    return samples.value_or(dataset_size);
  }
  Order order(OrderRequest const& request) const { return {labels, detail::epoch_key(request)}; }
};

/// Samples of similar length in one batch: every sample once, little padding, batches in random order.
///
/// The epoch's shuffled order is cut into windows of some batches; each window is sorted by length and cut into
/// batches, which are then shuffled. An incomplete batch stays last.
/// Cost: O(n log n) an epoch and 8 bytes a sample.
struct BucketedSampler {
  std::vector<std::int64_t> lengths{};  ///< of each sample
  Batches window = 100;                 ///< batches that are sorted together: more means less padding and less chance
  bool shuffle = true;                  ///< false: batches of rising length within each window, from the dataset's order

  /// Throws: ConfigError where there is not one length for each sample, or the window is below 1.
  std::int64_t count(std::int64_t samples) const {
    detail::check_sizes("BucketedSampler", "lengths", lengths.size(), samples);
    if (window.value() < 1) {
      throw ConfigError{"TACIT-RC19", window.is_set() ? "the window is 0 batches" : "the window is not given", "BucketedSampler",
                        "give a window of 1 or more"};
    }
    return samples;
  }

  detail::ListedOrder order(OrderRequest const& request) const {
    std::int64_t const batch = std::min(request.global_batch, request.samples);
    std::int64_t const batches = request.samples / batch;
    std::vector<std::int64_t> order(static_cast<std::size_t>(request.samples));
    if (shuffle) {
      ShuffledOrder{request.samples, request.seed, request.epoch}.fill(0, order);
    } else {
      std::iota(order.begin(), order.end(), 0);
    }
    std::vector<detail::Ranked> keyed;  // by length, in a window: equal lengths keep their order
    std::vector<std::int64_t> part;
    for (std::int64_t first = 0; first < request.samples;) {
      std::int64_t const left = request.samples - first;
      std::int64_t const size = left / batch < window.value() ? left : window.value() * batch;
      part.assign(order.begin() + first, order.begin() + first + size);
      keyed.clear();
      for (std::int64_t const sample : part) {
        keyed.push_back({static_cast<double>(lengths[static_cast<std::size_t>(sample)]), static_cast<std::int64_t>(keyed.size())});
      }
      std::sort(keyed.begin(), keyed.end());
      for (auto const& one : keyed) order[static_cast<std::size_t>(first++)] = part[static_cast<std::size_t>(one.place)];
    }
    if (!shuffle) return {std::move(order)};
    std::vector<std::int64_t> result(order.size());
    ShuffledOrder const dealt{batches, detail::absorb(detail::epoch_key(request), 1)};
    for (std::int64_t i = 0; i < batches; ++i) {
      std::copy_n(order.begin() + dealt[i] * batch, batch, result.begin() + i * batch);
    }
    std::copy(order.begin() + batches * batch, order.end(), result.begin() + batches * batch);
    return {std::move(result)};
  }
};

/// A part of the dataset for each rank, so that a process reads only its own: consecutive samples, sizes differing by
/// at most one. The order then depends on the number of ranks, unlike all others'.
struct PerRankSampler {
  bool shuffle = true;  ///< each part in a new order each epoch

  class Order {
   public:
    Order(OrderRequest const& request, bool shuffle) : request_{request}, shuffle_{shuffle} {
      std::uint64_t const key = detail::epoch_key(request);
      for (int rank = 0; rank < request.world_size; ++rank) {
        parts_.emplace_back(part_first(rank + 1) - part_first(rank), detail::absorb(key, static_cast<std::uint64_t>(rank)));
      }
    }

    void fill(std::int64_t first, std::span<std::int64_t> into) const {
      for (std::int64_t& sample : into) sample = at(first++);
    }

   private:
    std::int64_t part_first(int rank) const {
      std::int64_t const world = request_.world_size;
      return rank * (request_.samples / world) + std::min<std::int64_t>(rank, request_.samples % world);
    }

    /// The loader deals a step's samples in chunks, the first ranks one more where they do not come out even.
    std::int64_t at(std::int64_t position) const {
      std::int64_t const world = request_.world_size;
      std::int64_t const step = position / request_.global_batch;
      std::int64_t const total = std::min(request_.global_batch, request_.samples - step * request_.global_batch);
      std::int64_t const within = position % request_.global_batch;
      std::int64_t const even = total / world;
      std::int64_t const larger = total % world;
      std::int64_t const in_larger = larger * (even + 1);
      std::int64_t const rank = within < in_larger ? within / (even + 1) : larger + (within - in_larger) / even;
      std::int64_t const chunk = rank * even + std::min(rank, larger);
      std::int64_t const place = step * (request_.global_batch / world) + within - chunk;
      auto const& part = parts_[static_cast<std::size_t>(rank)];
      return part_first(static_cast<int>(rank)) + (shuffle_ ? part[place] : place);
    }

    OrderRequest request_;
    bool shuffle_;
    std::vector<ShuffledOrder> parts_{};
  };

  std::int64_t count(std::int64_t samples) const noexcept { return samples; }
  Order order(OrderRequest const& request) const { return {request, shuffle}; }
};

}  // namespace tacit::inline v0::data
