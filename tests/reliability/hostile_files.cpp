// Hostile and unlucky input: what it may cost, and that running out of memory leaves nothing behind.
//
// This file replaces operator new for the whole test program; nothing is counted or fails but where a test asks.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <malloc.h>

#include "fake/file_system.hpp"
#include "tacit/state/state.hpp"

namespace {

/// What this thread allocates while `counting`.
struct Allocations {
  bool counting = false;
  std::int64_t fail_at = -1;
  std::int64_t calls = 0;
  std::int64_t living = 0;  // bytes
  std::int64_t most = 0;
};
thread_local Allocations allocations;

void* allocate(std::size_t size) {
  Allocations& a = allocations;
  if (a.counting && a.fail_at >= 0 && a.calls++ == a.fail_at) throw std::bad_alloc{};
  void* const place = std::malloc(size == 0 ? 1 : size);
  if (place == nullptr) throw std::bad_alloc{};
  if (a.counting) {
    a.living += static_cast<std::int64_t>(::malloc_usable_size(place));
    a.most = std::max(a.most, a.living);
  }
  return place;
}
void release(void* place) noexcept {
  if (place != nullptr && allocations.counting) allocations.living -= static_cast<std::int64_t>(::malloc_usable_size(place));
  std::free(place);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* place) noexcept { release(place); }
void operator delete[](void* place) noexcept { release(place); }
void operator delete(void* place, std::size_t) noexcept { release(place); }
void operator delete[](void* place, std::size_t) noexcept { release(place); }

namespace {

namespace st = tacit::safetensors;

std::span<std::byte const> bytes_of(std::string_view text) { return std::as_bytes(std::span{text}); }
std::string tensor_file(std::string_view header) {
  std::string file(8, '\0');
  std::uint64_t const length = header.size();
  std::memcpy(file.data(), &length, 8);
  return file.append(header);
}
std::string repeated(std::string_view part, std::size_t size) {
  std::string text;
  while (text.size() + part.size() <= size) text += part;
  return text;
}
std::string numbered(std::string_view before, std::string_view after, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; text.size() < size; ++i) text.append(text.empty() ? "" : ",").append("\"").append(before).append(std::to_string(i)).append(after);
  return text;
}

struct Part {
  static constexpr std::string_view state_name = "part";
  int steps = 0;
  std::string text{};
  std::vector<double> numbers{};
  std::optional<std::string> note{};

  static void visit_state(auto& self, auto&& visit) {
    visit("steps", self.steps);
    visit("text", self.text);
    visit("numbers", self.numbers);
    visit("note", self.note);
  }
  friend bool operator==(Part const&, Part const&) = default;
};
Part some_part() { return {4, "a text that is longer than what a string keeps in itself", {0.5, 0.25, 0.125}, "noted, also at some length"}; }
std::string no_tensors() { return st::serialize({}); }

/// The most memory that reading takes, whatever it says of the text.
template <class Read>
std::int64_t memory_of(Read const& read) {
  allocations = {.counting = true};
  try {
    read();
  } catch (tacit::StateError const&) {
  }
  std::int64_t const most = allocations.most;
  allocations = {};
  return most;
}

}  // namespace

