// A checkpoint against the plain system calls of the same bytes: save against write + fsync, load against read + copy; and what a
// save costs a training loop, at once and in the background.
// needs: libtorch
// test: --mib 64

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "tacit/state/async_writer.hpp"
#include "tacit/state/module_state.hpp"
#include "tacit/state/optimizer_state.hpp"
#include "tacit/state/torch/tensor.hpp"
#include "tacit/task/optim/adamw.hpp"

namespace {

namespace fs = std::filesystem;
constexpr std::size_t runs = 7;

double seconds_of(auto const& work) {
  auto const start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}
void check(bool good) {
  if (!good) throw std::runtime_error{"a system call failed"};
}

/// Layers of 4 MiB, as many as asked for.
struct Model : torch::nn::Module {
  explicit Model(std::int64_t mib) {
    for (std::int64_t i = 0; i < std::max<std::int64_t>(mib / 4, 1); ++i) register_parameter("layer" + std::to_string(i), torch::randn({1024, 1024}));
  }
};

void write_plainly(std::string const& path, std::vector<torch::Tensor> const& tensors) {
  int const file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
  check(file >= 0);
  for (torch::Tensor const& t : tensors) {
    auto const* from = static_cast<char const*>(t.const_data_ptr());
    for (std::size_t left = t.nbytes(); left != 0;) {
      auto const done = ::write(file, from, left);
      check(done > 0);
      from += done;
      left -= static_cast<std::size_t>(done);
    }
  }
  check(::fsync(file) == 0 && ::close(file) == 0);
}
void read_plainly(std::string const& path, std::vector<torch::Tensor> const& tensors) {
  int const file = ::open(path.c_str(), O_RDONLY);
  check(file >= 0);
  auto const size = static_cast<std::size_t>(fs::file_size(path));
  auto const bytes = std::make_unique_for_overwrite<char[]>(size);
  char* into = bytes.get();
  for (std::size_t left = size; left != 0;) {
    auto const done = ::read(file, into, left);
    check(done > 0);
    into += done;
    left -= static_cast<std::size_t>(done);
  }
  check(::close(file) == 0);
  char const* from = bytes.get();
  for (torch::Tensor const& t : tensors) {
    std::memcpy(t.data_ptr(), from, t.nbytes());
    from += t.nbytes();
  }
}

void measure_throughput(fs::path const& directory, std::int64_t mib) {
  Model model{mib};
  tacit::ModuleState state{model};
  std::vector<torch::Tensor> tensors;
  for (auto const& item : model.named_parameters()) tensors.push_back(item.value().detach());
  std::vector<double> save, load, plain_write, plain_read;
  std::int64_t number = 0;
  for (std::size_t run = 0; run <= runs; ++run) {
    tacit::CheckpointWriter writer{directory / "ours"};
    double const saved = seconds_of([&] { tacit::save_state(writer, ++number, {}, state); });
    double const written = seconds_of([&] { write_plainly(directory / "plain", tensors); });
    double const loaded = seconds_of([&] { tacit::load_state(tacit::Checkpoint{directory / "ours" / tacit::list_checkpoints(directory / "ours").back()}, {}, state); });
    double const read = seconds_of([&] { read_plainly(directory / "plain", tensors); });
    fs::remove_all(directory / "ours");
    fs::remove(directory / "plain");
    if (run == 0) continue;  // warms caches
    save.push_back(saved);
    plain_write.push_back(written);
    load.push_back(loaded);
    plain_read.push_back(read);
  }
  auto const size = static_cast<double>(mib);
  std::printf("%-34s %8.1f MiB/s\n", "save_state", size / median(save));
  std::printf("%-34s %8.1f MiB/s   save is %.2f of it (goal: 0.9)\n", "write + fsync", size / median(plain_write), median(plain_write) / median(save));
  std::printf("%-34s %8.1f MiB/s\n", "load_state", size / median(load));
  std::printf("%-34s %8.1f MiB/s   load is %.2f of it (goal: 0.9)\n", "read + copy", size / median(plain_read), median(plain_read) / median(load));
}

/// What a loop pays: a step of about a millisecond, a checkpoint of 3 MiB every 100 steps.
void measure_loop(fs::path const& directory) {
  constexpr std::int64_t steps = 600;
  constexpr std::int64_t interval = 100;
  enum class Saving { none, at_once, in_background };
  auto const loop = [&](Saving saving) {
    torch::nn::Sequential net{torch::nn::Linear(256, 512), torch::nn::ReLU(), torch::nn::Linear(512, 256)};
    auto parameters = tacit::parameters_of(*net);
    auto optimizer = tacit::optim::AdamW{}.bind(parameters);
    auto const x = torch::randn({32, 256});
    tacit::ModuleState const model{*net};
    tacit::OptimizerState const state{optimizer, parameters};
    fs::remove_all(directory / "loop");
    tacit::CheckpointWriter writer{directory / "loop", {.last = 2}};
    tacit::AsyncCheckpointWriter background{writer};
    return seconds_of([&] {
      for (std::int64_t step = 1; step <= steps; ++step) {
        torch::mse_loss(net->forward(x), x).backward();
        optimizer.step(parameters);
        parameters.clear_gradients();
        if (step % interval != 0 || saving == Saving::none) continue;
        if (saving == Saving::at_once) {
          tacit::save_state(writer, step, {}, model, state);
        } else {
          background.save(step, {}, model, state);
        }
      }
      background.finish();
    });
  };
  std::vector<double> none, at_once, in_background;
  for (std::size_t run = 0; run <= runs; ++run) {
    double const a = loop(Saving::none);
    double const b = loop(Saving::at_once);
    double const c = loop(Saving::in_background);
    if (run == 0) continue;
    none.push_back(a);
    at_once.push_back(b);
    in_background.push_back(c);
  }
  std::printf("a loop that saves every %d steps of %.2f ms: %+.1f %% at once, %+.1f %% in the background (aim: 3.5)\n", static_cast<int>(interval),
              1e3 * median(none) / static_cast<double>(steps), 100.0 * (median(at_once) / median(none) - 1.0), 100.0 * (median(in_background) / median(none) - 1.0));
}

}  // namespace

int main(int argc, char** argv) try {
  std::int64_t mib = 256;
  fs::path directory = "checkpoint_benchmark";
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view{argv[i]} == "--mib") mib = std::max(std::atoll(argv[i + 1]), 4LL);
    if (std::string_view{argv[i]} == "--directory") directory = argv[i + 1];
  }
  fs::remove_all(directory);
  fs::create_directories(directory);
  std::printf("%lld MiB, median of %zu runs, first run left out\n", static_cast<long long>(mib), runs);
  measure_throughput(directory, mib);
  measure_loop(directory);
  fs::remove_all(directory);
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
