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
#include "tacit/core/misuse.hpp"
#include "tacit/core/random.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/required.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/collate.hpp"
#include "tacit/data/epoch.hpp"
#include "tacit/data/owned_or_borrowed.hpp"
#include "tacit/data/sampler.hpp"
#include "tacit/data/shuffle.hpp"
#include "tacit/data/units.hpp"
#include "tacit/data/worker_pool.hpp"

namespace tacit::inline v0::data {

/// How a loader makes batches.
struct LoaderOptions {
  required<Samples> batch_size;  ///< of one process
  bool shuffle = false;          ///< a new order each epoch, from (seed, epoch)
  bool drop_last = false;        ///< leaves out the last batch of an epoch if it is incomplete on any rank
  Seed seed = unset;             ///< of the order and of the samples' generators; the run's seed where not given
  Workers workers = 0;           ///< threads that fetch ahead; 0: batches are fetched by the thread that asks for them
  Batches prefetch = unset;      ///< most batches in work or ready, beside the one in use; 2 a worker where not given
};

/// The sampler that a loader has where none is given: in order, or shuffled as the options say.
struct OptionsSampler {
  bool shuffle = false;

  struct Order {
    std::optional<ShuffledOrder> shuffled{};
    void fill(std::int64_t first, std::span<std::int64_t> into) const {
      if (shuffled) {
        shuffled->fill(first, into);
      } else {
        std::iota(into.begin(), into.end(), first);
      }
    }
  };
  std::int64_t count(std::int64_t samples) const noexcept { return samples; }
  Order order(OrderRequest const& request) const {
    if (!shuffle) return {};
    return {ShuffledOrder{request.samples, request.seed, request.epoch}};
  }
};

namespace detail {

/// The first thing that a loader's arguments lack.
template <class D, class Collate, class Sampler>
consteval auto missing_in_loader() {
  using leaf = innermost_t<D>;
  if constexpr (!sampler<Sampler>) {
    return bad<misuse::ED05, Sampler>{};
  } else if constexpr (takes_batches_v<D, Collate>) {
    return bad<misuse::none, D>{};
  } else if constexpr (!sample_dataset<leaf>) {
    return bad<misuse::ED04, Collate, leaf>{};
  } else if constexpr (collate_function<Collate, sample_of_t<leaf>>) {
    return bad<misuse::none, D>{};
  } else if constexpr (std::same_as<Collate, DefaultCollate> || std::same_as<Collate, PadCollate>) {
    return bad<misuse::ED03, sample_of_t<leaf>>{};
  } else {
    return bad<misuse::ED04, Collate, sample_of_t<leaf>>{};
  }
}
template <class D, class Collate, class Sampler>
using refused_loader_t = decltype(missing_in_loader<D, Collate, Sampler>());
template <class D, class Collate, class Sampler>
inline constexpr bool is_loadable_v = refused_loader_t<D, Collate, Sampler>::number == misuse::none;

struct refused_batch {};

/// Makes batches of a dataset; one for each thread, for it keeps the samples' memory.
template <class D, class Collate>
class Fetcher {
 public:
  static consteval auto find_batch() {
    if constexpr (!is_loadable_v<D, Collate, OptionsSampler>) {
      return std::type_identity<refused_batch>{};  // the loader reports why
    } else if constexpr (takes_batches_v<D, Collate>) {
      return std::type_identity<batch_of_t<innermost_t<D>>>{};
    } else {
      using sample = sample_of_t<innermost_t<D>>;
      return std::type_identity<decltype(collate_with(std::declval<Collate const&>(), std::declval<std::span<sample>>(),
                                                      std::declval<CollateContext const&>()))>{};
    }
  }
  using batch_type = typename decltype(find_batch())::type;

