#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/list.hpp"
#include "tacit/launch/world.hpp"
#include "tacit/policy/distribution/ranks.hpp"
#include "tacit/policy/distribution/single_process.hpp"
#include "tacit/task/parameter_set.hpp"

namespace tacit::inline v0 {

namespace detail {

/// What data parallel training does, behind pointers: LibTorch's headers for it cost a translation unit 12 to 18 s.
struct DataParallelTable {
  std::string_view name;
  std::shared_ptr<void> (*join)(launch::World const& world, c10::Device device);
  void (*reduce_sum)(void* ranks, std::span<double> numbers);
  void (*begin_sum)(void* ranks, std::span<double const> numbers);
  void (*end_sum)(void* ranks, std::span<double> numbers);
  void (*reduce_sum_of_tensor)(void* ranks, at::Tensor& tensor);
  void (*reduce_max)(void* ranks, at::Tensor& tensor);
  std::int64_t (*agree)(void* ranks, std::int64_t request);
  std::vector<std::string> (*gather_texts)(void* ranks, std::string_view text);
  at::Tensor (*gather_rows)(void* ranks, at::Tensor const& tensor, bool counts);
  at::Tensor (*sum_of_tensors)(void* ranks, at::Tensor const& tensor, bool counts);
  std::vector<std::string> (*meet)(void* ranks, std::string_view text);
  bool (*await_main)(void* ranks, bool failed, std::chrono::milliseconds limit);
  void (*begin_run)(void* ranks);
  bool (*shares_buffers)(void* ranks);
  void (*broadcast)(void* ranks, at::Tensor& tensor, int root);
  void (*barrier)(void* ranks);
  int& (*local_depth)(void* ranks);
  void (*share)(void* ranks, NamedTensors const& tensors);
  void (*prepare_parameters)(void* ranks, basic_parameter_set<at::Tensor>& parameters);
  bool (*begin_forward)(void* ranks, basic_parameter_set<at::Tensor>& parameters);
  void (*broadcast_all)(void* ranks, NamedTensors const& tensors);
  void (*begin_backward)(void* ranks, basic_parameter_set<at::Tensor>& parameters, at::Tensor const& loss);
  /// Called in a handler: throws what an exception during backward means for the ranks.
  void (*fail_backward)(void* ranks);
  void (*prepare_gradients)(void* ranks, basic_parameter_set<at::Tensor>& parameters);
};

/// Set by policy/distribution/auto_ddp.hpp and auto_nccl.hpp, which one translation unit of a program includes, or the targets
/// tacit::auto_ddp and tacit::auto_nccl bring.
struct DataParallelTables {
  DataParallelTable const* host = nullptr;
  DataParallelTable const* cuda = nullptr;
};
inline DataParallelTables data_parallel_tables{};

}  // namespace detail

/// Who else trains, chosen at run time: nobody, or the processes that a launcher started, as `Ddp<Gloo>` or, on GPUs, `Ddp<Nccl>`.
///
/// Throws: DistributedError on binding if a launcher started several processes and the program was built without `tacit::auto_ddp`,
/// or computes on GPUs and was built without `tacit::auto_nccl`.
struct AutoDistribution {
  using slot = slot::distribution;

  std::optional<launch::World> world{};  ///< where not given, what the launcher says

  template <class Parameters>
  class bound;

  template <class Parameters, class Device>
  bound<Parameters> bind(Device const& device) const {
    launch::World const found = world ? *world : launch::world();
    if (found.world_size == 1) return bound<Parameters>{found, nullptr, {}};
    bool const is_host = device.host_reads_free();
    detail::DataParallelTable const* const table = is_host ? detail::data_parallel_tables.host : detail::data_parallel_tables.cuda;
    std::string const several = detail::message({found.launcher, " started ", found.world_size, " processes (", found.variables, "), but "});
    if (table == nullptr && is_host) {
      throw DistributedError{"TACIT-RX22", several + "this program cannot join them: each would train a model of its own", "AutoDistribution",
                             "link tacit::auto_ddp, or include <tacit/policy/distribution/auto_ddp.hpp> in one source file; or start one process"};
    }
    if (table == nullptr) {
      throw DistributedError{"TACIT-RX21", several + "this program cannot average gradients on " + std::string{device.name()}, "AutoDistribution",
                             "link tacit::auto_nccl, or include <tacit/policy/distribution/auto_nccl.hpp> in one source file; or pass --device cpu, or start one process"};
    }
    return bound<Parameters>{found, table, table->join(found, detail::place_of(device))};
  }

  static void visit_config(auto&, auto&&) {}
};

template <class Parameters>
class AutoDistribution::bound {
 public:
  using tensor_type = typename Parameters::tensor_type;
  static constexpr bool is_single = false;

  bound(launch::World const& world, detail::DataParallelTable const* table, std::shared_ptr<void> ranks)
      : rank_{world.rank}, local_rank_{world.local_rank}, world_size_{world.world_size}, table_{table}, ranks_{std::move(ranks)} {}

