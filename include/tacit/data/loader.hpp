#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/concepts/dataset.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/required.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/fetch.hpp"
#include "tacit/data/owned_or_borrowed.hpp"
#include "tacit/data/shuffle.hpp"

namespace tacit::inline v0::data {

/// How a loader makes batches.
struct LoaderOptions {
  required<Samples> batch_size;  ///< of one process
  bool shuffle = false;          ///< a new order each epoch, from (seed, epoch)
  bool drop_last = false;        ///< leaves out the last batch of an epoch if it is incomplete on any rank
  Seed seed = unset;             ///< of the order; the run's seed where not given
};

/// Batches of a dataset, fetched on the calling thread.
///
/// A step's *global batch* is `batch_size * world_size` consecutive samples of the epoch's order, and rank r takes the
/// r-th chunk of it: together the ranks see what one process with that batch size sees. The last global batch is dealt
/// as evenly as possible, so that a rank may have one sample fewer than another, or none.
/// Batches may be views of the dataset's memory: they are to be read.
/// Cost: no allocation after the first `start_epoch` but the dataset's own; the order is kept for about 65536 samples.
/// Example: `auto batches = data::loader(train, {.batch_size = 32, .shuffle = true});`
template <class D>
  requires dataset<D>
class Loader {
 public:
  using dataset_type = std::remove_cvref_t<D>;
  using batch_type = batch_of_t<D>;

  /// Throws: ConfigError for a batch size of 0 or an epoch of 0 batches, DataError for an empty dataset.
  Loader(D&& data, LoaderOptions const& options) : data_{std::forward<D>(data)}, options_{options} {
    if (options_.batch_size->value() < 1) {
      throw ConfigError{"TACIT-RC11",
                        std::string{"the batch size is "} + (options_.batch_size->is_set() ? "0" : "not given"),
                        "loader", "give .batch_size = 1 or more"};
    }
    samples_ = static_cast<std::int64_t>(std::as_const(data_).get().size());
    if (samples_ < 1) {
      throw DataError{"TACIT-RD10", "the dataset is empty: its length is " + std::to_string(samples_), "loader",
                      "check where the data come from"};
    }
    share(0, 1);
  }

  LoaderOptions const& options() const noexcept { return options_; }
  dataset_type const& base() const noexcept { return data_.get(); }
  /// Samples of the dataset.
  std::int64_t samples() const noexcept { return samples_; }

  /// Batches of an epoch for each of `world_size` ranks.
  /// Throws: ConfigError for a world size below 1.
  std::int64_t size(int world_size) const {
    check_rank(0, world_size);
    std::int64_t const global = global_batch_size(world_size);
    return samples_ / global + (samples_ % global != 0 && !options_.drop_last ? 1 : 0);
  }
  /// Batches of the current epoch; of one process before `start_epoch`.
  std::int64_t size() const noexcept { return size_; }
  /// Batches taken since `start_epoch`; one whose fetch failed counts.
  std::int64_t position() const noexcept { return position_; }

  /// Samples of this rank in a batch of the current epoch.
  /// Throws: UsageError for a batch outside [0, size()).
  std::int64_t batch_samples(std::int64_t batch) const {
    check(batch);
    return count(batch);
  }

  /// Samples of all ranks in a batch of the current epoch.
  /// Throws: UsageError for a batch outside [0, size()).
  std::int64_t global_batch_samples(std::int64_t batch) const {
    check(batch);
    return std::min(global_, samples_ - batch * global_);
  }

  /// Begins an epoch; the order depends on seed and epoch only.
  /// Throws: ConfigError for a rank outside [0, world_size) or an epoch of 0 batches.
  void start_epoch(std::uint64_t seed, EpochIndex epoch, int rank = 0, int world_size = 1) {
    share(rank, world_size);
    epoch_ = epoch;
    if (options_.shuffle) order_ = ShuffledOrder{samples_, options_.seed.value_or(seed), epoch};
    position_ = 0;
    prepared_ = 0;
    started_ = true;
  }

  /// Fetches this rank's next batch; false at the end of the epoch.
  ///
  /// `into` is emptied before the fetch, so that its memory can serve again; it stays empty for a batch without samples
  /// on this rank.
  /// Throws: UsageError before `start_epoch`; DataError with the dataset's exception nested in it.
  bool next(std::optional<batch_type>& into) {
    into.reset();
    if (position_ == size_) return false;
    if (position_ == prepared_) prepare();
    std::span<std::int64_t> const indices =
        std::span{indices_}.subspan(used_, static_cast<std::size_t>(count(position_)));
    used_ += indices.size();
    ++position_;
    if (indices.empty()) return true;
    try {
      into.emplace(fetch(data_.get(), indices));
    } catch (std::exception const& error) {
      fail(indices, error.what());
    } catch (...) {
      fail(indices, "an exception that is no std::exception");
    }
    return true;
  }

 private:
  /// Consecutive positions of the epoch's order.
  struct Chunk {
    std::int64_t first;
    std::int64_t count;
  };

  static constexpr std::int64_t order_window = 65536;

  std::int64_t global_batch_size(int world_size) const noexcept {
    // More than the dataset has makes no difference, and so the product cannot overflow unnoticed.
    std::int64_t const local = std::min(options_.batch_size->value(), samples_);
    std::int64_t const most = std::numeric_limits<std::int64_t>::max() / world_size;
    return local > most ? std::numeric_limits<std::int64_t>::max() : local * world_size;
  }

  static void check_rank(int rank, int world_size) {
    if (world_size < 1 || rank < 0 || rank >= world_size) {
      throw ConfigError{"TACIT-RC12",
                        "there is no rank " + std::to_string(rank) + " among " + std::to_string(world_size) + " ranks",
                        "loader", "give a rank from 0 to world_size - 1"};
    }
  }