  /// `indices` is scratch and holds the innermost dataset's indices afterwards.
  batch_type fetch(D const& data, Collate const& collate, std::uint64_t seed, EpochIndex epoch, std::span<std::int64_t> indices) {
    failing_ = none;
    return from(data, collate, seed, epoch, indices);
  }
  /// What the last `fetch` was at when it threw.
  std::string describe(std::span<std::int64_t const> indices) const {
    if (failing_ != none) return "fetching sample " + std::to_string(failing_);
    constexpr std::size_t most = 8;
    std::string list;
    for (std::int64_t const index : indices.first(std::min(indices.size(), most))) {
      list.append(list.empty() ? "" : ", ").append(std::to_string(index));
    }
    if (indices.size() > most) list.append(", ... (").append(std::to_string(indices.size())).append(" in all)");
    return (takes_batches_v<D, Collate> ? "fetching samples " : "collating samples ") + list;
  }

  /// Throws: DataError TACIT-RD13, with the exception in hand nested in it. To be called in a catch block.
  [[noreturn]] void fail(std::span<std::int64_t const> indices, EpochIndex epoch, std::int64_t batch, std::string const& reason) const {
    std::throw_with_nested(DataError{"TACIT-RD13", tacit::detail::message({describe(indices), " failed: ", reason}),
                                     tacit::detail::message({"loader, epoch ", epoch.value(), ", batch ", batch}),
                                     "the dataset's own exception is nested in this one"});
  }

 private:
  static constexpr std::int64_t none = -1;

  template <class Data>
  batch_type from(Data const& data, Collate const& collate, std::uint64_t seed, EpochIndex epoch, std::span<std::int64_t> indices) {
    if constexpr (index_view<Data>) {
      data.map_indices(indices);
      return from(data.base(), collate, seed, epoch, indices);
    } else if constexpr (takes_batches_v<D, Collate> && tacit::detail::has_random_get_batch<Data>) {
      random_.clear();
      for (std::int64_t const index : indices) random_.emplace_back(sample_stream(seed, epoch, SampleIndex{index}));
      return data.get_batch(indices, std::span{random_});
    } else if constexpr (takes_batches_v<D, Collate>) {
      return data.get_batch(indices);
    } else {
      samples_.clear();
      samples_.reserve(indices.size());
      for (std::int64_t const index : indices) {
        failing_ = index;
        Random random{sample_stream(seed, epoch, SampleIndex{index})};
        samples_.push_back(tacit::detail::get_sample(data, index, random));
      }
      failing_ = none;
      return collate_with(collate, std::span{samples_}, CollateContext{indices});
    }
  }

  struct no_samples {};
  static consteval auto find_samples() {
    if constexpr (!takes_batches_v<D, Collate> && sample_dataset<innermost_t<D>>) {
      return std::type_identity<std::vector<sample_of_t<innermost_t<D>>>>{};
    } else {
      return std::type_identity<no_samples>{};
    }
  }

  [[no_unique_address]] typename decltype(find_samples())::type samples_{};
  struct no_random {};
  using random_type = std::conditional_t<tacit::detail::has_random_get_batch<innermost_t<D>>, std::vector<Random>, no_random>;
  [[no_unique_address]] random_type random_{};
  std::int64_t failing_ = none;
};

/// The pool of a loader that fetches no batch ahead.
struct NoWorkers {
  static constexpr std::size_t outstanding() noexcept { return 0; }
  static constexpr void stop() noexcept {}
};

/// Lets the tensor library of a batch prepare for threads other than the caller's.
template <class Batch>
void before_workers() {
  if constexpr (requires { collation<tensor_in_t<Batch>>::before_workers(); }) collation<tensor_in_t<Batch>>::before_workers();
}

}  // namespace detail

/// Batches of a dataset, fetched on the calling thread or ahead of time by workers.
///
/// A step's *global batch* is `batch_size * world_size` consecutive samples of the epoch's order, and rank r takes the
/// r-th chunk of it: together the ranks see what one process with that batch size sees. The last global batch is dealt
/// as evenly as possible, so that a rank may have one sample fewer than another, or none.
/// Batches may be views of the dataset's memory: they are to be read. They and their order are the same for any number
/// of workers. A loader is used by one thread; its workers are joined when it is destroyed, moved, or throws.
/// Cost: no allocation after the first `start_epoch` but the dataset's own and collate's; the order is kept for about
/// 65536 samples. Workers cost two locks and one wake-up a batch.
/// A loader with `Ahead = false` has no workers, and a program whose loaders all are such has no code for threads.
/// Example: `auto batches = data::loader(train, {.batch_size = 32, .shuffle = true, .workers = 4});`
template <class D, class Collate = DefaultCollate, class Sampler = OptionsSampler, bool Ahead = true>
  requires dataset<D>
class Loader {
  using fetcher_type = detail::Fetcher<std::remove_cvref_t<D>, Collate>;