  int rank() const noexcept { return rank_; }
  int local_rank() const noexcept { return local_rank_; }
  int world_size() const noexcept { return world_size_; }
  /// The policy that this one stands for is asked what excludes it, where it has a type of its own.
  template <class Visit>
  void visit_chosen(Visit const& visit) const {
    if (table_ == nullptr) {
      visit(tacit::type<SingleProcess>{});
    } else {
      visit(tacit::type<AutoDistribution>{});
    }
  }
  std::string name() const {
    return table_ == nullptr ? "single process" : "ddp over " + std::string{table_->name} + ", rank " + std::to_string(rank_) + " of " + std::to_string(world_size_);
  }

  void reduce_sum(std::span<double> numbers) {
    if (table_ != nullptr) table_->reduce_sum(ranks_.get(), numbers);
  }
  void begin_sum(std::span<double const> numbers) {
    if (table_ != nullptr) table_->begin_sum(ranks_.get(), numbers);
  }
  void end_sum(std::span<double> numbers) {
    if (table_ != nullptr) table_->end_sum(ranks_.get(), numbers);
  }
  void reduce_max(tensor_type& tensor) {
    if (table_ != nullptr) table_->reduce_max(ranks_.get(), tensor);
  }
  std::int64_t agree(std::int64_t request) { return table_ == nullptr ? request : table_->agree(ranks_.get(), request); }
  std::vector<std::string> gather(std::string_view text) {
    return table_ == nullptr ? std::vector<std::string>{std::string{text}} : table_->gather_texts(ranks_.get(), text);
  }
  tensor_type gather(tensor_type const& tensor, bool counts = true) { return table_ == nullptr ? tensor : table_->gather_rows(ranks_.get(), tensor, counts); }
  tensor_type sum(tensor_type const& tensor, bool counts = true) { return table_ == nullptr ? tensor : table_->sum_of_tensors(ranks_.get(), tensor, counts); }
  std::vector<std::string> meet(std::string_view text) {
    return table_ == nullptr ? std::vector<std::string>{std::string{text}} : table_->meet(ranks_.get(), text);
  }
  bool await_main(bool failed, std::chrono::milliseconds limit) { return table_ == nullptr ? !failed : table_->await_main(ranks_.get(), failed, limit); }
  void begin_run() {
    if (table_ != nullptr) table_->begin_run(ranks_.get());
  }
  template <class Model>
  void share_buffers(Model& model) {
    if (table_ != nullptr && table_->shares_buffers(ranks_.get())) table_->broadcast_all(ranks_.get(), detail::buffers_of(model));
  }
  void broadcast(tensor_type& tensor, int root) {
    if (table_ != nullptr) table_->broadcast(ranks_.get(), tensor, root);
  }
  void barrier() {
    if (table_ != nullptr) table_->barrier(ranks_.get());
  }

  detail::LocalScope no_sync() { return detail::LocalScope{table_ == nullptr ? nullptr : &table_->local_depth(ranks_.get())}; }

  bool needs_every_rank() const noexcept { return !members_.is_empty(); }
  detail::LocalScope absent() { return members_.absent(); }

  template <class Model>
  void prepare_model(Model& model) {
    if (table_ == nullptr) return;
    table_->share(ranks_.get(), detail::untrained_of(model));
    members_.join(model, [table = table_, ranks = std::weak_ptr{ranks_}](at::Tensor& tensor) {
      auto const there = ranks.lock();
      if (there != nullptr) table->reduce_sum_of_tensor(there.get(), tensor);
      return there != nullptr;
    }, world_size_);
  }
  void prepare_parameters(Parameters& parameters) {
    if (table_ != nullptr) table_->prepare_parameters(ranks_.get(), parameters);
  }
  template <class Model>
  void begin_forward(Parameters& parameters, Model& model) {
    if (table_ == nullptr) return;
    if (table_->begin_forward(ranks_.get(), parameters)) table_->broadcast_all(ranks_.get(), detail::buffers_of(model));
  }
  template <class Backward>
  void during_backward(Parameters& parameters, tensor_type const& loss, Backward const& backward) {
    if (table_ == nullptr || table_->local_depth(ranks_.get()) > 0) return backward();
    try {
      table_->begin_backward(ranks_.get(), parameters, loss);
      backward();
    } catch (...) {
      table_->fail_backward(ranks_.get());
      throw;
    }
  }
  void prepare_gradients(Parameters& parameters) {
    if (table_ != nullptr) table_->prepare_gradients(ranks_.get(), parameters);
  }

 private:
  int rank_;
  int local_rank_;
  int world_size_;
  detail::DataParallelTable const* table_;  // null: this process is the world
  std::shared_ptr<void> ranks_;
  detail::Members members_{};
};

}  // namespace tacit::inline v0
