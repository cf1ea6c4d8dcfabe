#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Device.h>
#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <typeinfo>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/launch/world.hpp"

namespace tacit::inline v0::detail {

/// LibTorch's messages have a stack trace below.
inline std::string_view first_line(std::exception const& error) {
  std::string_view const what{error.what()};
  return what.substr(0, what.find('\n'));
}

/// Waits for a host's name to be known: that of a host that is just being started may come late.
/// Throws: std::runtime_error if it is not known in time.
inline void await_host(std::string const& name, std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds most = std::chrono::seconds{30};
  auto const deadline = std::chrono::steady_clock::now() + std::min(timeout, most);
  while (true) {
    ::addrinfo* found = nullptr;
    int const status = ::getaddrinfo(name.c_str(), nullptr, nullptr, &found);
    if (found != nullptr) ::freeaddrinfo(found);
    if (status == 0) return;
    if (std::chrono::steady_clock::now() >= deadline) throw std::runtime_error{"the host's name is not known (" + std::string{::gai_strerror(status)} + ")"};
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
  }
}

/// Throws: DistributedError if the place where the processes meet cannot be reached.
inline c10::intrusive_ptr<c10d::Store> connect_store(launch::World const& world, std::chrono::milliseconds timeout) {
  try {
    await_host(world.address, timeout);
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(world.port);
    options.isServer = world.rank == 0 && !world.has_store;
    options.numWorkers = static_cast<std::size_t>(world.world_size);
    options.waitWorkers = false;
    options.timeout = timeout;
    c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(world.address, options);
    if (!world.prefix.empty()) store = c10::make_intrusive<c10d::PrefixStore>(world.prefix, store);
    return store;
  } catch (std::exception const& error) {
    throw DistributedError{"TACIT-RX18",
                           message({"rank ", world.rank, " of ", world.world_size, " cannot reach ", world.address, ":", world.port, ", where the processes meet (", world.launcher,
                                    world.variables.empty() ? "" : ", ", world.variables, "): ", first_line(error)}),
                           "distribution", "see that MASTER_ADDR is the host of rank 0 and that nobody else uses the port; set MASTER_PORT to another one"};
  }
}

/// Leaves a text in the store and waits for every rank's. Returns: their keys, in rank order.
/// Throws: DistributedError that names the ranks that left none, once the time is over.
inline std::vector<std::string> await_all(c10d::Store& store, launch::World const& world, std::string const& what, std::string_view text, std::chrono::milliseconds timeout) {
  auto const key = [&](int rank) { return what + std::to_string(rank); };
  std::vector<std::string> keys;
  for (int rank = 0; rank < world.world_size; ++rank) keys.push_back(key(rank));
  try {
    store.set(key(world.rank), std::vector<std::uint8_t>{text.begin(), text.end()});
    store.wait(keys, timeout);
    return keys;
  } catch (std::exception const& error) {
    std::string missing;
    try {
      for (int rank = 0; rank < world.world_size; ++rank) {
        if (!store.check({key(rank)})) missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
      }
    } catch (std::exception const&) {
    }
    throw DistributedError{"TACIT-RX18",
                           message({"rank ", world.rank, " waited for the other ranks of ", world.world_size, missing.empty() ? "" : ", missing: ", missing, " (",
                                    first_line(error), ")"}),
                           "distribution", "see whether they started and what they printed; `.start_timeout` is how long they are waited for"};
  }
}

/// The store of a world, one for as long as the process lives: rank 0 serves it, and a second one would find the port taken.
struct SharedStore {
  std::string place{};
  c10::intrusive_ptr<c10d::Store> store{};
  int users = 0;  // so far: each group has keys of its own
};
inline std::mutex stores_mutex{};
inline std::vector<SharedStore>& stores() {
  static std::vector<SharedStore> all{};
  return all;
}

/// Where the processes of a world meet, with keys that no other group has. All ranks are there when it returns.
/// Throws: DistributedError if the place cannot be reached, or a rank does not come in time.
inline c10::intrusive_ptr<c10d::Store> open_store(launch::World const& world, std::chrono::milliseconds timeout) {
  std::string const place = world.address + ":" + std::to_string(world.port) + " " + world.prefix + " " + std::to_string(world.rank);
  c10::intrusive_ptr<c10d::Store> base;
  std::string prefix;
  {
    std::lock_guard const lock{stores_mutex};
    auto at = std::ranges::find(stores(), place, &SharedStore::place);
    if (at != stores().end()) {
      base = at->store;
      prefix = "tacit" + std::to_string(++at->users);
    }
  }
  if (!base) {
    base = connect_store(world, timeout);
    prefix = "tacit0";
    std::lock_guard const lock{stores_mutex};
    stores().push_back({place, base, 0});
  }
  auto const store = c10::make_intrusive<c10d::PrefixStore>(prefix, base);
  await_all(*store, world, "rank", "here", timeout);
  return store;
}

/// A group of processes: what the loop asks of a distribution, by LibTorch's collectives.
///
/// Numbers and texts of the host go by tensors on the CPU. An error of a collective names the rank and what it was doing.
class ProcessGroup {
 public:
  /// `backend.connect(store, world, timeout, device)` gives LibTorch's group.
  template <class Backend>
  ProcessGroup(launch::World world, Backend const& backend, c10::Device device, std::chrono::milliseconds timeout, std::chrono::milliseconds start_timeout)
      : world_{std::move(world)},
        store_{open_store(world_, start_timeout)},
        group_{guarded("connecting to the other ranks", [&] { return backend.connect(store_, world_, timeout, device); })} {}
  ProcessGroup(ProcessGroup const&) = delete;
  ProcessGroup& operator=(ProcessGroup const&) = delete;
  /// Rank 0 serves the store: nobody leaves before all are done with it. After an error nobody waits.
  ~ProcessGroup() {
    bool const failed = std::uncaught_exceptions() > errors_ || is_broken_;
    try {
      if (failed) {
        abort(*group_);
      } else {
        barrier();
        shutdown(*group_);
      }
    } catch (std::exception const&) {
    }
  }