 public:
  using dataset_type = std::remove_cvref_t<D>;
  using batch_type = typename fetcher_type::batch_type;
  /// A function of the user's makes the batches: it may leave samples out.
  static constexpr bool has_own_collate = !std::same_as<Collate, DefaultCollate> && !std::same_as<Collate, PadCollate>;
  using order_type = std::remove_cvref_t<decltype(std::declval<Sampler const&>().order(OrderRequest{}))>;

  /// Throws: ConfigError for a batch size of 0, an epoch of 0 batches, a sampler that does not fit or contradicts the
  /// options, and impossible numbers of workers; DataError for an empty dataset or sampler.
  Loader(D&& data, LoaderOptions const& options) : Loader{std::forward<D>(data), options, Collate{}, Sampler{options.shuffle}} {}
  Loader(D&& data, LoaderOptions const& options, Collate collate, Sampler sampler)
      : data_{std::forward<D>(data)}, options_{options}, collate_{std::move(collate)}, sampler_{std::move(sampler)} {
    tacit::detail::report(detail::refused_loader_t<dataset_type, Collate, Sampler>{});
    check_options();
    samples_ = static_cast<std::int64_t>(std::as_const(data_).get().size());
    if (samples_ < 1) {
      throw DataError{"TACIT-RD10", tacit::detail::message({"the dataset is empty: its length is ", samples_}), "loader",
                      "check where the data come from"};
    }
    positions_ = sampler_.count(samples_);
    if (positions_ < 1) {
      throw DataError{"TACIT-RD70", tacit::detail::message({"the sampler yields nothing: its length is ", positions_}), "loader",
                      "give a sampler with at least one sample"};
    }
    share(0, 1);
  }
  Loader(Loader const&) = default;
  Loader(Loader&&) = default;
  Loader& operator=(Loader const&) = default;
  Loader& operator=(Loader&&) = default;
  ~Loader() { pool_.stop(); }  // before the data that workers read

  LoaderOptions const& options() const& noexcept { return options_; }
  LoaderOptions options() const&& { return options_; }
  dataset_type const& base() const& noexcept { return data_.get(); }
  void base() const&& = delete;
  Sampler const& order_of_samples() const& noexcept { return sampler_; }
  void order_of_samples() const&& = delete;
  /// Samples of the dataset.
  std::int64_t samples() const noexcept { return samples_; }

  /// Batches of an epoch for each of `world_size` ranks.
  /// Throws: ConfigError for a world size below 1.
  std::int64_t size(int world_size) const {
    check_rank(0, world_size);
    std::int64_t const global = global_batch_size(world_size);
    return positions_ / global + (positions_ % global != 0 && !options_.drop_last ? 1 : 0);
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
    return std::min(global_, positions_ - batch * global_);
  }

