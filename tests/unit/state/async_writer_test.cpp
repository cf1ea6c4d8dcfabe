#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/file_system.hpp"
#include "tacit/state/async_writer.hpp"

namespace async_writer_tests {
namespace {

/// Lets a test hold the writing thread at its first write.
struct Gate {
  std::mutex mutex{};
  std::condition_variable changed{};
  bool closed = false;
  bool waiting = false;

  void pass() {
    std::unique_lock lock{mutex};
    if (!closed) return;
    waiting = true;
    changed.notify_all();
    changed.wait(lock, [&] { return !closed; });
    waiting = false;
  }
  void close() {
    std::lock_guard const lock{mutex};
    closed = true;
  }
  void wait_for_writer() {
    std::unique_lock lock{mutex};
    changed.wait(lock, [&] { return waiting; });
  }
  void open() {
    std::lock_guard const lock{mutex};
    closed = false;
    changed.notify_all();
  }
};
class GatedFileSystem : public fake::FileSystem {
 public:
  GatedFileSystem(std::shared_ptr<fake::Disk> disk, std::shared_ptr<Gate> gate, std::shared_ptr<fake::Fault> fault = nullptr)
      : fake::FileSystem{std::move(disk), std::move(fault)}, gate_{std::move(gate)} {}
  int write(int handle, std::span<std::byte const> from, std::size_t& done) {
    gate_->pass();
    return fake::FileSystem::write(handle, from, done);
  }

 private:
  std::shared_ptr<Gate> gate_;
};

struct Weights {
  static constexpr std::string_view state_name = "weights";
  std::vector<double> values = std::vector<double>(1000, 0.5);
  static void visit_state(auto& self, auto&& visit) { visit("values", self.values); }
};
Weights loaded(std::shared_ptr<fake::Disk> const& disk) {
  Weights weights;
  tacit::load_state(tacit::find_newest_checkpoint("c", fake::FileSystem{disk})->checkpoint, {}, weights);
  return weights;
}

}  // namespace

TEST_CASE("an asynchronous save has the state at the call, although training changes it at once") {
  auto const disk = std::make_shared<fake::Disk>();
  auto const gate = std::make_shared<Gate>();
  tacit::CheckpointWriter writer{"c", {.last = 2}, GatedFileSystem{disk, gate}};
  tacit::AsyncCheckpointWriter async{writer};
  Weights weights;
  gate->close();
  async.save(1, {}, weights);
  weights.values.assign(1000, 0.25);
  gate->wait_for_writer();
  CHECK(async.in_flight());
  CHECK(tacit::list_checkpoints("c", fake::FileSystem{disk}).empty());
  gate->open();
  async.finish();
  CHECK_FALSE(async.in_flight());
  CHECK(loaded(disk).values == std::vector<double>(1000, 0.5));
  for (std::int64_t number = 2; number < 20; ++number) {
    weights.values.assign(1000, static_cast<double>(number));
    async.save(number, {}, weights);  // waits for the one before
    weights.values.assign(1000, -1.0);
  }
  async.finish();
  CHECK(loaded(disk).values == std::vector<double>(1000, 19.0));
  CHECK(tacit::list_checkpoints("c", fake::FileSystem{disk}).size() == 2);
}

TEST_CASE("an error of an asynchronous save is thrown by the next call, once") {
  auto const disk = std::make_shared<fake::Disk>();
  auto const fault = std::make_shared<fake::Fault>();
  tacit::CheckpointWriter writer{"c", {}, fake::FileSystem{disk, fault}};
  tacit::AsyncCheckpointWriter async{writer};
  Weights const weights;
  auto const code_of = [](auto const& body) {
    try {
      body();
      return std::string{"accepted"};
    } catch (tacit::StateError const& error) {
      return error.code();
    }
  };
  async.check();
  fault->at = fault->calls + 6;
  fault->error = ENOSPC;
  async.save(1, {}, weights);
  CHECK(code_of([&] { async.save(2, {}, weights); }) == "TACIT-RS40");
  CHECK(tacit::list_checkpoints("c", fake::FileSystem{disk}).empty());
  CHECK(code_of([&] { async.save(2, {}, weights); }) == "accepted");
  CHECK(code_of([&] { async.finish(); }) == "accepted");
  async.save(2, {}, weights);  // exists already
  while (async.in_flight()) {
  }
  CHECK(code_of([&] { async.check(); }) == "TACIT-RS67");
  CHECK(code_of([&] { async.check(); }) == "accepted");
}

TEST_CASE("a save in flight is finished before the writer is gone") {
  auto const disk = std::make_shared<fake::Disk>();
  tacit::CheckpointWriter writer{"c", {}, fake::FileSystem{disk}};
  {
    tacit::AsyncCheckpointWriter async{writer};
    async.save(1, 0.5, Weights{});
  }
  CHECK(tacit::list_checkpoints("c", fake::FileSystem{disk}).size() == 1);
}

}  // namespace async_writer_tests
