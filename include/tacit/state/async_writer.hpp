#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tacit/core/units.hpp"
#include "tacit/state/checkpoint.hpp"
#include "tacit/state/state.hpp"

namespace tacit::inline v0 {

/// Saves snapshots on a thread of its own, at most one at a time; an error is thrown by the next call.
///
/// All collectives of the writer's group then happen on that thread: with more than one rank it needs a group that nothing
/// else uses.
template <file_system F = PosixFileSystem, checkpoint_group Group = SingleRank>
class AsyncCheckpointWriter {
 public:
  /// Borrows `writer`, which must not be used otherwise until this is gone.
  explicit AsyncCheckpointWriter(CheckpointWriter<F, Group>& writer) : writer_{writer}, thread_{[this] { work(); }} {}
  AsyncCheckpointWriter(AsyncCheckpointWriter const&) = delete;
  AsyncCheckpointWriter& operator=(AsyncCheckpointWriter const&) = delete;
  /// Waits for the save in flight. An error that nobody heard of is lost: call `finish` before.
  ~AsyncCheckpointWriter() {
    {
      std::lock_guard const lock{mutex_};
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// Copies the parts and returns while they are written. Waits first for a save that is still in flight.
  /// Throws: the error of the save before; then nothing new was begun.
  template <class... Parts>
  void save(Updates number, std::optional<double> metric, Parts const&... parts) {
    finish();
    (void)detail::number_of(number);
    SavedState snapshot = snapshot_state(parts...);
    {
      std::lock_guard const lock{mutex_};
      job_.emplace(Job{number, metric, std::move(snapshot)});
    }
    changed_.notify_all();
  }
  /// Throws: the error of the last save, if it is over; once. For calls between saves.
  void check() {
    std::lock_guard const lock{mutex_};
    throw_error();
  }
  bool in_flight() const {
    std::lock_guard const lock{mutex_};
    return job_.has_value();
  }
  /// Waits until nothing is in flight.
  /// Throws: the error of the last save, once.
  void finish() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return !job_.has_value(); });
    throw_error();
  }

 private:
  struct Job {
    Updates number;
    std::optional<double> metric;
    SavedState state;
  };

  void throw_error() {
    if (std::exception_ptr const error = std::exchange(error_, nullptr)) std::rethrow_exception(error);
  }
  void work() {
    std::unique_lock lock{mutex_};
    for (;;) {
      changed_.wait(lock, [&] { return job_.has_value() || ending_; });
      if (!job_.has_value()) return;
      lock.unlock();
      std::exception_ptr error;
      try {
        std::vector<CheckpointFile> const files = job_->state.files(writer_.rank(), writer_.world_size());
        writer_.save(job_->number, files, job_->metric);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      error_ = error;
      job_.reset();
      changed_.notify_all();
    }
  }

  CheckpointWriter<F, Group>& writer_;
  mutable std::mutex mutex_{};
  std::condition_variable changed_{};
  std::optional<Job> job_{};  // there while it is written
  std::exception_ptr error_{};
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace tacit::inline v0
