// How many threads LibTorch should have: one, all, what `Auto` decides from the first batch, and what it measures;
// alone and beside busy processes.
// `--model NAME` takes one model, `--rounds N` sets how often each is timed (3), whose shortest time counts.
// needs: libtorch
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <torch/torch.h>
#include <tacit/tacit.hpp>
#include <tacit/launch/arguments.hpp>
#include <tacit/policy/device/auto_device.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "models.hpp"

namespace {

// What `auto` has to reach, its first epoch included.
constexpr double most_alone = 1.1;         // times the better of one and all threads
constexpr double most_beside_others = 1.3;  // times itself alone, where it takes one thread

/// 784-2048-2048-10: a model for which all threads are better.
struct Wide : torch::nn::Module {
  static constexpr char const* title = "wide";
  static constexpr std::int64_t batch = 256;
  static constexpr std::int64_t samples = 5'120;
  using library_loss = tacit::loss::CrossEntropy;
  static models::Data data(std::int64_t count) { return models::images(count); }

  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 2048))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(2048, 2048))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(2048, 10))};

  torch::Tensor forward(torch::Tensor const& x) { return third(torch::relu(second(torch::relu(first(x.flatten(1)))))); }
};

/// Processes that do nothing but compute, one for each processor but one.
class Busy {
 public:
  explicit Busy(long count) {
    for (long i = 0; i < count; ++i) {
      pid_t const child = fork();
      if (child < 0) throw std::runtime_error{"cannot start a busy process"};
      if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
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

/// Microseconds a step of an epoch, and the number of threads at its end.
struct Timed {
  double time;
  std::int64_t threads;
};
template <class Model>
Timed train(models::Data const& data, std::string const& threads) {
  torch::manual_seed(1);
  tacit::data::TensorDataset const samples{data.inputs, data.targets};
  tacit::Trainer trainer{std::make_shared<Model>(), typename Model::library_loss{},
                         tacit::optim::Sgd{.lr = 1e-3, .momentum = 0.9},
                         tacit::AutoDevice{.choice = "cpu", .threads = threads}, tacit::CallbackPack{}};
  auto const result =
      trainer.train(samples, {.epochs = 1, .per_device_batch_size = Model::batch, .sink = tacit::Sink::none()});
  double const seconds = std::chrono::duration<double>(result.duration).count();
  return {1e6 * seconds / static_cast<double>(result.updates.value()), trainer.view().device().threads().count()};
}

constexpr std::array<char const*, 4> ways{"auto", "1", "all", "measured"};

/// The shortest times of the rounds, in the order of `ways`.
template <class Model>
std::array<Timed, ways.size()> compare(models::Data const& data, char const* scene, std::int64_t rounds) {
  std::array<Timed, ways.size()> best{};
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < ways.size(); ++i) {
      Timed const timed = train<Model>(data, ways[i]);
      if (round == 0 || timed.time < best[i].time) best[i] = timed;
    }
  }
  std::printf("%-5s %-12s", Model::title, scene);
  for (std::size_t i = 0; i < ways.size(); ++i)
    std::printf("  %s %9.1f us (%lld)", ways[i], best[i].time, static_cast<long long>(best[i].threads));
  std::printf("\n");
  std::fflush(stdout);
  return best;
}

/// Returns: whether `auto` reaches what it has to.
template <class Model>
bool look_at(std::string const& only, std::int64_t rounds) {
  if (!only.empty() && only != Model::title) return true;
  models::Data const data = Model::data(Model::samples);
  auto const alone = compare<Model>(data, "alone", rounds);
  double const ratio = alone[0].time / std::min(alone[1].time, alone[2].time);
  std::printf("%-5s auto / the better of 1 and all %.2f, at most %.2f\n", Model::title, ratio, most_alone);
  Busy const busy{std::max(1L, sysconf(_SC_NPROCESSORS_ONLN) - 1)};
  auto const beside = compare<Model>(data, "beside busy", rounds);
  if (alone[0].threads > 1) return ratio <= most_alone;
  double const slower = beside[0].time / alone[0].time;
  std::printf("%-5s auto beside busy processes / alone %.2f, at most %.2f\n", Model::title, slower, most_beside_others);
  return ratio <= most_alone && slower <= most_beside_others;
}

}  // namespace

int main(int argc, char** argv) try {
  tacit::launch::Arguments const arguments{
      tacit::launch::own_options,
      argc,
      argv,
      {{"model", "NAME", "mlp, cnn, gpt, one or wide (all)"}, {"rounds", "N", "times of each (3)"}}};
  if (arguments.help_requested()) return std::puts(arguments.help().c_str()), 0;
  std::string const only = arguments.text("model", "");
  std::int64_t const rounds = arguments.integer("rounds", 3);
  bool reached = look_at<models::Mlp>(only, rounds);
  reached = look_at<models::Cnn>(only, rounds) && reached;
  reached = look_at<models::Gpt>(only, rounds) && reached;
  reached = look_at<models::One>(only, rounds) && reached;
  reached = look_at<Wide>(only, rounds) && reached;
  return reached ? 0 : 1;
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