TEST_CASE("a hostile megabyte takes no more than 64 MB, whoever reads it") {
  constexpr std::size_t size = 1'000'000;
  std::vector<std::string> const texts{
      repeated("[", size),
      repeated("{\"a\":", size),
      "[" + repeated("0,", size) + "0]",
      "[" + repeated("[],", size) + "0]",
      "[" + repeated("{},", size) + "0]",
      "[" + repeated("[0],", size) + "0]",
      "[" + repeated("\"\",", size) + "0]",
      "[" + repeated("\"0123456789abcdef\",", size) + "0]",
      "[" + repeated("{\"\":[]},", size) + "0]",
      "{" + numbered("", "\":0", size) + "}",
      "{" + numbered("a key that does not fit into itself ", "\":\"and its value neither, all of it\"", size) + "}",
      "{" + repeated("\"a\":0,", size) + "\"a\":0}",
      "\"" + std::string(size, 'x') + "\"",
      "\"" + repeated("\\u0000", size) + "\"",
      repeated("9", size),
      "0." + repeated("9", size),
      "{" + numbered("t", "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", size) + "}",
      "{\"__metadata__\":{" + numbered("", "\":\"\"", size) + "}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[" + repeated("0,", size) + "0],\"data_offsets\":[0,0]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615],\"data_offsets\":[0,18446744073709551615]}}",
      "{\"weight_map\":{" + numbered("", "\":\"a\"", size) + "}}",
      "{\"format\":\"tacit-state\",\"version\":1,\"parts\":{" + numbered("", "\":{}", size) + "}}",
      "{\"format\":\"tacit-state\",\"version\":1,\"parts\":{\"part\":{\"version\":1,\"members\":{\"numbers\":{\"type\":\"list<f64>\",\"value\":[" + repeated("0.5,", size) + "0.5]}}}}}",
  };
  std::int64_t most = 0;
  for (std::string const& text : texts) {
    std::string const file = tensor_file(text);
    std::string const tensors = no_tensors();
    std::string manifest = text;
    if (manifest.ends_with('}')) manifest.pop_back();
    manifest.append(tacit::detail::sum_before).append(tacit::detail::hex8(tacit::crc32c(bytes_of(manifest)))).append(tacit::detail::sum_after);
    Part part;
    std::int64_t const used = std::max({memory_of([&] { (void)tacit::json::parse(text, "text"); }), memory_of([&] { (void)st::parse(bytes_of(file), "file"); }),
                                        memory_of([&] { (void)st::parse_index(text, "index"); }), memory_of([&] { (void)tacit::parse_manifest(manifest, "manifest"); }),
                                        memory_of([&] { tacit::stage_state(text, "state", bytes_of(tensors), "tensors", {}, part).commit(); })});
    INFO(text.substr(0, 60) << "...: " << used);
    CHECK(used <= 64'000'000);
    most = std::max(most, used);
  }
  std::printf("at most %lld bytes for a text of 1 MB, %zu texts\n", static_cast<long long>(most), texts.size());
}

TEST_CASE("tensors that a header announces are not allocated") {
  std::string const file = tensor_file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1000000000,1000000],\"data_offsets\":[0,4000000000000000]}}");
  CHECK(memory_of([&] { (void)st::parse(bytes_of(file), "file"); }) < 20'000);
}

TEST_CASE("running out of memory at any allocation leaks nothing and changes nothing") {
  Part const saved = some_part();
  std::string const text = tacit::snapshot_state(saved).text;
  std::string const tensors = no_tensors();
  std::int64_t failures = 0;
  for (std::int64_t at = 0;; ++at) {
    Part part;
    part.text = "what was there before, long enough to be somewhere";
    Part const before = part;
    bool failed = false;
    allocations = {.counting = true, .fail_at = at};
    try {
      tacit::stage_state(text, "state.json", bytes_of(tensors), "state.safetensors", {}, part).commit();
    } catch (std::bad_alloc const&) {
      failed = true;
    }
    std::int64_t const leaked = allocations.living;
    allocations = {};
    if (!failed) {
      CHECK(part == saved);
      break;
    }
    ++failures;
    REQUIRE(leaked == 0);
    REQUIRE(part == before);
  }
  CHECK(failures > 50);

  std::int64_t while_writing = 0;
  for (std::int64_t at = 0;; ++at) {
    auto const disk = std::make_shared<fake::Disk>();
    fake::FileSystem const files{disk};
    {
      tacit::CheckpointWriter writer{"c", {}, files};
      tacit::save_state(writer, 1, {}, saved);
    }
    bool failed = false;
    allocations = {.counting = true, .fail_at = at};
    try {
      tacit::CheckpointWriter writer{"c", {.last = 1}, files};
      tacit::save_state(writer, 2, {}, saved);
    } catch (std::bad_alloc const&) {
      failed = true;
    }
    allocations = {};
    if (!failed) break;
    ++while_writing;
    REQUIRE(disk->locks().empty());
    REQUIRE(files.open_handles() == 0);
    auto const found = tacit::find_newest_checkpoint("c", files);
    REQUIRE(found.has_value());
    REQUIRE(found->skipped.empty());
    Part part;
    tacit::load_state(found->checkpoint, {}, part);
    REQUIRE(part == saved);
  }
  CHECK(while_writing > 50);
  std::printf("%lld failed allocations while loading, %lld while saving\n", static_cast<long long>(failures), static_cast<long long>(while_writing));
}
