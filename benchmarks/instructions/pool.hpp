#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "program.hpp"

// include: in one translation unit
//
// Memory at a constant cost, for programs whose instructions are counted: what glibc's heap spends on a call depends on all
// calls before it, by hundreds of instructions, so that two programs which allocate alike differ. Here a free block of the
// size comes from its list and goes back to it. The whole malloc family is replaced, for LibTorch as well.

namespace pool {

/// Stands right before the memory that is handed out.
struct alignas(16) Header {
  Header** list;  // where it goes when it is freed
  Header* next;   // in the list; while it is handed out the block's first header, which an alignment may leave behind
};

inline constexpr std::size_t small_units = 4096;  // of 16 bytes; above them sizes are powers of two
inline Header* small_lists[small_units];
inline Header* large_lists[64];
inline char* arena = nullptr;
inline std::size_t arena_left = 0;
inline std::atomic_flag busy{};

inline void* map(std::size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return memory;
}

inline std::size_t units_of(std::size_t bytes) { return bytes > small_units * 16 ? small_units : std::max<std::size_t>(1, (bytes + 15) / 16); }
inline std::size_t capacity(Header const* block) {
  if (block->list >= small_lists && block->list < small_lists + small_units) return 16 * static_cast<std::size_t>(block->list - small_lists);
  return std::size_t{1} << (block->list - large_lists);
}

inline Header* take(std::size_t bytes) {
  std::size_t const units = units_of(bytes);
  bool const is_small = units < small_units;
  Header*& list = is_small ? small_lists[units] : large_lists[std::bit_width(bytes - 1)];
  while (busy.test_and_set(std::memory_order_acquire)) {
  }
  Header* block = list;
  if (block != nullptr) {
    list = block->next;
  } else {
    std::size_t const whole = sizeof(Header) + (is_small ? 16 * units : std::size_t{1} << std::bit_width(bytes - 1));
    if (!is_small) {
      block = static_cast<Header*>(map(whole));
    } else {
      if (arena_left < whole) {
        arena_left = std::size_t{1} << 24;
        arena = static_cast<char*>(map(arena_left));
      }
      block = reinterpret_cast<Header*>(arena);
      arena += whole;
      arena_left -= whole;
    }
    block->list = &list;
  }
  block->next = block;
  busy.clear(std::memory_order_release);
  return block;
}

inline void give(Header* block) {
  while (busy.test_and_set(std::memory_order_acquire)) {
  }
  block->next = *block->list;
  *block->list = block;
  busy.clear(std::memory_order_release);
}

inline Header* header_of(void* memory) { return static_cast<Header*>(memory) - 1; }

inline void* aligned(std::size_t alignment, std::size_t bytes) {
  Header* const block = take(bytes + alignment);
  auto const start = reinterpret_cast<std::uintptr_t>(block + 1);
  auto const at = (start + alignment - 1) / alignment * alignment;
  auto* const memory = reinterpret_cast<void*>(at);
  if (at != start) *header_of(memory) = {nullptr, block};
  return memory;
}

}  // namespace pool

extern "C" {
void* malloc(std::size_t bytes) noexcept { return pool::take(bytes) + 1; }
void free(void* memory) noexcept {
  if (memory != nullptr) pool::give(pool::header_of(memory)->next);
}
void* calloc(std::size_t count, std::size_t bytes) noexcept {
  if (bytes != 0 && count > SIZE_MAX / bytes) return nullptr;
  // Not by malloc: the compiler would make a call of calloc of it.
  return std::memset(pool::take(count * bytes) + 1, 0, count * bytes);
}
void* realloc(void* old, std::size_t bytes) noexcept {
  void* const memory = malloc(bytes);
  if (old == nullptr) return memory;
  pool::Header* const block = pool::header_of(old)->next;
  auto const behind = static_cast<std::size_t>(static_cast<char*>(old) - reinterpret_cast<char*>(block + 1));
  std::memcpy(memory, old, std::min(bytes, pool::capacity(block) - behind));
  free(old);
  return memory;
}
void* memalign(std::size_t alignment, std::size_t bytes) noexcept { return pool::aligned(alignment, bytes); }
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept { return pool::aligned(alignment, bytes); }
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) noexcept {
  *memory = pool::aligned(alignment, bytes);
  return 0;
}
std::size_t malloc_usable_size(void* memory) noexcept {
  if (memory == nullptr) return 0;
  pool::Header* const block = pool::header_of(memory)->next;
  return pool::capacity(block) - static_cast<std::size_t>(static_cast<char*>(memory) - reinterpret_cast<char*>(block + 1));
}
}

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++benchmark::allocations;
  return malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, std::size_t) noexcept { free(memory); }
