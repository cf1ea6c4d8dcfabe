// needs: libtorch
// SIGKILL at any instant of a hand-written loop: the newest committed checkpoint loads, no more than one interval of work is lost,
// and the run that goes on from it ends with the bits of a run that nobody killed.

#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include <csignal>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/state/module_state.hpp"
#include "tacit/state/optimizer_state.hpp"
#include "tacit/state/torch/tensor.hpp"
#include "tacit/task/optim/adamw.hpp"

namespace kills_tests {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t updates = 60;
constexpr std::int64_t interval = 5;
constexpr int wanted_kills = 200;

/// What child and parent see of each other.
struct Shared {
  std::atomic<std::int64_t> update{0};         // the last one made
  std::atomic<std::int64_t> acknowledged{0};   // the last one whose checkpoint was acknowledged
  std::atomic<std::int64_t> operations{0};     // of the file system
  std::atomic<std::int64_t> fatal{-1};         // the operation at which the child dies
  std::atomic<bool> saving{false};
  std::atomic<std::uint64_t> hash{0};          // of all parts at the end
};
Shared* shared = nullptr;

/// The machine's file system, in which the operation of that number is the last thing the process does: before it or after it.
struct FatalFileSystem : tacit::PosixFileSystem {
  static void count() {
    if (shared->operations.fetch_add(1) == shared->fatal.load()) ::kill(::getpid(), SIGKILL);
  }
  int open_new(std::string const& path, int& handle) const { return counted([&] { return PosixFileSystem::open_new(path, handle); }); }
  int write(int handle, std::span<std::byte const> from, std::size_t& done) const { return counted([&] { return PosixFileSystem::write(handle, from, done); }); }
  int sync(int handle) const { return counted([&] { return PosixFileSystem::sync(handle); }); }
  int make_directory(std::string const& path) const { return counted([&] { return PosixFileSystem::make_directory(path); }); }
  int rename(std::string const& from, std::string const& to) const { return counted([&] { return PosixFileSystem::rename(from, to); }); }
  int remove_file(std::string const& path) const { return counted([&] { return PosixFileSystem::remove_file(path); }); }
  int remove_directory(std::string const& path) const { return counted([&] { return PosixFileSystem::remove_directory(path); }); }
  int sync_directory(std::string const& path) const { return counted([&] { return PosixFileSystem::sync_directory(path); }); }

 private:
  template <class Call>
  static int counted(Call const& call) {
    count();
    int const result = call();
    count();
    return result;
  }
};

struct Net : torch::nn::Module {
  torch::nn::Linear hidden{register_module("hidden", torch::nn::Linear(8, 32))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(32))};
  torch::nn::Dropout drop{register_module("drop", torch::nn::Dropout(0.2))};
  torch::nn::Linear output{register_module("output", torch::nn::Linear(32, 1))};

  torch::Tensor forward(torch::Tensor const& x) { return output(drop(torch::relu(norm(hidden(x))))); }
};

struct Progress {
  static constexpr std::string_view state_name = "progress";
  std::int64_t update = 0;
  double loss_sum = 0.0;  // a history
  static void visit_state(auto& self, auto&& visit) {
    visit("update", self.update);
    visit("loss_sum", self.loss_sum);
  }
};

/// The whole life of a child.
void train(fs::path const& directory) {
  torch::manual_seed(11);
  auto const inputs = torch::randn({200, 8});
  tacit::data::TensorDataset const data{inputs, inputs.sum(1, true)};
  Net net;
  auto parameters = tacit::parameters_of(net);
  auto optimizer = tacit::optim::AdamW{.lr = 1e-2}.bind(parameters);
  auto batches = tacit::data::loader(data, {.batch_size = 16, .shuffle = true, .seed = 42});
  Progress progress;
  tacit::ModuleState model{net};
  tacit::OptimizerState optimizer_state{optimizer, parameters};
  tacit::GeneratorState random;

  tacit::CheckpointWriter<FatalFileSystem> writer{directory, {.last = 2}};
  if (auto const found = tacit::find_newest_checkpoint(directory)) {
    if (!found->skipped.empty()) throw std::runtime_error{found->note()};  // a kill damages nothing that was committed
    tacit::load_state(found->checkpoint, {}, model, optimizer_state, random, progress);
  } else {
    torch::manual_seed(12);
  }
  shared->update = progress.update;
  while (progress.update < updates) {
    batches.start_epoch(0, tacit::EpochIndex{progress.update / batches.size()});
    batches.seek(progress.update % batches.size());
    for (std::optional<tacit::data::Batch> batch; progress.update < updates && batches.next(batch);) {
      auto const loss = torch::mse_loss(net.forward(batch->input), batch->target);
      loss.backward();
      optimizer.step(parameters);
      parameters.clear_gradients();
      progress.loss_sum += loss.item<double>();
      shared->update = ++progress.update;
      if (progress.update % interval == 0) {
        shared->saving = true;
        tacit::save_state(writer, progress.update, {}, model, optimizer_state, random, progress);
        shared->acknowledged = progress.update;
        shared->saving = false;
      }
    }
  }
  shared->hash = tacit::state_hash(model) ^ (3 * tacit::state_hash(optimizer_state)) ^ (5 * tacit::state_hash(random)) ^ (7 * tacit::state_hash(progress));
}