  /// Begins an epoch, also while another one is unfinished; the order depends on seed and epoch only.
  /// Throws: ConfigError for a rank outside [0, world_size) or an epoch of 0 batches; UsageError if the dataset's size has changed.
  void start_epoch(std::uint64_t seed, EpochIndex epoch, int rank = 0, int world_size = 1) {
    if (pool_.outstanding() != 0) pool_.stop();
    started_ = false;  // an exception below leaves no half-begun epoch
    if (auto const now = static_cast<std::int64_t>(std::as_const(data_).get().size()); now != samples_) {
      throw UsageError{"TACIT-RD132", tacit::detail::message({"the dataset had ", samples_, " samples when the loader was made, and has ", now}), "loader",
                       "make a new loader once the dataset has changed"};
    }
    share(rank, world_size);
    epoch_ = epoch;
    seed_ = options_.seed.value_or(seed);
    make_order();
    stand_at(0);
    pass_ = ++passes_;
    started_ = true;
  }

  /// Where a loader stands: the epoch that it began, and the batch in it.
  struct Place {
    std::uint64_t pass;  // 0: before the first epoch
    std::uint64_t seed;
    EpochIndex epoch;
    int rank;
    int world_size;
    std::int64_t position;
  };
  Place place() const noexcept { return {started_ ? pass_ : 0, seed_, epoch_, rank_, world_size_, position_}; }
  /// Goes back to a place of this loader, whatever was done with it since; batches that were fetched ahead are fetched again.
  void restore(Place const& place) {
    if (place.pass == 0) return;
    if (pool_.outstanding() != 0) pool_.stop();
    share(place.rank, place.world_size);
    epoch_ = place.epoch;
    seed_ = place.seed;
    order_.reset();  // made when the next batch is wanted
    stand_at(place.position);
    pass_ = place.pass;
    started_ = true;
  }

  /// Goes on at a batch of the epoch; reads none of those before it.
  /// Throws: UsageError before `start_epoch` and for a batch outside [0, size()].
  void seek(std::int64_t batch) {
    check_started();
    if (batch < 0 || batch > size_) {
      throw UsageError{"TACIT-RD71", tacit::detail::message({"cannot go on at batch ", batch, " of ", size_}),
                       "loader", "give a position from 0 to size(), as position() told"};
    }
    if (pool_.outstanding() != 0) pool_.stop();
    stand_at(batch);
  }

  /// Fetches this rank's next batch; false at the end of the epoch.
  ///
  /// `into` is emptied before the fetch, so that its memory can serve again; it stays empty for a batch without samples
  /// on this rank.
  /// Throws: UsageError before `start_epoch`; DataError with the dataset's exception nested in it, once, at the batch
  /// that it belongs to: the next call gives the batch after it.
  bool next(std::optional<batch_type>& into) {
    into.reset();
    check_started();
    if (position_ == size_) return false;
    if constexpr (Ahead) {
      if (options_.workers.value_or(0) != 0) return next_from_workers(into);
    }
    std::span<std::int64_t> const indices = take_indices();
    ++position_;
    if (indices.empty()) return true;
    try {
      into.emplace(fetcher_.fetch(data_.get(), collate_, seed_, epoch_, indices));
    } catch (std::exception const& error) {
      fetcher_.fail(indices, epoch_, position_ - 1, error.what());
    } catch (...) {
      fetcher_.fail(indices, epoch_, position_ - 1, "an exception that is no std::exception");
    }
    return true;
  }

  /// Begins an epoch and gives its batches to a range-for loop.
  /// Throws: as `start_epoch`; the range throws as `next`.
  /// Example: `for (auto& batch : batches.epoch(seed, EpochIndex{e})) ...`
  EpochRange<Loader> epoch(std::uint64_t seed, EpochIndex index, int rank = 0, int world_size = 1) & {
    start_epoch(seed, index, rank, world_size);
    return EpochRange<Loader>{*this};
  }
  /// The range takes the loader over.
  OwnedEpochRange<Loader> epoch(std::uint64_t seed, EpochIndex index, int rank = 0, int world_size = 1) && {
    return {std::move(*this), seed, index, rank, world_size};
  }

 private:
  /// Consecutive positions of the epoch's order.
  struct Chunk {
    std::int64_t first;
    std::int64_t count;
  };

