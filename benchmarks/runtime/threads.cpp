// What a second thread of LibTorch gives to a small and to a larger model, alone and beside a busy process, and what AutoThreads makes of it.
// needs: libtorch
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr std::size_t rounds = 3;

struct Net : torch::nn::Module {
  explicit Net(std::int64_t width) {
    first = register_module("first", torch::nn::Linear(784, width));
    second = register_module("second", torch::nn::Linear(width, width));
    third = register_module("third", torch::nn::Linear(width, 10));
  }
  torch::Tensor forward(torch::Tensor const& x) { return third(torch::relu(second(torch::relu(first(x))))); }
  torch::nn::Linear first{nullptr}, second{nullptr}, third{nullptr};
};

struct Model {
  char const* name;
  std::int64_t width;
  std::int64_t batch;
  std::int64_t steps;
};

/// Processes that do nothing but compute, one for each processor but one.
class Busy {
 public:
  explicit Busy(long count) {
    for (long i = 0; i < count; ++i) {
      pid_t const child = fork();
      if (child < 0) throw std::runtime_error{"cannot start a busy process"};
      if (child == 0) {
        std::uint64_t volatile x = 0;
        for (;;) (void)x;
      }
      children_.push_back(child);
    }
  }
  Busy(Busy const&) = delete;
  Busy& operator=(Busy const&) = delete;
  ~Busy() {
    for (pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  }

 private:
  std::vector<pid_t> children_{};
};

/// Seconds a step. With the callback the updates in which it tries count, too.
template <class Pack>
double train(Model const& model, std::int64_t threads, std::int64_t steps, Pack pack) {
  torch::manual_seed(1);
  torch::set_num_threads(static_cast<int>(threads));
  tacit::data::TensorDataset const data{torch::rand({model.batch * 8, 784}), torch::randint(10, {model.batch * 8}, torch::kLong)};
  tacit::Trainer trainer{std::make_shared<Net>(model.width), tacit::loss::CrossEntropy{}, tacit::optim::Sgd{.lr = 1e-3},
                         std::move(pack)};
  auto batches = tacit::data::loader(data, {.batch_size = model.batch});
  auto const result = trainer.train(batches, {.limit = {.updates = steps}, .sink = tacit::Sink::none()});
  return std::chrono::duration<double>(result.duration).count() / static_cast<double>(steps);
}
double median(std::array<double, rounds> values) {
  std::ranges::sort(values);
  return values[rounds / 2];
}

void compare(Model const& model, char const* scene, std::int64_t most) {
  std::array<double, rounds> one{};
  std::array<double, rounds> all{};
  std::array<double, rounds> found{};
  for (std::size_t round = 0; round < rounds; ++round) {
    one[round] = train(model, 1, model.steps, tacit::CallbackPack{});
    all[round] = train(model, most, model.steps, tacit::CallbackPack{});
    found[round] = train(model, most, model.steps, tacit::CallbackPack{tacit::AutoThreads{}});
  }
  std::printf("%-7s %-22s 1 thread %9.1f us a step, %lld threads %9.1f (%.2f times), AutoThreads %9.1f (%.2f times)\n", model.name, scene,
              1e6 * median(one), static_cast<long long>(most), 1e6 * median(all), median(all) / median(one), 1e6 * median(found), median(found) / median(one));
}

}  // namespace

int main() try {
  long const processors = sysconf(_SC_NPROCESSORS_ONLN);
  std::int64_t const most = std::max<std::int64_t>(2, processors);
  std::array<Model, 2> const models{{{"mlp", 128, 32, 400}, {"wide", 2048, 256, 60}}};
  for (Model const& model : models) {
    compare(model, "alone", most);
    Busy const busy{std::max(1L, processors - 1)};
    compare(model, "beside busy processes", most);
  }
  return 0;
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