/// Starts a child; the parent has not touched LibTorch, and has no other thread.
::pid_t start(fs::path const& directory) {
  shared->saving = false;
  shared->operations = 0;
  shared->update = 0;
  ::pid_t const child = ::fork();
  if (child != 0) return child;
  try {
    train(directory);
    ::_exit(0);
  } catch (std::exception const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    ::_exit(3);
  }
}
/// How the child ended: killed or not.
bool was_killed(::pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) {
    REQUIRE(WTERMSIG(status) == SIGKILL);
    return true;
  }
  REQUIRE(WEXITSTATUS(status) == 0);
  return false;
}

}  // namespace

TEST_CASE("200 kills, a quarter of them inside a save, lose nothing that was acknowledged") {
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  shared = new (memory) Shared;
  fs::path const root = fs::temp_directory_path() / ("tacit-kills-" + std::to_string(::getpid()));
  fs::remove_all(root);

  auto const begin = std::chrono::steady_clock::now();
  REQUIRE_FALSE(was_killed(start(root / "whole")));
  auto const took = std::chrono::steady_clock::now() - begin;
  std::uint64_t const wanted = shared->hash;
  std::int64_t const operations = shared->operations;
  REQUIRE(wanted != 0);
  REQUIRE(operations > 100);

  auto const seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 draw{seed};
  int kills = 0;
  int in_saves = 0;
  int aimed = 0;
  int runs = 0;
  std::int64_t lost = 0;
  while (kills < wanted_kills) {
    fs::path const directory = root / ("run-" + std::to_string(runs));
    shared->acknowledged = 0;
    for (bool finished = false; !finished;) {
      bool const aims = kills % 4 == 0 && kills < wanted_kills;
      // What an earlier child left to tidy up comes on top; most aims hit, the others end a run.
      shared->fatal = aims ? static_cast<std::int64_t>(draw() % static_cast<std::uint64_t>(operations)) : -1;
      ::pid_t const child = start(directory);
      if (!aims && kills < wanted_kills) {
        std::this_thread::sleep_for(took * static_cast<double>(draw() % 1000) / 1500.0);
        ::kill(child, SIGKILL);
      }
      finished = !was_killed(child);
      if (finished) break;
      ++kills;
      aimed += aims ? 1 : 0;
      in_saves += shared->saving ? 1 : 0;
      auto const found = tacit::find_newest_checkpoint(directory);
      std::int64_t const newest = found ? static_cast<std::int64_t>(found->checkpoint.number()) : 0;
      CAPTURE(kills, newest);
      if (found) REQUIRE(found->note().empty());
      REQUIRE(newest >= shared->acknowledged);
      REQUIRE(shared->update - newest <= interval);
      lost += std::max<std::int64_t>(shared->update - newest, 0);  // killed before it had read the checkpoint: nothing
    }
    REQUIRE(shared->hash == wanted);
    ++runs;
    fs::remove_all(directory);
  }
  std::printf("kills %d (aimed at an operation of a save %d, found inside a save %d), finished runs %d, all equal to the last bit; updates lost per kill %.2f, at most %d\n",
              kills, aimed, in_saves, runs, static_cast<double>(lost) / kills, static_cast<int>(interval));
  REQUIRE(in_saves >= wanted_kills / 4);
  fs::remove_all(root);
  ::munmap(memory, sizeof(Shared));
}

}  // namespace kills_tests
