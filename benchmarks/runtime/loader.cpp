// An epoch of batches from Tacit's loader and from torch::data's, of three sets: in memory, 1 ms of waiting a sample, 10 kB of
// inflating a sample. Each measurement is a process of its own, so that the memory it holds is its own too.
// needs: libtorch
// test: --repeats 3

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/data/torch_collate.hpp"

namespace {

constexpr std::int64_t batch_size = 64;
constexpr std::int64_t in_memory_samples = 50'000;
constexpr std::int64_t slow_samples = 512;
constexpr std::int64_t decoded_samples = 8'192;
constexpr std::size_t raw_bytes = 10'000;

struct Sample {
  torch::Tensor input;
  torch::Tensor target;
};

torch::Tensor slow_sample(std::int64_t index) {
  std::this_thread::sleep_for(std::chrono::milliseconds{1});
  return torch::full({16}, static_cast<double>(index));
}

/// 64 deflated texts of 10 kB.
std::vector<std::vector<Bytef>> const& deflated() {
  static auto const all = [] {
    std::vector<std::vector<Bytef>> result;
    for (unsigned i = 0; i < 64; ++i) {
      std::vector<Bytef> raw(raw_bytes);
      for (std::size_t k = 0; k < raw.size(); ++k) raw[k] = static_cast<Bytef>((k * (i + 3) / 7) % 61);
      std::vector<Bytef> packed(::compressBound(raw.size()));
      auto size = static_cast<uLongf>(packed.size());
      if (::compress(packed.data(), &size, raw.data(), raw.size()) != Z_OK) throw std::runtime_error{"zlib"};
      packed.resize(size);
      result.push_back(std::move(packed));
    }
    return result;
  }();
  return all;
}
torch::Tensor decoded_sample(std::int64_t index) {
  auto const& packed = deflated()[static_cast<std::size_t>(index) % deflated().size()];
  torch::Tensor bytes = torch::empty({static_cast<std::int64_t>(raw_bytes)}, torch::kByte);
  auto size = static_cast<uLongf>(raw_bytes);
  if (::uncompress(static_cast<Bytef*>(bytes.mutable_data_ptr()), &size, packed.data(), packed.size()) != Z_OK) throw std::runtime_error{"zlib"};
  return bytes.to(torch::kFloat).div_(61);
}

template <torch::Tensor (*Make)(std::int64_t)>
struct Made {
  std::int64_t count;
  std::int64_t size() const { return count; }
  Sample get(std::int64_t index) const { return {Make(index), torch::tensor(index)}; }
};
template <torch::Tensor (*Make)(std::int64_t)>
struct TorchMade : torch::data::Dataset<TorchMade<Make>> {
  explicit TorchMade(std::int64_t n) : count{n} {}
  torch::data::Example<> get(std::size_t index) override { return {Make(static_cast<std::int64_t>(index)), torch::tensor(static_cast<std::int64_t>(index))}; }
  torch::optional<std::size_t> size() const override { return static_cast<std::size_t>(count); }
  std::int64_t count;
};
/// The set in memory, as torch::data has it: a sample is a view, a batch is stacked of them.
struct TorchInMemory : torch::data::Dataset<TorchInMemory> {
  TorchInMemory(torch::Tensor x, torch::Tensor y) : inputs{std::move(x)}, targets{std::move(y)} {}
  torch::data::Example<> get(std::size_t index) override { return {inputs[static_cast<std::int64_t>(index)], targets[static_cast<std::int64_t>(index)]}; }
  torch::optional<std::size_t> size() const override { return static_cast<std::size_t>(inputs.size(0)); }
  torch::Tensor inputs;
  torch::Tensor targets;
};

struct Result {
  double seconds = 0.0;
  double mib = 0.0;
};
/// Runs `epoch` in a child; it gives how many samples it saw.
template <class Epoch>
Result measure(std::int64_t samples, Epoch const& epoch) {
  int pipes[2];
  if (::pipe(pipes) != 0) throw std::runtime_error{"pipe"};
  ::pid_t const child = ::fork();
  if (child == 0) {
    auto const start = std::chrono::steady_clock::now();
    bool good = false;
    try {
      good = epoch() == samples;
    } catch (std::exception const& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (::write(pipes[1], &seconds, sizeof seconds) != sizeof seconds) ::_exit(1);
    ::_exit(good ? 0 : 1);
  }
  ::close(pipes[1]);
  Result result;
  ::ssize_t const got = ::read(pipes[0], &result.seconds, sizeof result.seconds);
  ::close(pipes[0]);
  int status = 0;
  ::rusage usage{};
  if (::wait4(child, &status, 0, &usage) != child || status != 0 || got != sizeof result.seconds) throw std::runtime_error{"a measurement failed"};
  result.mib = static_cast<double>(usage.ru_maxrss) / 1024.0;
  return result;
}

template <class Data>
Result ours(Data const& data, std::int64_t samples, std::int64_t workers) {
  return measure(samples, [&] {
    auto batches = tacit::data::loader(data, {.batch_size = batch_size, .shuffle = true, .workers = tacit::data::Workers{workers}});
    std::int64_t seen = 0;
    for (auto const& batch : batches.epoch(1, tacit::EpochIndex{0})) seen += batch.input.size(0);
    return seen;
  });
}
template <class Data>
Result theirs(Data const& data, std::int64_t samples, std::int64_t workers) {
  return measure(samples, [&] {
    auto batches = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
        Data{data}.map(torch::data::transforms::Stack<>()), torch::data::DataLoaderOptions().batch_size(batch_size).workers(static_cast<std::size_t>(workers)));
    std::int64_t seen = 0;
    for (auto const& batch : *batches) seen += batch.data.size(0);
    return seen;
  });
}

Result middle(std::vector<Result> results) {
  std::ranges::sort(results, {}, &Result::seconds);
  return results[results.size() / 2];
}

template <class Ours, class Theirs>
void compare(char const* name, Ours const& data, Theirs const& other, std::int64_t samples, std::int64_t workers, int repeats) {
  std::vector<Result> a;
  std::vector<Result> b;
  for (int i = 0; i < repeats; ++i) {
    a.push_back(ours(data, samples, workers));
    b.push_back(theirs(other, samples, workers));
  }
  Result const x = middle(a);
  Result const y = middle(b);
  std::printf("%-10s %d workers   tacit %9.0f samples/s %6.0f MiB   torch::data %9.0f samples/s %6.0f MiB   ratio of times %.3f\n", name, static_cast<int>(workers),
              static_cast<double>(samples) / x.seconds, x.mib, static_cast<double>(samples) / y.seconds, y.mib, x.seconds / y.seconds);
}

}  // namespace

int main(int argc, char** argv) try {
  int repeats = 7;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view{argv[i]} == "--repeats") repeats = std::max(std::atoi(argv[i + 1]), 1);
  }
  // Made before the children are; nothing here starts a thread.
  torch::Tensor const inputs = torch::empty({in_memory_samples, 784});
  torch::Tensor const targets = torch::empty({in_memory_samples}, torch::kLong);
  inputs.zero_();
  targets.zero_();
  (void)deflated();
  tacit::data::TensorDataset const in_memory{inputs, targets};
  TorchInMemory const torch_in_memory{inputs, targets};
  for (std::int64_t const workers : {0, 2}) compare("in memory", in_memory, torch_in_memory, in_memory_samples, workers, repeats);
  for (std::int64_t const workers : {0, 4}) compare("1 ms", Made<slow_sample>{slow_samples}, TorchMade<slow_sample>{slow_samples}, slow_samples, workers, repeats);
  for (std::int64_t const workers : {0, 2}) compare("inflate", Made<decoded_sample>{decoded_samples}, TorchMade<decoded_sample>{decoded_samples}, decoded_samples, workers, repeats);
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