  /// A batch in the hands of a worker.
  struct Slot {
    std::vector<std::int64_t> indices{};
    std::uint64_t seed = 0;
    EpochIndex epoch{};
    std::int64_t batch = 0;
    std::optional<batch_type> result{};
    std::exception_ptr error{};
  };

  static constexpr std::int64_t order_window = 65536;
  static constexpr std::int64_t most_workers = Ahead ? 1024 : 0;

  void check_options() const {
    if (options_.batch_size->value() < 1) {
      throw ConfigError{"TACIT-RC11", tacit::detail::message({"the batch size is ", (options_.batch_size->is_set() ? "0" : "not given")}), "loader",
                        "give .batch_size = 1 or more"};
    }
    if (options_.workers.value() > most_workers) {
      throw ConfigError{"TACIT-RC63", tacit::detail::message({options_.workers.value(), " workers"}), "loader",
                        Ahead ? "give .workers = 1024 or fewer; one for each core is plenty"
                              : "give .workers = 0, or make the loader with Ahead = true"};
    }
    if (options_.prefetch.is_set() && options_.prefetch.value() < 1 && options_.workers.value() > 0) {
      throw ConfigError{"TACIT-RC64", "workers cannot fetch ahead: prefetch is 0", "loader",
                        "give .prefetch = 1 or more, or .workers = 0"};
    }
    if (!std::same_as<Sampler, OptionsSampler> && options_.shuffle) {
      throw ConfigError{"TACIT-RC65", "there is a sampler, and .shuffle = true beside it", "loader",
                        "leave .shuffle out: the sampler decides the order"};
    }
  }
  void check_started() const {
    if (!started_) {
      throw UsageError{"TACIT-RD12", "a batch was asked for before the first epoch", "loader",
                       "call start_epoch(seed, epoch) first"};
    }
  }

  bool next_from_workers(std::optional<batch_type>& into) {
    if (!pool_.running()) start_workers();
    hand_out();
    Slot& slot = pool_.take_out();
    ++position_;
    if (slot.error) {
      std::exception_ptr const error = std::move(slot.error);
      pool_.stop();
      std::rethrow_exception(error);
    }
    if (slot.result) {
      into.emplace(std::move(*slot.result));
      slot.result.reset();
    }
    hand_out();
    return true;
  }

  void start_workers() {
    cursor_ = position_;  // what a stopped pool had in hand is fetched again
    prepared_ = position_;
    detail::before_workers<batch_type>();
    auto const threads = static_cast<std::size_t>(options_.workers.value());
    std::int64_t const ahead = std::min(options_.prefetch.value_or(2 * options_.workers.value()), std::max<std::int64_t>(size_, 1));
    dataset_type const& data = data_.get();
    pool_.start(threads, static_cast<std::size_t>(ahead), [&data, collate = collate_] {
      return [&data, collate, fetcher = fetcher_type{}](Slot& slot) mutable { work(data, collate, fetcher, slot); };
    });
  }

  static void work(dataset_type const& data, Collate const& collate, fetcher_type& fetcher, Slot& slot) {
    if (slot.indices.empty()) return;
    try {
      try {
        slot.result.emplace(fetcher.fetch(data, collate, slot.seed, slot.epoch, slot.indices));
      } catch (std::exception const& error) {
        fetcher.fail(slot.indices, slot.epoch, slot.batch, error.what());
      } catch (...) {
        fetcher.fail(slot.indices, slot.epoch, slot.batch, "an exception that is no std::exception");
      }
    } catch (...) {
      slot.error = std::current_exception();
    }
  }

  /// Gives the workers as many batches as the ring has room for.
  void hand_out() {
    while (cursor_ < size_ && pool_.has_room()) {
      std::int64_t const batch = cursor_;
      std::span<std::int64_t> const indices = take_indices();
      Slot& slot = pool_.free_slot();
      slot.indices.assign(indices.begin(), indices.end());
      slot.seed = seed_;
      slot.epoch = epoch_;
      slot.batch = batch;
      pool_.hand_in();
    }
  }

