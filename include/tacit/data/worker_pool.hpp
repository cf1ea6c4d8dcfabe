#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tacit/version.hpp"

namespace tacit::inline v0::data::detail {

/// Threads that fill the slots of a ring, which come back in the order in which they were handed in.
///
/// One thread hands in and takes out. A pool is a cache: moved or copied from, it gives nothing, and the source's threads
/// end (move) or go on (copy).
template <class Slot>
class WorkerPool {
 public:
  /// Makes the function that one thread runs on its slots; it must not throw.
  using make_work = std::function<std::function<void(Slot&)>()>;

  WorkerPool() = default;
  WorkerPool(WorkerPool&& other) noexcept { other.stop(); }
  WorkerPool& operator=(WorkerPool&& other) noexcept {
    stop();
    other.stop();
    return *this;
  }
  WorkerPool(WorkerPool const&) noexcept {}
  WorkerPool& operator=(WorkerPool const&) noexcept {
    stop();
    return *this;
  }
  ~WorkerPool() { stop(); }

  bool running() const noexcept { return ring_ != nullptr; }
  /// Slots handed in and not taken out.
  std::size_t outstanding() const noexcept { return ring_ ? ring_->handed_in - ring_->taken_out : 0; }
  bool has_room() const noexcept { return outstanding() < ring_->capacity; }

  /// Throws: std::system_error if a thread cannot be made; none is left then.
  void start(std::size_t threads, std::size_t capacity, make_work const& make) {
    stop();
    ring_ = std::make_unique<Ring>(capacity);
    try {
      for (std::size_t i = 0; i < threads; ++i) {
        threads_.emplace_back([ring = ring_.get(), work = make()] { ring->run(work); });
      }
    } catch (...) {
      stop();
      throw;
    }
  }

  /// The next free slot, to be filled in before `hand_in`.
  Slot& free_slot() noexcept { return ring_->at(ring_->handed_in); }
  void hand_in() {
    {
      std::lock_guard const lock{ring_->mutex};
      ++ring_->handed_in;
    }
    ring_->work_available.notify_one();
  }

  /// Waits for the oldest slot; it may be used until the next `hand_in`.
  Slot& take_out() {
    Ring& ring = *ring_;
    std::size_t const oldest = ring.taken_out % ring.capacity;
    std::unique_lock lock{ring.mutex};
    ring.slot_done.wait(lock, [&] { return ring.done[oldest]; });
    ring.done[oldest] = false;
    ++ring.taken_out;
    return ring.slots[oldest];
  }

  /// Joins all threads; what is in the slots is dropped. The work in hand is finished first.
  void stop() noexcept {
    if (ring_ == nullptr) return;
    {
      std::lock_guard const lock{ring_->mutex};
      ring_->stopping = true;
    }
    ring_->work_available.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    ring_.reset();
  }

 private:
  struct Ring {
    explicit Ring(std::size_t size) : capacity{size}, slots{std::make_unique<Slot[]>(size)}, done(size, false) {}

    Slot& at(std::size_t ticket) noexcept { return slots[ticket % capacity]; }

    void run(std::function<void(Slot&)> const& work) {
      std::unique_lock lock{mutex};
      for (;;) {
        work_available.wait(lock, [&] { return stopping || taken != handed_in; });
        if (stopping) return;
        std::size_t const ticket = taken++;
        lock.unlock();
        work(at(ticket));
        lock.lock();
        done[ticket % capacity] = true;
        slot_done.notify_one();
      }
    }

    std::size_t capacity;
    std::unique_ptr<Slot[]> slots;
    std::mutex mutex{};
    std::condition_variable work_available{};
    std::condition_variable slot_done{};
    std::vector<bool> done;       // by slot; guarded, as all below
    std::size_t handed_in = 0;    // written by the one thread that hands in
    std::size_t taken = 0;        // by workers
    std::size_t taken_out = 0;    // by the thread that hands in
    bool stopping = false;
  };

  std::unique_ptr<Ring> ring_{};
  std::vector<std::thread> threads_{};
};

}  // namespace tacit::inline v0::data::detail