  int rank() const noexcept { return world_.rank; }
  int local_rank() const noexcept { return world_.local_rank; }
  int world_size() const noexcept { return world_.world_size; }
  c10::intrusive_ptr<c10d::ProcessGroup> const& group() const noexcept { return group_; }

  void reduce_sum(std::span<double> numbers) {
    at::Tensor tensor = at::from_blob(numbers.data(), {static_cast<std::int64_t>(numbers.size())}, at::kDouble);
    all_reduce(tensor, c10d::ReduceOp::SUM, summing);
  }
  /// A sum that goes on while this process computes; one at a time. `end_sum` waits for it.
  void begin_sum(std::span<double const> numbers) {
    begun_ = at::empty({static_cast<std::int64_t>(numbers.size())}, at::kDouble);  // its own: the caller may leave with an exception
    std::ranges::copy(numbers, begun_.mutable_data_ptr<double>());
    guarded(summing, [&] { begun_work_ = begin_all_reduce(begun_, c10d::ReduceOp::SUM); });
  }
  void end_sum(std::span<double> numbers) {
    guarded(summing, [&] { begun_work_->wait(); });
    begun_work_.reset();
    std::copy_n(begun_.const_data_ptr<double>(), numbers.size(), numbers.begin());
  }
  void reduce_sum(at::Tensor& tensor) { all_reduce(tensor, c10d::ReduceOp::SUM, "summing a tensor"); }
  void reduce_max(at::Tensor& tensor) { all_reduce(tensor, c10d::ReduceOp::MAX, "taking the largest of a tensor"); }
  std::int64_t agree(std::int64_t wish) {
    at::Tensor tensor = at::from_blob(&wish, {1}, at::kLong);
    all_reduce(tensor, c10d::ReduceOp::MAX, "agreeing on what comes next");
    return wish;
  }
  std::vector<std::string> gather(std::string_view text) {
    at::Tensor bytes = at::empty({static_cast<std::int64_t>(text.size())}, at::kByte);
    if (!text.empty()) std::memcpy(bytes.mutable_data_ptr(), text.data(), text.size());
    std::vector<std::string> texts;
    for (at::Tensor const& part : gather_parts(bytes)) {
      texts.emplace_back(static_cast<char const*>(part.const_data_ptr()), static_cast<std::size_t>(part.numel()));
    }
    return texts;
  }
  /// The rows of all ranks in rank order, whatever their number; a scalar counts as one row.
  at::Tensor gather(at::Tensor const& tensor) { return at::cat(gather_parts(tensor.dim() == 0 ? tensor.reshape({1}) : tensor)); }
  void broadcast(at::Tensor& tensor, int root) {
    guarded("broadcasting a tensor", [&] {
      at::NoGradGuard const no_graph;
      at::Tensor whole = tensor.detach().contiguous();
      std::vector<at::Tensor> list{whole};
      c10d::BroadcastOptions options;
      options.rootRank = root;
      group_->broadcast(list, options)->wait();
      if (!whole.is_same(tensor)) tensor.detach().copy_(whole);
    });
  }
  /// All tensors take the values of rank 0.
  void broadcast_all(std::vector<at::Tensor> const& tensors) {
    if (tensors.empty()) return;
    guarded("broadcasting a model", [&] {
      at::NoGradGuard const no_graph;
      constexpr std::size_t bytes_at_once = std::size_t{250} << 20;
      c10d::broadcast_coalesced(group_, tensors, bytes_at_once, 0);
    });
  }
  void barrier() {
    guarded("waiting for the other ranks", [&] { group_->barrier()->wait(); });
  }