  /// The indices of batch `cursor_`, which is then the next one.
  std::span<std::int64_t> take_indices() {
    if (cursor_ == prepared_) prepare();
    std::span<std::int64_t> const indices =
        std::span{indices_}.subspan(used_, static_cast<std::size_t>(count(cursor_)));
    used_ += indices.size();
    ++cursor_;
    return indices;
  }

  void make_order() { order_.emplace(sampler_.order({samples_, seed_, epoch_, global_, world_size_})); }
  void stand_at(std::int64_t batch) noexcept {
    position_ = batch;
    cursor_ = batch;
    prepared_ = batch;
  }

  std::int64_t global_batch_size(int world_size) const noexcept {
    // More than the dataset has makes no difference, and so the product cannot overflow unnoticed.
    std::int64_t const local = std::min(options_.batch_size->value(), positions_);
    std::int64_t const most = std::numeric_limits<std::int64_t>::max() / world_size;
    return local > most ? std::numeric_limits<std::int64_t>::max() : local * world_size;
  }

  static void check_rank(int rank, int world_size) {
    if (world_size < 1 || rank < 0 || rank >= world_size) {
      throw ConfigError{"TACIT-RC12",
                        tacit::detail::message({"there is no rank ", rank, " among ", world_size, " ranks"}),
                        "loader", "give a rank from 0 to world_size - 1"};
    }
  }

  void share(int rank, int world_size) {
    check_rank(rank, world_size);
    bool const too_few = options_.batch_size->value() > positions_ || positions_ < global_batch_size(world_size);
    if (options_.drop_last && too_few) {
      throw ConfigError{"TACIT-RC13",
                        tacit::detail::message({"0 batches: drop_last leaves nothing of ", positions_, " samples with batch size ",
                                                options_.batch_size->value(), " on ", world_size, (world_size == 1 ? " rank" : " ranks")}),
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
    throw UsageError{"TACIT-RD11", tacit::detail::message({"there is no batch ", batch, " in an epoch of ", size_}),
                     "loader", "ask for batches from 0 to size() - 1"};
  }

  /// This rank's samples in a batch: all but the last one are alike.
  std::int64_t count(std::int64_t batch) const noexcept { return batch + 1 == size_ ? last_count_ : full_count_; }

  Chunk chunk(std::int64_t batch) const {
    std::int64_t const total = std::min(global_, positions_ - batch * global_);
    std::int64_t const even = total / world_size_;
    std::int64_t const larger = total % world_size_;  // this many ranks, the first ones, have one more
    return {batch * global_ + rank_ * even + std::min<std::int64_t>(rank_, larger), even + (rank_ < larger ? 1 : 0)};
  }

  /// Writes down the order of the next batches, at most `order_window` samples but at least one batch.
  void prepare() {
    if (!order_) make_order();
    std::int64_t total = 0;
    while (prepared_ < size_) {
      if (total != 0 && count(prepared_) > order_window - total) break;
      total += count(prepared_);
      ++prepared_;
    }
    indices_.resize(static_cast<std::size_t>(total));
    used_ = 0;
    std::span<std::int64_t> rest{indices_};
    for (std::int64_t batch = cursor_; batch < prepared_; ++batch) {
      Chunk const part = chunk(batch);
      std::span<std::int64_t> const into = rest.first(static_cast<std::size_t>(part.count));
      order_->fill(part.first, into);
      if constexpr (!std::same_as<Sampler, OptionsSampler>) check_order(part.first, into);
      rest = rest.subspan(into.size());
    }
  }

  void check_order(std::int64_t first, std::span<std::int64_t const> indices) const {
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (indices[i] < 0 || indices[i] >= samples_) {
        throw DataError{"TACIT-RD72",
                        tacit::detail::message({"the sampler gives sample ", indices[i], " at position ", first + static_cast<std::int64_t>(i),
                                                ", the dataset has ", samples_}),
                        tacit::detail::message({"loader, epoch ", epoch_.value()}), "let the sampler give 0 to size - 1"};
      }
    }
  }

  std::conditional_t<Ahead, detail::WorkerPool<Slot>, detail::NoWorkers> pool_{};  // first: a move stops the threads before it takes the data they read
  OwnedOrBorrowed<D> data_;
  LoaderOptions options_;
  Collate collate_;
  Sampler sampler_;
  fetcher_type fetcher_{};
  std::int64_t samples_ = 0;
  std::int64_t positions_ = 0;  // of an epoch
  int rank_ = 0;
  int world_size_ = 1;
  std::int64_t global_ = 1;
  std::int64_t size_ = 0;
  std::int64_t full_count_ = 0;  // of this rank in a batch
  std::int64_t last_count_ = 0;  // of this rank in the last batch
  std::int64_t position_ = 0;
  std::int64_t cursor_ = 0;    // batches given to a worker or fetched
  std::int64_t prepared_ = 0;  // batches whose order stands in indices_
  std::size_t used_ = 0;       // indices of indices_ handed out
  bool started_ = false;
  std::uint64_t pass_ = 0;    // number of the epoch in work among all that were begun
  std::uint64_t passes_ = 0;  // epochs begun
  EpochIndex epoch_{};
  std::uint64_t seed_ = 0;
  std::optional<order_type> order_;
  std::vector<std::int64_t> indices_;
};

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
  void seek(auto&&...) {}
  bool next(auto&&...) { return false; }
  std::span<int> epoch(auto&&...) { return {}; }
};

template <class D, class Collate, class Sampler>
auto make_loader(D&& data, LoaderOptions const& options, Collate collate, Sampler order) {
  using refused = refused_loader_t<std::remove_cvref_t<D>, Collate, Sampler>;
  if constexpr (refused::number == misuse::none) {
    return Loader<D, Collate, Sampler>{std::forward<D>(data), options, std::move(collate), std::move(order)};
  } else {
    tacit::detail::report(refused{});
    return RefusedLoader<refused>{};
  }
}
}  // namespace detail