  void share(int rank, int world_size) {
    check_rank(rank, world_size);
    bool const too_few = options_.batch_size->value() > samples_ || samples_ < global_batch_size(world_size);
    if (options_.drop_last && too_few) {
      throw ConfigError{"TACIT-RC13",
                        "0 batches: drop_last leaves nothing of " + std::to_string(samples_) +
                            " samples with batch size " + std::to_string(options_.batch_size->value()) + " on " +
                            std::to_string(world_size) + (world_size == 1 ? " rank" : " ranks"),
                        "loader", "take a smaller batch size or drop_last = false"};
    }
    rank_ = rank;
    world_size_ = world_size;
    global_ = global_batch_size(world_size);
    size_ = size(world_size);
    full_count_ = chunk(0).count;
    last_count_ = chunk(size_ - 1).count;
  }

  void check(std::int64_t batch) const {
    if (batch < 0 || batch >= size_) refuse(batch);
  }
  // On its own, so that the check is small enough to be inlined.
  [[noreturn]] void refuse(std::int64_t batch) const {
    throw UsageError{"TACIT-RD11", "there is no batch " + std::to_string(batch) + " in an epoch of " + std::to_string(size_),
                     "loader", "ask for batches from 0 to size() - 1"};
  }

  /// This rank's samples in a batch: all but the last one are alike.
  std::int64_t count(std::int64_t batch) const noexcept { return batch + 1 == size_ ? last_count_ : full_count_; }

  Chunk chunk(std::int64_t batch) const {
    std::int64_t const total = std::min(global_, samples_ - batch * global_);
    std::int64_t const even = total / world_size_;
    std::int64_t const larger = total % world_size_;  // this many ranks, the first ones, have one more
    return {batch * global_ + rank_ * even + std::min<std::int64_t>(rank_, larger), even + (rank_ < larger ? 1 : 0)};
  }

  /// Writes down the order of the next batches, at most `order_window` samples but at least one batch.
  void prepare() {
    if (!started_) {
      throw UsageError{"TACIT-RD12", "a batch was asked for before the first epoch", "loader",
                       "call start_epoch(seed, epoch) first"};
    }
    std::int64_t total = 0;
    while (prepared_ < size_) {
      if (total != 0 && count(prepared_) > order_window - total) break;
      total += count(prepared_);
      ++prepared_;
    }
    indices_.resize(static_cast<std::size_t>(total));
    used_ = 0;
    std::span<std::int64_t> rest{indices_};
    for (std::int64_t batch = position_; batch < prepared_; ++batch) {
      Chunk const part = chunk(batch);
      std::span<std::int64_t> const into = rest.first(static_cast<std::size_t>(part.count));
      if (order_) {
        order_->fill(part.first, into);
      } else {
        std::iota(into.begin(), into.end(), part.first);
      }
      rest = rest.subspan(into.size());
    }
  }

  [[noreturn]] void fail(std::span<std::int64_t const> indices, std::string const& reason) const {
    constexpr std::size_t most = 8;
    std::string list;
    for (std::int64_t const index : indices.first(std::min(indices.size(), most))) {
      list.append(list.empty() ? "" : ", ").append(std::to_string(index));
    }
    if (indices.size() > most) list.append(", ... (").append(std::to_string(indices.size())).append(" in all)");
    std::throw_with_nested(
        DataError{"TACIT-RD13", "fetching samples " + list + " failed: " + reason,
                  "loader, epoch " + std::to_string(epoch_.value()) + ", batch " + std::to_string(position_ - 1),
                  "the dataset's own exception is nested in this one"});
  }

  OwnedOrBorrowed<D> data_;
  LoaderOptions options_;
  std::int64_t samples_ = 0;
  int rank_ = 0;
  int world_size_ = 1;
  std::int64_t global_ = 1;
  std::int64_t size_ = 0;
  std::int64_t full_count_ = 0;  // of this rank in a batch
  std::int64_t last_count_ = 0;  // of this rank in the last batch
  std::int64_t position_ = 0;
  std::int64_t prepared_ = 0;  // batches whose order stands in indices_
  std::size_t used_ = 0;       // indices of indices_ handed out
  bool started_ = false;
  EpochIndex epoch_{};
  std::optional<ShuffledOrder> order_;
  std::vector<std::int64_t> indices_;
};

/// A loader over a dataset: an lvalue is borrowed and must outlive the loader, an rvalue is taken over.
/// Throws: ConfigError for a batch size of 0 or an epoch of 0 batches, DataError for an empty dataset.
template <class D>
  requires dataset<D>
Loader<D> loader(D&& data, LoaderOptions const& options) {
  return {std::forward<D>(data), options};
}

namespace detail {
/// What `loader` gives for something that is no dataset: takes every use, so that the one numbered error is the only
/// one.
template <class Bad>
struct RefusedLoader {
  using refused = Bad;
  std::int64_t size(auto&&...) const { return 0; }
  std::int64_t samples() const { return 0; }
  std::int64_t position() const { return 0; }
  std::int64_t batch_samples(auto&&...) const { return 0; }
  std::int64_t global_batch_samples(auto&&...) const { return 0; }
  void start_epoch(auto&&...) {}
  bool next(auto&&...) { return false; }
};
}  // namespace detail

template <class D>
  requires(!dataset<D>)
auto loader(D&&, LoaderOptions const&) {
  // A plain call: clang would report one in a constant expression twice.
  tacit::detail::report(tacit::detail::refused_dataset<D>{});
  return detail::RefusedLoader<tacit::detail::refused_dataset<D>>{};
}

}  // namespace tacit::inline v0::data
