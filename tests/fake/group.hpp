#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"

namespace fake {

/// Ranks as threads of one process: every collective is a round in which each rank leaves its part and takes all parts.
class Group {
 public:
  explicit Group(int size) : size_{size}, parts_(static_cast<std::size_t>(size)) {}

  int size() const { return size_; }

  /// Returns every rank's part, in rank order. Ranks that call different collectives are found out.
  /// Throws: on every rank if any rank left for good.
  std::vector<std::vector<double>> exchange(int rank, std::string const& what, std::vector<double> part) {
    std::unique_lock lock{mutex_};
    std::int64_t const round = round_;
    if (arrived_ == 0) what_ = what;
    if (what_ != what) {
      broken_ = "rank " + std::to_string(rank) + " calls " + what + " while others call " + what_;
      changed_.notify_all();
    }
    parts_[static_cast<std::size_t>(rank)] = std::move(part);
    if (++arrived_ == size_) {
      result_ = parts_;
      arrived_ = 0;
      ++round_;
      changed_.notify_all();
    } else {
      changed_.wait(lock, [&] { return round_ != round || !broken_.empty(); });
    }
    if (round_ == round && !broken_.empty()) throw std::runtime_error{broken_};
    return result_;
  }

  /// A rank that fails lets the others fail too, as a real group would.
  void leave(std::string const& why) {
    std::lock_guard const lock{mutex_};
    if (broken_.empty()) broken_ = why;
    changed_.notify_all();
  }

 private:
  int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<double>> parts_;
  std::vector<std::vector<double>> result_;
  std::string what_;
  std::string broken_;
  std::int64_t round_ = 0;
  int arrived_ = 0;
};

/// One rank's membership, as a distribution policy.
struct Rank {
  using slot = tacit::slot::distribution;
  static constexpr bool ranks_share_process = true;

  Group* group = nullptr;
  int number = 0;
  std::vector<std::string>* log = nullptr;  // the collectives of this rank

  template <class Parameters>
  class bound {
   public:
    static constexpr bool is_single = false;
    bound(Group* group, int number, std::vector<std::string>* log) : group_{group}, number_{number}, log_{log} {}

    struct guard {
      explicit guard(bool& flag) : flag_{&flag} { *flag_ = true; }
      guard(guard&& other) noexcept : flag_{std::exchange(other.flag_, nullptr)} {}
      guard& operator=(guard&&) = delete;
      ~guard() {
        if (flag_ != nullptr) *flag_ = false;
      }
      bool* flag_;
    };

    int rank() const { return number_; }
    int local_rank() const { return number_; }
    int world_size() const { return group_->size(); }
    void reduce_sum(std::span<double> numbers) {
      auto const parts = exchange("reduce_sum", {numbers.begin(), numbers.end()});
      std::ranges::fill(numbers, 0.0);
      for (auto const& part : parts) {
        for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] += part[i];
      }
    }
    void reduce_max(Tensor& tensor) {
      for (auto const& part : exchange("reduce_max", tensor.values())) {
        for (std::size_t i = 0; i < part.size(); ++i) tensor->values[i] = std::max(tensor->values[i], part[i]);
      }
    }
    std::int64_t agree(std::int64_t request) {
      double most = 0.0;
      for (auto const& part : exchange("agree", {static_cast<double>(request)})) most = std::max(most, part[0]);
      return static_cast<std::int64_t>(most);
    }
    std::vector<std::string> gather(std::string_view text) {
      std::vector<std::string> texts;
      for (auto const& part : exchange("gather", {text.begin(), text.end()}, false)) {
        std::string& one = texts.emplace_back();
        for (double c : part) one += static_cast<char>(c);
      }
      return texts;
    }
    Tensor gather(Tensor const& tensor, bool counts = true) {
      if (!counts) {
        std::vector<double> all = gather(Tensor{}).values();
        all.insert(all.end(), tensor.values().begin(), tensor.values().end());
        return Tensor{std::move(all)};
      }
      std::vector<double> all;
      for (auto const& part : exchange("gather", tensor.defined() ? tensor.values() : std::vector<double>{}, false)) all.insert(all.end(), part.begin(), part.end());
      return Tensor{std::move(all)};
    }
    Tensor sum(Tensor const& tensor, bool counts = true) {
      std::vector<double> all;
      if (!counts) {
        all = sum(Tensor{std::vector<double>(tensor.values().size(), 0.0)}).values();
        for (std::size_t i = 0; i < all.size(); ++i) all[i] += tensor.values()[i];
        return Tensor{std::move(all)};
      }
      for (auto const& part : exchange("sum", tensor.defined() ? tensor.values() : std::vector<double>{}, false)) {
        all.resize(std::max(all.size(), part.size()));
        for (std::size_t i = 0; i < part.size(); ++i) all[i] += part[i];
      }
      return all.empty() ? Tensor{} : Tensor{std::move(all)};
    }
    void broadcast(Tensor& tensor, int root) { tensor->values = exchange("broadcast", tensor.values())[static_cast<std::size_t>(root)]; }
    void barrier() { exchange("barrier", {}); }
    guard no_sync() { return guard{local_}; }
    void prepare_parameters(Parameters& parameters) {
      for (auto& parameter : parameters) broadcast(parameter.model, 0);
    }
    void prepare_gradients(Parameters& parameters) {
      if (local_) throw std::logic_error{"gradients are reduced inside a no_sync scope"};
      for (auto& parameter : parameters) {
        Tensor& grad = parameter.model->grad;
        if (!grad.defined()) grad = Tensor{std::vector<double>(parameter.model->values.size(), 0.0)};
        auto const parts = exchange("prepare_gradients", grad.values());
        std::ranges::fill(grad->values, 0.0);
        for (auto const& part : parts) {
          for (std::size_t i = 0; i < part.size(); ++i) grad->values[i] += part[i] / static_cast<double>(parts.size());
        }
      }
    }
    char const* name() const { return "fake group"; }

   private:
    std::vector<std::vector<double>> exchange(char const* what, std::vector<double> part, bool of_one_length = true) {
      if (log_ != nullptr) log_->emplace_back(what);
      std::size_t const own = part.size();
      auto parts = group_->exchange(number_, what, std::move(part));
      for (auto const& other : parts) {
        if (of_one_length && other.size() != own) throw std::runtime_error{"ranks call " + std::string{what} + " with lists of different lengths"};
      }
      return parts;
    }

    Group* group_;
    int number_;
    std::vector<std::string>* log_;
    bool local_ = false;
  };

  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {group, number, log};
  }
};

/// Runs `body(rank)` on a thread for each rank; the first exception is rethrown when all are done.
template <class Body>
void run_ranks(int size, Body const& body) {
  Group group{size};
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(Rank{&group, rank, nullptr});
      } catch (std::exception const& error) {
        errors[static_cast<std::size_t>(rank)] = std::current_exception();
        group.leave("rank " + std::to_string(rank) + " failed: " + error.what());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::exception_ptr const& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace fake