/// A loader over a dataset: an lvalue is borrowed and must outlive the loader, an rvalue is taken over.
///
/// `arguments` are a collate function (samples to a batch; `DefaultCollate` where not given), a sampler (the order of
/// samples; from the options where not given), or both.
/// Throws: as the constructor of `Loader`.
/// Example: `auto batches = data::loader(train, {.batch_size = 32, .workers = 4}, data::PadCollate{});`
template <class D>
  requires dataset<D>
auto loader(D&& data, LoaderOptions const& options) {
  return detail::make_loader(std::forward<D>(data), options, DefaultCollate{}, OptionsSampler{options.shuffle});
}
template <class D, class Part>
  requires dataset<D>
auto loader(D&& data, LoaderOptions const& options, Part part) {
  if constexpr (sampler<Part>) {
    return detail::make_loader(std::forward<D>(data), options, DefaultCollate{}, std::move(part));
  } else {
    return detail::make_loader(std::forward<D>(data), options, std::move(part), OptionsSampler{options.shuffle});
  }
}
template <class D, class Collate, class Sampler>
  requires dataset<D>
auto loader(D&& data, LoaderOptions const& options, Collate collate, Sampler order) {
  return detail::make_loader(std::forward<D>(data), options, std::move(collate), std::move(order));
}

template <class D, class... Rest>
  requires(!dataset<D>)
auto loader(D&&, LoaderOptions const&, Rest&&...) {
  // A plain call: clang would report one in a constant expression twice.
  tacit::detail::report(tacit::detail::refused_dataset<D>{});
  return detail::RefusedLoader<tacit::detail::refused_dataset<D>>{};
}

}  // namespace tacit::inline v0::data