  /// Calls `work`; what LibTorch and Gloo throw becomes an error that says which rank was at what. What a user's code throws in a
  /// backward pass goes on unchanged, and so does memory that ran out.
  template <class Work>
  auto guarded(char const* doing, Work const& work) -> decltype(work()) {
    try {
      return work();
    } catch (std::exception const& error) {
      is_broken_ = true;
      bool const is_foreign = dynamic_cast<c10::Error const*>(&error) != nullptr || std::string_view{typeid(error).name()}.find("gloo") != std::string_view::npos;
      if (!is_foreign || dynamic_cast<c10::OutOfMemoryError const*>(&error) != nullptr) throw;
      throw DistributedError{"TACIT-RX20", message({"rank ", rank(), " of ", world_size(), " failed while ", doing, ": ", first_line(error)}), "distribution",
                             "see what the other ranks printed; one that ended or was much slower than the time limit stops all"};
    }
  }

 private:
  // NCCL's communicators must be gone before CUDA is. Older versions of LibTorch do that in destructors.
  template <class Group>
  static void shutdown(Group& group) {
    if constexpr (requires { group.shutdown(); }) group.shutdown();
  }
  template <class Group>
  static void abort(Group& group) {
    if constexpr (requires { group.abort(); }) group.abort();
  }

  static constexpr char const* summing = "summing numbers";

  c10::intrusive_ptr<c10d::Work> begin_all_reduce(at::Tensor& tensor, c10d::ReduceOp::RedOpType operation) {
    std::vector<at::Tensor> list{tensor};
    c10d::AllreduceOptions options;
    options.reduceOp = operation;
    return group_->allreduce(list, options);
  }
  void all_reduce(at::Tensor& tensor, c10d::ReduceOp::RedOpType operation, char const* doing) {
    guarded(doing, [&] { begin_all_reduce(tensor, operation)->wait(); });
  }

  /// Every rank's tensor: lengths first, then all padded to the longest and cut again.
  std::vector<at::Tensor> gather_parts(at::Tensor const& tensor) {
    return guarded("gathering tensors", [&] {
      at::NoGradGuard const no_graph;
      auto const ranks = static_cast<std::size_t>(world_size());
      std::vector<at::Tensor> lengths;
      for (std::size_t i = 0; i < ranks; ++i) lengths.push_back(at::zeros({1}, at::kLong));
      std::vector<std::vector<at::Tensor>> lengths_out{lengths};
      std::vector<at::Tensor> own_length{at::tensor({tensor.size(0)}, at::kLong)};
      group_->allgather(lengths_out, own_length)->wait();
      std::vector<std::int64_t> rows;
      for (at::Tensor const& length : lengths_out[0]) rows.push_back(length.item<std::int64_t>());
      std::int64_t const most = *std::ranges::max_element(rows);

      std::vector<std::int64_t> shape = tensor.sizes().vec();
      shape[0] = most;
      at::Tensor padded = at::zeros(shape, tensor.options());
      padded.narrow(0, 0, tensor.size(0)).copy_(tensor.detach());
      std::vector<std::vector<at::Tensor>> parts(1);
      for (std::size_t i = 0; i < ranks; ++i) parts[0].push_back(at::empty(shape, tensor.options()));
      if (padded.numel() > 0) {
        std::vector<at::Tensor> own{padded};
        group_->allgather(parts, own)->wait();
      }
      for (std::size_t i = 0; i < ranks; ++i) parts[0][i] = parts[0][i].narrow(0, 0, rows[i]);
      return parts[0];
    });
  }

  int errors_ = std::uncaught_exceptions();
  bool is_broken_ = false;
  launch::World world_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  at::Tensor begun_{};
  c10::intrusive_ptr<c10d::Work> begun_work_{};
};

}  // namespace tacit::inline v0::detail
