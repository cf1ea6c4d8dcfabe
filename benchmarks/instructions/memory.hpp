#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <new>
#include <utility>

// Memory at a constant cost for programs of one thread and one source file: a list of free blocks for each size, so that
// no count of instructions depends on the history of a heap; and a count of operator new.

namespace memory {

inline std::int64_t allocations = 0;  // calls of operator new

/// The bytes before a block; a block is as well aligned as at::Tensor's data: to 64 bytes.
struct alignas(64) Head {
  Head** list;  // of blocks of this size
  Head* next;   // in that list, while it is free
};

inline Head* take_new(Head** list, std::size_t lines) {
  void* const memory = std::aligned_alloc(64, 64 * (lines + 1));
  if (memory == nullptr) throw std::bad_alloc{};
  return new (memory) Head{list, nullptr};
}

inline void* take(std::size_t size) {
  static Head* lists[8192] = {};  // up to 512 KiB
  std::size_t const lines = (size + 63) / 64;
  if (lines >= std::size(lists)) return take_new(nullptr, lines) + 1;
  Head*& list = lists[lines];
  if (list == nullptr) [[unlikely]] list = take_new(&list, lines);
  return std::exchange(list, list->next) + 1;
}

inline void give_back(void* block) {
  if (block == nullptr) return;
  Head* const head = static_cast<Head*>(block) - 1;
  if (head->list == nullptr) return std::free(head);
  head->next = std::exchange(*head->list, head);
}

}  // namespace memory

// Not inlined: g++ would see one half of a pair and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++memory::allocations;
  return memory::take(size);
}
[[gnu::noinline]] void operator delete(void* block) noexcept { memory::give_back(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { memory::give_back(block); }
