#pragma once

#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <c10/core/TensorOptions.h>
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
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
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

/// While it lives SIGPIPE is blocked in this thread, and for good in the threads that are started meanwhile.
///
/// Gloo and the store write to sockets of ranks that may be gone: their threads then get an error in place of a signal that ends the
/// process. Nothing of the process is changed: handlers and dispositions stay as they are.
class PipeMask {
 public:
  PipeMask() noexcept {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::sigset_t pending;
    was_pending_ = ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGPIPE) == 1;
    is_on_ = ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_) == 0;
  }
  PipeMask(PipeMask const&) = delete;
  PipeMask& operator=(PipeMask const&) = delete;
  ~PipeMask() { end(); }
  /// A signal that came meanwhile is dropped.
  void end() noexcept {
    if (!std::exchange(is_on_, false)) return;
    ::timespec const now{};
    if (!was_pending_ && ::sigismember(&before_, SIGPIPE) == 0) ::sigtimedwait(&pipe_, nullptr, &now);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  ::sigset_t pipe_{};
  ::sigset_t before_{};
  bool was_pending_ = false;
  bool is_on_ = false;
};

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
        start_timeout_{start_timeout},
        device_{device},
        store_{open_store(world_, start_timeout)},
        group_{guarded("connecting to the other ranks", [&] { return backend.connect(store_, world_, timeout, device); })} {
    mask_.end();
  }
  ProcessGroup(ProcessGroup const&) = delete;
  ProcessGroup& operator=(ProcessGroup const&) = delete;
  /// Rank 0 serves the store: nobody leaves before all are done with it. After an error nobody waits.
  ~ProcessGroup() {
    bool const failed = std::uncaught_exceptions() > errors_ || is_broken_;
    PipeMask const mask;
    leave(failed ? "failed" : "has ended its trainer");
    try {
      if (!group_) return;
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
  /// Before a run, on every rank: what an exception left of the run before it is over.
  void begin_run() {
    if (begun_work_) guarded(summing, [&] { begun_work_->wait(); });
    begun_work_.reset();
  }
  void end_sum(std::span<double> numbers) {
    guarded(summing, [&] { begun_work_->wait(); });
    begun_work_.reset();
    std::copy_n(begun_.const_data_ptr<double>(), numbers.size(), numbers.begin());
  }
  void reduce_sum(at::Tensor& tensor) { all_reduce(tensor, c10d::ReduceOp::SUM, "summing a tensor"); }
  void reduce_max(at::Tensor& tensor) { all_reduce(tensor, c10d::ReduceOp::MAX, "taking the largest of a tensor"); }
  std::int64_t agree(std::int64_t request) {
    at::Tensor tensor = at::from_blob(&request, {1}, at::kLong);
    all_reduce(tensor, c10d::ReduceOp::MAX, "agreeing on what comes next");
    return request;
  }
  std::vector<std::string> gather(std::string_view text) {
    at::Tensor bytes = at::empty({static_cast<std::int64_t>(text.size())}, at::kByte);
    if (!text.empty()) std::memcpy(bytes.mutable_data_ptr(), text.data(), text.size());
    std::vector<std::string> texts;
    for (at::Tensor const& part : gather_bytes(bytes)) {
      texts.emplace_back(static_cast<char const*>(part.const_data_ptr()), static_cast<std::size_t>(part.numel()));
    }
    return texts;
  }
  /// A `gather(text)` by the store, at the start of a run: ranks may take as long as at the start of the program.
  /// Throws: DistributedError that names ranks that did not come, or have left.
  std::vector<std::string> meet(std::string_view text) {
    PipeMask const mask;
    std::string const what = "meet" + std::to_string(meetings_) + "/";
    std::vector<std::string> const keys = await_all(*store_, world_, what, std::string{here} + std::string{text}, start_timeout_);
    std::vector<std::string> texts;
    for (std::size_t rank = 0; rank < keys.size(); ++rank) texts.push_back(arrived(static_cast<int>(rank), text_of(keys[rank])));
    // All have come to this meeting, so all have read what was told at the last one.
    if (meetings_++ > 0) guarded("tidying the store", [&] { store_->deleteKey("meet" + std::to_string(meetings_ - 2) + "/" + std::to_string(rank())); });
    return texts;
  }
  /// Rank 0 says whether its work failed, the others wait for that in the store; false if it did.
  bool await_main(bool failed, std::chrono::milliseconds limit) {
    PipeMask const mask;
    std::string const key = "main" + std::to_string(works_++);
    if (rank() == 0) {
      store_->set(key, bytes_of(std::string{here} + (failed ? "failed" : "done")));
      return !failed;
    }
    try {
      store_->wait({key}, limit);
    } catch (std::exception const& error) {
      throw DistributedError{"TACIT-RX33", message({"rank ", rank(), " waited for the work of the main process (", first_line(error), ")"}), "Trainer::main_process_first",
                             "see what it printed; give a longer time as the second argument"};
    }
    return arrived(0, text_of(key)) == "done";
  }

  /// The rows of all ranks in rank order, whatever their number; a scalar counts as one row, an undefined tensor has none.
  /// Unless `counts`, the others get none of this rank's, and it has them behind theirs.
  at::Tensor gather(at::Tensor const& tensor, bool counts = true) {
    at::Tensor const given = tensor.defined() && tensor.dim() == 0 ? tensor.reshape({1}) : tensor;
    if (!counts) {
      at::Tensor const others = gather(given.defined() ? given.narrow(0, 0, 0) : given);
      return !given.defined() || others.numel() == 0 ? given.detach() : at::cat({others, given.detach()});
    }
    at::Tensor const own = given;
    Described const all = describe_all(own, /*by_rows=*/true, "gather");
    if (!all.options) return tensor;
    return guarded("gathering tensors", [&] {
      at::NoGradGuard const no_graph;
      std::int64_t const most = *std::ranges::max_element(all.rows);
      std::vector<std::int64_t> shape = all.shape;
      shape[0] = most;
      std::int64_t const width = std::accumulate(shape.begin() + 1, shape.end(), std::int64_t{1}, std::multiplies<>{});
      // As bytes: every type can travel so.
      at::Tensor padded = at::zeros({most, width}, *all.options);
      if (own.defined() && own.numel() > 0) padded.narrow(0, 0, own.size(0)).copy_(own.detach().reshape({own.size(0), width}));
      std::vector<at::Tensor> parts;
      for (std::size_t i = 0; i < all.rows.size(); ++i) parts.push_back(at::empty({most, width}, *all.options));
      if (padded.numel() > 0) {
        std::vector<std::vector<at::Tensor>> out(1);
        for (at::Tensor const& part : parts) out[0].push_back(part.view(at::kByte));
        std::vector<at::Tensor> in{padded.view(at::kByte)};
        group_->allgather(out, in)->wait();
      }
      for (std::size_t rank = 0; rank < parts.size(); ++rank) {
        shape[0] = all.rows[rank];
        parts[rank] = parts[rank].narrow(0, 0, all.rows[rank]).reshape(shape);
      }
      return at::cat(parts);
    });
  }
  /// The sum of all ranks' tensors as a new one of their type; an undefined tensor counts as zeros.
  /// Small integers and halves are summed in a wider type. Throws: DistributedError if the sum does not fit an integer type.
  at::Tensor sum(at::Tensor const& tensor, bool counts = true) {
    if (!counts) {
      at::Tensor const others = sum(tensor.defined() ? at::zeros_like(tensor) : tensor);
      return tensor.defined() ? others + tensor.detach() : others;
    }
    Described const all = describe_all(tensor, /*by_rows=*/false, "reduce_sum");
    if (!all.options) return tensor;
    at::ScalarType const type = all.options->dtype().toScalarType();
    bool const whole_numbers = c10::isIntegralType(type, /*includeBool=*/true);
    at::ScalarType const wide = whole_numbers ? at::kLong : type == at::kHalf || type == at::kBFloat16 ? at::kFloat : type;
    at::NoGradGuard const no_graph;
    at::Tensor total = tensor.defined() ? tensor.detach().to(wide, /*non_blocking=*/false, /*copy=*/true).contiguous() : at::zeros(all.shape, all.options->dtype(wide));
    reduce_sum(total);
    if (wide == type) return total;
    at::Tensor const result = total.to(type);
    if (whole_numbers && !result.to(at::kLong).equal(total)) {
      throw DistributedError{"TACIT-RX31", message({"the sum over the ranks does not fit a tensor of ", c10::toString(type)}), "context.reduce_sum", "give a tensor of int64 or of floating numbers"};
    }
    return result;
  }
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

  /// Ends the group with a reason, which stands in the errors of the other ranks. Rank 0 serves the store and gives them a moment to read it.
  /// Requires: nobody else holds LibTorch's group; its connections close with it.
  void leave_word(std::string const& why) noexcept {
    is_broken_ = true;
    try {
      store_->set("word", bytes_of(why));
      store_->set("heard" + std::to_string(rank()), std::vector<std::uint8_t>{1});
    } catch (...) {
    }
    try {
      abort(*group_);
    } catch (...) {
    }
    begun_work_.reset();
    group_.reset();
    if (rank() != 0) return;
    try {
      std::vector<std::string> keys;
      for (int other = 1; other < world_size(); ++other) keys.push_back("heard" + std::to_string(other));
      store_->wait(keys, std::chrono::seconds{3});
    } catch (...) {
    }
  }

  /// Calls `work`; what LibTorch and Gloo throw becomes an error that says which rank was at what. What a user's code throws in a
  /// backward pass goes on unchanged, and so does memory that ran out.
  template <class Work>
  auto guarded(char const* doing, Work const& work) -> decltype(work()) {
    if (is_broken_ && !group_) {
      throw DistributedError{"TACIT-RX20", message({"rank ", rank(), " of ", world_size(), " ended its group before ", doing}), "distribution", "make a new trainer on every rank"};
    }
    try {
      return work();
    } catch (std::exception const& error) {
      is_broken_ = true;
      bool const is_foreign = dynamic_cast<c10::Error const*>(&error) != nullptr || std::string_view{typeid(error).name()}.find("gloo") != std::string_view::npos;
      if (!is_foreign || dynamic_cast<c10::OutOfMemoryError const*>(&error) != nullptr) throw;
      std::string_view cause = first_line(error);
      // LibTorch's advice is Python's.
      if (cause.find("mark a variable ready only once") != std::string_view::npos) cause = "a parameter got its gradient twice in one backward pass; set `.overlap = false` in Ddp";
      if (cause.find("finished reduction in the prior iteration") != std::string_view::npos) cause = "parameters got no gradient; set `.find_unused = true` if the loss does not depend on all of them in every step";
      std::string const word = word_of_others();
      throw DistributedError{"TACIT-RX20", message({"rank ", rank(), " of ", world_size(), " failed while ", doing, ": ", word.empty() ? "" : word, word.empty() ? "" : " (", cause, word.empty() ? "" : ")"}), "distribution",
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

  /// Every rank's bytes: lengths first, then all padded to the longest and cut again.
  std::vector<at::Tensor> gather_bytes(at::Tensor const& bytes) {
    return guarded("gathering texts", [&] {
      std::vector<std::int64_t> own{bytes.size(0)};
      std::vector<std::vector<std::int64_t>> const lengths = gather_numbers(own);
      std::int64_t most = 0;
      for (auto const& one : lengths) most = std::max(most, one[0]);
      at::Tensor padded = at::zeros({most}, at::kByte);
      padded.narrow(0, 0, bytes.size(0)).copy_(bytes);
      std::vector<std::vector<at::Tensor>> parts(1);
      for (std::size_t i = 0; i < lengths.size(); ++i) parts[0].push_back(at::empty({most}, at::kByte));
      if (most > 0) {
        std::vector<at::Tensor> in{padded};
        group_->allgather(parts, in)->wait();
      }
      for (std::size_t i = 0; i < lengths.size(); ++i) parts[0][i] = parts[0][i].narrow(0, 0, lengths[i][0]);
      return parts[0];
    });
  }
  /// As many numbers of each rank.
  std::vector<std::vector<std::int64_t>> gather_numbers(std::vector<std::int64_t>& own) {
    auto const count = static_cast<std::int64_t>(own.size());
    std::vector<std::vector<at::Tensor>> parts(1);
    for (int i = 0; i < world_size(); ++i) parts[0].push_back(at::zeros({count}, at::kLong));
    std::vector<at::Tensor> in{at::from_blob(own.data(), {count}, at::kLong)};
    group_->allgather(parts, in)->wait();
    std::vector<std::vector<std::int64_t>> all;
    for (at::Tensor const& part : parts[0]) all.emplace_back(part.const_data_ptr<std::int64_t>(), part.const_data_ptr<std::int64_t>() + count);
    return all;
  }

  /// What the ranks give to one collective: rows of each, and the type and shape of those that have any.
  struct Described {
    std::vector<std::int64_t> rows{};
    std::vector<std::int64_t> shape{};
    std::optional<at::TensorOptions> options{};
  };
  /// A rank that has nothing may not know its type and shape: others do. Tensors that differ would end the process inside Gloo.
  /// Throws: DistributedError that shows both sides.
  Described describe_all(at::Tensor const& tensor, bool by_rows, char const* call) {
    enum : std::size_t { at_state, at_type, at_dimensions, at_sizes, most_sizes = 12 };
    std::vector<std::int64_t> own(at_sizes + most_sizes, 0);
    if (tensor.defined()) {
      own[at_state] = 1;
      own[at_type] = static_cast<std::int64_t>(tensor.scalar_type());
      own[at_dimensions] = tensor.dim();
      for (std::size_t i = 0; i < std::min<std::size_t>(most_sizes, static_cast<std::size_t>(tensor.dim())); ++i) own[at_sizes + i] = tensor.size(static_cast<std::int64_t>(i));
    }
    std::vector<std::vector<std::int64_t>> const all = guarded("gathering tensors", [&] { return gather_numbers(own); });
    auto const counts = [&](std::vector<std::int64_t> const& one) { return one[at_state] != 0 && (!by_rows || one[at_sizes] != 0); };
    auto const same = [&](std::vector<std::int64_t> const& a, std::vector<std::int64_t> const& b) {
      return std::equal(a.begin() + at_type, a.begin() + at_sizes, b.begin() + at_type) && std::equal(a.begin() + at_sizes + by_rows, a.end(), b.begin() + at_sizes + by_rows);
    };
    auto const text = [&](std::vector<std::int64_t> const& one) {
      std::string shown{c10::toString(static_cast<at::ScalarType>(one[at_type]))};
      shown += " [";
      for (std::int64_t i = 0; i < std::min<std::int64_t>(one[at_dimensions], most_sizes); ++i) {
        shown.append(i == 0 ? "" : ", ").append(i == 0 && by_rows ? "rows" : std::to_string(one[at_sizes + static_cast<std::size_t>(i)]));
      }
      return shown + "]";
    };
    Described result;
    std::optional<std::size_t> first;
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      result.rows.push_back(all[rank][at_state] != 0 ? all[rank][at_sizes] : 0);
      if (!counts(all[rank])) continue;
      if (!first) first = rank;
      if (!same(all[*first], all[rank])) {
        throw DistributedError{"TACIT-RX30", message({"rank ", *first, " gives ", text(all[*first]), ", rank ", rank, " gives ", text(all[rank])}), message({"context.", call}),
                               "give tensors of one type and shape on every rank; a rank without any gives an undefined one"};
      }
    }
    if (!first) {
      // Nobody has any: what this rank gave is the result.
      return result;
    }
    std::vector<std::int64_t> const& known = all[*first];
    std::int64_t const dimensions = std::min<std::int64_t>(known[at_dimensions], most_sizes);
    result.shape.assign(known.begin() + at_sizes, known.begin() + at_sizes + dimensions);
    if (tensor.defined() && counts(own)) result.shape = tensor.sizes().vec();
    c10::Device const device = tensor.defined() ? tensor.device() : device_;
    result.options = at::TensorOptions{}.dtype(static_cast<at::ScalarType>(known[at_type])).device(device);
    return result;
  }

  /// Why another rank ended the run, where it said so. A store that does not answer, for its process stands still, is asked no more.
  std::string word_of_others() {
    if (!store_) return {};
    auto answer = std::make_shared<std::promise<std::string>>();
    std::future<std::string> word = answer->get_future();
    std::thread{[answer, store = store_, own = "heard" + std::to_string(rank())] {
      try {
        std::string text;
        if (store->check({"word"})) {
          auto const bytes = store->get("word");
          text.assign(bytes.begin(), bytes.end());
          store->set(own, std::vector<std::uint8_t>{1});
        }
        answer->set_value(text);
      } catch (...) {
        answer->set_value({});
      }
    }}.detach();
    if (word.wait_for(std::chrono::seconds{2}) == std::future_status::ready) return word.get();
    store_.reset();
    return {};
  }

  static constexpr std::string_view here = "here ";
  static std::vector<std::uint8_t> bytes_of(std::string const& text) { return {text.begin(), text.end()}; }
  std::string text_of(std::string const& key) {
    auto const bytes = store_->get(key);
    return {bytes.begin(), bytes.end()};
  }
  /// The text that a rank brought.
  /// Throws: DistributedError if it has left in place of coming.
  std::string arrived(int rank, std::string const& text) const {
    if (text.starts_with(here)) return text.substr(here.size());
    throw DistributedError{"TACIT-RX18", message({"rank ", world_.rank, " waited for rank ", rank, ", which ", text}), "distribution", "see what it printed"};
  }
  /// Whoever waits for this rank at the next meeting need not wait any longer.
  void leave(char const* why) noexcept {
    try {
      if (!store_) return;
      store_->set("meet" + std::to_string(meetings_) + "/" + std::to_string(rank()), bytes_of(why));
      if (rank() == 0) store_->set("main" + std::to_string(works_), bytes_of(why));
    } catch (...) {
    }
  }

  PipeMask mask_{};  // while the store and the group start their threads
  int errors_ = std::uncaught_exceptions();
  bool is_broken_ = false;
  launch::World world_;
  std::chrono::milliseconds start_timeout_;
  c10::Device device_;
  std::int64_t meetings_ = 0;
  std::int64_t works_ = 0;  // of the main process, that the others waited for
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  at::Tensor begun_{};
  c10::intrusive_ptr<c10d::Work> begun_work_{};
};

}  // namespace tacit::inline v0::detail
