// needs: libtorch
// Ranks are children of this process, over TCP on this host; tests/distributed starts programs as launchers do.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "free_port.hpp"
#include "laws/policy_laws.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/policy/distribution/auto_distribution.hpp"
#include "tacit/policy/distribution/ddp.hpp"
#include "tacit/policy/distribution/gloo.hpp"
#include "tacit/policy/precision/bf16_pure.hpp"
#include "tacit/policy/precision/fp64.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/sync_batch_norm.hpp"
#include "tacit/train/trainer.hpp"
#include "unit/torch_support.hpp"

namespace event = tacit::event;
using Catch::Matchers::ContainsSubstring;
using tacit::CallbackPack;
using torch_support::distance;
using torch_support::flat;
using tacit::Ddp;
using tacit::Gloo;

namespace {

/// What a rank came to: numbers, or an error.
struct Report {
  std::vector<double> numbers{};
  std::string code{};
  std::string what{};
};

/// Where the threads of a process stand, as a debugger tells it.
std::string stacks_of(pid_t pid) {
  std::string const command = "gdb -batch -p " + std::to_string(pid) + " -ex 'thread apply all bt 12' 2>/dev/null | grep -E '^(Thread|#)'";
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::string text;
  char buffer[4096];
  while (std::size_t const count = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, count);
  pclose(pipe);
  return text.empty() ? "no debugger tells where it stood (apt: gdb)" : text;
}

/// Runs body(world) in a process for each rank; ends them all if one is not done in time, and reports where it stood.
template <class Body>
std::vector<Report> run_ranks(int size, Body const& body, std::chrono::seconds limit = std::chrono::seconds{60}) {
  int const port = free_port();
  struct Child {
    pid_t pid;
    int pipe;
    std::string text{};
  };
  std::vector<Child> children;
  std::fflush(nullptr);
  for (int rank = 0; rank < size; ++rank) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pid_t const pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      std::string text;
      try {
        std::vector<double> const numbers = body(tacit::launch::World{.rank = rank, .world_size = size, .local_rank = rank, .local_world_size = size, .port = port});
        text = "R" + std::string{reinterpret_cast<char const*>(numbers.data()), numbers.size() * sizeof(double)};
      } catch (tacit::Error const& error) {
        text = "E" + std::string{error.code()} + " " + error.what();
      } catch (std::exception const& error) {
        text = std::string{"Enone "} + error.what();
      }
      for (std::size_t done = 0; done < text.size();) {
        ssize_t const count = write(ends[1], text.data() + done, text.size() - done);
        if (count <= 0) _exit(1);
        done += static_cast<std::size_t>(count);
      }
      _exit(0);
    }
    close(ends[1]);
    children.push_back({pid, ends[0]});
  }
  auto const deadline = std::chrono::steady_clock::now() + limit;
  std::vector<Report> reports;
  for (Child& child : children) {
    while (true) {
      auto const left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
      pollfd wait{child.pipe, POLLIN, 0};
      if (left <= 0 || poll(&wait, 1, static_cast<int>(left)) <= 0) {
        child.text = "not done in time:\n" + stacks_of(child.pid);
        break;
      }
      char buffer[4096];
      ssize_t const count = read(child.pipe, buffer, sizeof buffer);
      if (count <= 0) break;
      child.text.append(buffer, static_cast<std::size_t>(count));
    }
    close(child.pipe);
    kill(child.pid, SIGKILL);  // done or late
    waitpid(child.pid, nullptr, 0);
    Report report;
    if (child.text.starts_with('R')) {
      report.numbers.resize((child.text.size() - 1) / sizeof(double));
      if (!report.numbers.empty()) std::memcpy(report.numbers.data(), child.text.data() + 1, report.numbers.size() * sizeof(double));
    } else if (child.text.starts_with('E')) {
      report.code = child.text.substr(1, child.text.find(' ') - 1);
      report.what = child.text.substr(child.text.find(' ') + 1);
    } else {
      report.what = child.text.empty() ? "the rank crashed" : child.text;
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

struct NetImpl : torch::nn::Module {
  NetImpl() {
    first = register_module("first", torch::nn::Linear(4, 8));
    unused = register_module("unused", torch::nn::Linear(8, 8));
    last = register_module("last", torch::nn::Linear(8, 1));
    int i = 0;
    for (auto& p : parameters()) {
      torch::NoGradGuard const no_graph;
      p.copy_(torch::sin(torch::arange(p.numel(), torch::kFloat) * 0.7 + ++i).reshape(p.sizes()) * 0.5);
    }
  }
  at::Tensor forward(at::Tensor const& x) {
    at::Tensor hidden = torch::tanh(first(x));
    if (uses_all) hidden = hidden + torch::tanh(unused(hidden));
    return last(hidden);
  }
  torch::nn::Linear first{nullptr}, unused{nullptr}, last{nullptr};
  bool uses_all = true;
};

tacit::data::TensorDataset data(std::int64_t samples) {
  at::Tensor const i = torch::arange(samples, torch::kDouble);
  at::Tensor const x = torch::stack({torch::sin(i), torch::cos(0.7 * i), torch::sin(1.3 * i + 1.0), torch::cos(2.1 * i)}, 1);
  return {x, (x.sum(1, true) + 0.3 * torch::sin(5.0 * i).unsqueeze(1))};
}


struct Outcome {
  at::Tensor parameters{};
  double loss = 0.0;
  double samples = 0.0;
  double updates = 0.0;

  std::vector<double> numbers() const {
    std::vector<double> all{loss, samples, updates};
    auto const* const values = static_cast<double const*>(parameters.const_data_ptr());
    all.insert(all.end(), values, values + parameters.numel());
    return all;
  }
  static Outcome from(Report const& report) {
    INFO(report.what);
    REQUIRE(report.numbers.size() > 3);
    return {torch::tensor(std::vector<double>(report.numbers.begin() + 3, report.numbers.end()), torch::kDouble), report.numbers[0], report.numbers[1], report.numbers[2]};
  }
};

template <class Model, class Pack, class... Policies>
Outcome train(std::shared_ptr<Model> model, std::int64_t samples, tacit::TrainOptions options, Pack pack, Policies... policies) {
  options.sink = tacit::Sink::none();
  tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::AdamW{.lr = 1e-2}, tacit::Fp64{}, std::move(pack), policies...};
  auto const result = trainer.train(data(samples), options);
  return {flat(*model), result[tacit::tag::train_loss{}], static_cast<double>(result.samples.value()), static_cast<double>(result.updates.value())};
}

}  // namespace

TEST_CASE("several processes with the same global batch make the updates of one") {
  int const ranks = GENERATE(1, 2, 3, 4);
  std::int64_t const accumulation = GENERATE(1, 3);
  std::int64_t const samples = GENERATE(48, 50);  // 50 leave the last batch of some ranks shorter, or none
  CAPTURE(ranks, accumulation, samples);
  Outcome const one = train(std::make_shared<NetImpl>(), samples, {.limit = {.updates = 20}, .per_device_batch_size = 12, .gradient_accumulation = accumulation, .seed = 7}, CallbackPack{});
  auto const all = run_ranks(ranks, [&](tacit::launch::World const& world) {
    return train(std::make_shared<NetImpl>(), samples, {.limit = {.updates = 20}, .per_device_batch_size = 12 / ranks, .gradient_accumulation = accumulation, .seed = 7}, CallbackPack{},
                 Ddp<Gloo>{.world = world})
        .numbers();
  });
  for (Report const& report : all) {
    Outcome const rank = Outcome::from(report);
    CHECK(distance(rank.parameters, one.parameters) < 1e-12);
    CHECK(report.numbers == all[0].numbers);
    CHECK(std::abs(rank.loss - one.loss) < 1e-12 * one.loss);
    CHECK(rank.updates == one.updates);
    CHECK(rank.samples == one.samples);
  }
}

namespace {

/// A frozen layer, a batch norm with its buffers, and a layer that is trained.
struct FrozenFirstImpl : torch::nn::Module {
  FrozenFirstImpl() {
    for (auto& p : frozen->parameters()) p.set_requires_grad(false);
    put(0.0);
  }
  void put(double first) {
    torch::NoGradGuard const no_graph;
    for (auto& p : parameters()) {
      p.copy_(torch::sin(torch::arange(p.numel(), torch::kFloat) * 0.3 + first).reshape(p.sizes()));
    }
    norm->running_mean.fill_(first);
  }
  at::Tensor forward(at::Tensor const& x) { return last(norm(torch::tanh(frozen(x)))); }
  torch::nn::Linear frozen{register_module("frozen", torch::nn::Linear(4, 8))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(8))};
  torch::nn::Linear last{register_module("last", torch::nn::Linear(8, 1))};
};
/// Two runs; before the second one `rank` alone puts other weights into the model. Evaluated first, if `evaluates`.
template <class Precision>
std::vector<double> train_twice(tacit::launch::World const& world, Precision precision, int rank, bool evaluates) {
  auto const model = std::make_shared<FrozenFirstImpl>();
  tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::AdamW{.lr = 1e-2}, precision, CallbackPack{},
                         Ddp<Gloo>{.world = world}};
  tacit::TrainOptions const options{.epochs = 2, .per_device_batch_size = 4, .sink = tacit::Sink::none()};
  trainer.train(data(24), options);
  if (world.rank == rank) model->put(2.0);
  double loss = 0.0;
  if (evaluates) {
    auto const result = trainer.evaluate(data(12), {.per_device_batch_size = 6, .sink = tacit::Sink::none()});
    loss = result[tacit::tag::eval_loss{}];
  }
  trainer.train(data(24), options);
  std::vector<double> numbers{loss};
  auto const add = [&](at::Tensor const& tensor) {
    at::Tensor const wide = tensor.detach().to(torch::kDouble).contiguous().view(-1);
    auto const* const values = static_cast<double const*>(wide.const_data_ptr());
    numbers.insert(numbers.end(), values, values + wide.numel());
  };
  for (auto const& parameter : model->parameters()) add(parameter);
  for (auto const& buffer : model->buffers()) add(buffer);
  return numbers;
}

}  // namespace

TEST_CASE("a run begins with rank 0's model, whatever was put into it on one rank") {
  bool const is_pure = GENERATE(false, true);
  bool const evaluates = GENERATE(false, true);
  CAPTURE(is_pure, evaluates);
  auto const train = [&](int rank) {
    auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
      return is_pure ? train_twice(world, tacit::Bf16Pure{}, rank, evaluates)
                     : train_twice(world, tacit::Fp64{}, rank, evaluates);
    });
    INFO(reports[0].what);
    REQUIRE(reports[0].numbers.size() > 1);
    CHECK(reports[0].numbers == reports[1].numbers);
    return reports[0].numbers;
  };
  auto const none = train(-1);
  CHECK(train(0) != none);
  CHECK(train(1) == none);  // masters, too, go on as if nothing had been put
}

namespace {

/// Two phases that share a layer; each has a head of its own.
struct HalfImpl : torch::nn::Module {
  HalfImpl(torch::nn::Linear common, double first) : shared{register_module("shared", std::move(common))}, head{register_module("head", torch::nn::Linear(8, 1))} {
    torch::NoGradGuard const no_graph;
    for (auto& p : head->parameters()) p.copy_(torch::sin(torch::arange(p.numel(), torch::kFloat) * 0.3 + first).reshape(p.sizes()));
  }
  at::Tensor forward(at::Tensor const& x) { return head(torch::tanh(shared(x))); }
  torch::nn::Linear shared, head;
};

/// Takes a shared parameter from one of the phases.
struct ChangeHalf {
  bool changes;
  void on(event::TrainingRunEpochStart const& start, auto& context) const {
    if (!changes || start.epoch.value() == 0) return;
    context.change_parameters([&](auto& all, tacit::PhaseId phase) {
      if (phase.name == "a") all.remove("shared.bias");
    });
  }
};

template <class... Policies>
Outcome train_halves(std::int64_t batch, std::int64_t samples, std::int64_t accumulation, bool changes, Policies... policies) {
  auto const common = NetImpl{}.first;
  auto const a = std::make_shared<HalfImpl>(common, 0.0);
  auto const b = std::make_shared<HalfImpl>(common, 1.0);
  auto const step_of = [](double factor) {
    return [factor](auto& net, auto const& batch, auto&) {
      struct Loss {
        at::Tensor loss;
      };
      auto const& [x, y] = batch;
      return Loss{(net.forward(x) - y).square().mean() * factor};
    };
  };
  tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, tacit::optim::Sgd{.lr = 0.02, .momentum = 0.5}, step_of(1.0)),
                                     tacit::phase<"b">(b, tacit::optim::Sgd{.lr = 0.02, .momentum = 0.5}, step_of(5.0))},
                         tacit::Fp64{}, CallbackPack{ChangeHalf{changes}}, policies...};
  auto const result = trainer.train(data(samples), {.epochs = 3, .per_device_batch_size = batch, .gradient_accumulation = accumulation, .seed = 7, .sink = tacit::Sink::none()});
  for (auto const& net : {a, b}) {
    for (auto const& p : net->parameters()) {
      if (p.grad().defined()) throw std::runtime_error{"a gradient is left"};
    }
  }
  return {at::cat({flat(*a), flat(*b)}), 0.0, static_cast<double>(result.samples.value()), static_cast<double>(result.updates.value())};
}

}  // namespace

TEST_CASE("C10: a parameter of two phases has a gradient for each of them under Ddp, too") {
  int const ranks = GENERATE(1, 2);
  std::int64_t const accumulation = GENERATE(1, 2, 3);
  bool const changes = GENERATE(false, true);
  std::int64_t const samples = GENERATE(48, 50);  // 50 leave one rank without a batch in the last step
  CAPTURE(ranks, accumulation, changes, samples);
  Outcome const one = train_halves(4, samples, accumulation, changes);
  auto const all = run_ranks(ranks, [&](tacit::launch::World const& world) { return train_halves(4 / ranks, samples, accumulation, changes, Ddp<Gloo>{.world = world}).numbers(); });
  for (Report const& report : all) {
    Outcome const rank = Outcome::from(report);
    CHECK(distance(rank.parameters, one.parameters) < 1e-12);
    CHECK(rank.updates == one.updates);
    CHECK(rank.samples == one.samples);
  }
}

TEST_CASE("a rank that hangs is ended, and where it stood is told") {
  auto const reports = run_ranks(2,
                                 [](tacit::launch::World const& world) {
                                   while (world.rank == 1) pause();
                                   return std::vector<double>{1.0};
                                 },
                                 std::chrono::seconds{1});
  CHECK(reports[0].numbers.size() == 1);
  CHECK_THAT(reports[1].what, ContainsSubstring("not done in time") && (ContainsSubstring("pause") || ContainsSubstring("no debugger")));
}

namespace {

/// The parameters of each rank after 20 updates, or its error.
template <class Policy, class Prepare, class Pack = CallbackPack<>>
std::vector<Report> train_ranks(int ranks, Policy policy, Prepare const& prepare, std::int64_t accumulation = 1, std::int64_t samples = 48, Pack const& pack = {}) {
  return run_ranks(ranks, [&](tacit::launch::World const& world) {
    policy.world = world;
    auto model = std::make_shared<NetImpl>();
    prepare(*model, world.rank);
    return train(model, samples, {.limit = {.updates = 20}, .per_device_batch_size = 12 / ranks, .gradient_accumulation = accumulation, .seed = 7}, pack, policy).numbers();
  });
}
/// The same where all go well: rank 0's, which is every rank's.
at::Tensor same_on_all(std::vector<Report> const& reports) {
  for (Report const& report : reports) CHECK(report.numbers == reports[0].numbers);
  return Outcome::from(reports[0]).parameters;
}
auto as_is = [](NetImpl&, int) {};

}  // namespace

TEST_CASE("every way to reduce ends at the same parameters") {
  std::int64_t const accumulation = GENERATE(1, 2);
  Outcome const one = train(std::make_shared<NetImpl>(), 48, {.limit = {.updates = 20}, .per_device_batch_size = 12, .gradient_accumulation = accumulation, .seed = 7}, CallbackPack{});
  Ddp<Gloo> plain{};
  Ddp<Gloo> find{};
  find.find_unused = true;
  Ddp<Gloo> behind{};
  behind.overlap = false;
  Ddp<Gloo> small{};
  small.bucket = 0;  // a bucket for each parameter
  for (Ddp<Gloo> const& policy : {plain, find, behind, small}) {
    CHECK(distance(same_on_all(train_ranks(2, policy, as_is, accumulation)), one.parameters) < 1e-12);
  }
}

TEST_CASE("all ranks begin with rank 0's model, frozen parts and buffers too") {
  Outcome const one = train(std::make_shared<NetImpl>(), 48, {.limit = {.updates = 20}, .per_device_batch_size = 12, .seed = 7}, CallbackPack{});
  auto const spoil = [](NetImpl& model, int rank) {
    torch::NoGradGuard const no_graph;
    if (rank > 0) {
      for (auto& p : model.parameters()) p.add_(rank);
    }
  };
  CHECK(distance(same_on_all(train_ranks(3, Ddp<Gloo>{}, spoil)), one.parameters) < 1e-12);
  auto const freeze = [&](NetImpl& model, int rank) {
    spoil(model, rank);
    model.unused->weight.set_requires_grad(false);
  };
  auto frozen = std::make_shared<NetImpl>();
  frozen->unused->weight.set_requires_grad(false);
  Outcome const alone = train(frozen, 48, {.limit = {.updates = 20}, .per_device_batch_size = 12, .seed = 7}, CallbackPack{});
  CHECK(distance(same_on_all(train_ranks(2, Ddp<Gloo>{}, freeze)), alone.parameters) < 1e-12);
}

TEST_CASE("parameters that get no gradient are found, or the run ends with an error") {
  auto const leave_out = [](NetImpl& model, int) { model.uses_all = false; };
  auto unused = std::make_shared<NetImpl>();
  unused->uses_all = false;
  Outcome const one = train(unused, 48, {.limit = {.updates = 20}, .per_device_batch_size = 12, .seed = 7}, CallbackPack{});
  Ddp<Gloo> find{};
  find.find_unused = true;
  CHECK(distance(same_on_all(train_ranks(2, find, leave_out)), one.parameters) < 1e-12);
  find.overlap = false;
  CHECK(distance(same_on_all(train_ranks(2, find, leave_out)), one.parameters) < 1e-12);
  Ddp<Gloo> plain{};
  plain.timeout = std::chrono::seconds{5};
  plain.overlap = GENERATE(true, false);
  for (Report const& report : train_ranks(2, plain, leave_out)) {
    CHECK(report.code == "TACIT-RX32");  // faults F4, F25
    CHECK_THAT(report.what, ContainsSubstring("no gradient for 'unused.weight', 'unused.bias'") && ContainsSubstring(" of 2 ") && ContainsSubstring(".find_unused"));
  }
}

namespace {
/// Leaves a layer out of some forward passes.
struct SometimesImpl : NetImpl {
  at::Tensor forward(at::Tensor const& x) {
    uses_all = !leaves_out(calls++);
    return NetImpl::forward(x);
  }
  int calls = 0;
  std::function<bool(int)> leaves_out = [](int) { return false; };
};
template <class Policy>
std::vector<Report> train_sometimes(Policy policy, std::function<bool(int rank, int call)> leaves_out, std::int64_t accumulation, std::int64_t updates) {
  return run_ranks(2, [&](tacit::launch::World const& world) {
    policy.world = world;
    policy.timeout = std::chrono::seconds{4};
    auto model = std::make_shared<SometimesImpl>();
    model->leaves_out = [&](int call) { return leaves_out(world.rank, call); };
    return train(model, 48, {.limit = {.updates = updates}, .per_device_batch_size = 6, .gradient_accumulation = accumulation, .seed = 7}, CallbackPack{}, policy).numbers();
  });
}
}  // namespace

TEST_CASE("F4: a parameter without a gradient is named before the optimizer steps, in the last update too") {
  // On both ranks in the last update; on rank 1 alone, on rank 0 alone.
  for (int alone : {-1, 0, 1}) {
    for (std::int64_t accumulation : {1, 2}) {
      int const calls = static_cast<int>(3 * accumulation);
      auto const reports = train_sometimes(Ddp<Gloo>{}, [&](int rank, int call) { return (alone < 0 || rank == alone) && call >= calls - static_cast<int>(accumulation); }, accumulation, 3);
      CAPTURE(alone, accumulation, reports[0].what, reports[1].what);
      for (int rank : {0, 1}) {
        Report const& report = reports[static_cast<std::size_t>(rank)];
        CHECK(report.code == (alone < 0 || rank == alone ? "TACIT-RX32" : "TACIT-RX20"));
        CHECK_THAT(report.what, ContainsSubstring("no gradient for 'unused.weight', 'unused.bias'"));
      }
    }
  }
  // One step of the window has a gradient: that is enough, as on one process.
  for (int used : {0, 1}) {
    auto const reports = train_sometimes(Ddp<Gloo>{}, [&](int, int call) { return call % 2 != used; }, 2, 6);
    auto model = std::make_shared<SometimesImpl>();
    model->leaves_out = [&](int call) { return call % 2 != used; };
    Outcome const one = train(model, 48, {.limit = {.updates = 6}, .per_device_batch_size = 12, .gradient_accumulation = 2, .seed = 7}, CallbackPack{});
    CAPTURE(used);
    CHECK(distance(same_on_all(reports), one.parameters) < 1e-12);
  }
}

TEST_CASE("C17: a rank without a batch uses no parameter") {
  auto const leave_out = [](NetImpl& model, int) { model.uses_all = false; };
  auto alone = std::make_shared<NetImpl>();
  alone->uses_all = false;
  tacit::TrainOptions const options{.epochs = 3, .per_device_batch_size = 4, .seed = 7};
  Outcome const one = train(alone, 5, options, CallbackPack{});
  Ddp<Gloo> find{};
  find.find_unused = true;
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    find.world = world;
    auto model = std::make_shared<NetImpl>();
    leave_out(*model, world.rank);
    auto half = options;
    half.per_device_batch_size = 2;
    return train(model, 5, half, CallbackPack{}, find).numbers();
  });
  CHECK(distance(same_on_all(reports), one.parameters) < 1e-12);
}

namespace {
struct WeightedOut {
  at::Tensor loss;
  double weight;
};
}  // namespace

TEST_CASE("C16: compressed gradients of any magnitude: weights that a step states, huge and tiny losses") {
  for (double items : {1.0, 8192.0, 1e9}) {
    for (double factor : {1e-12, 10.0, 1e12}) {
      auto const train_with = [&](auto policy) {
        return run_ranks(2, [&](tacit::launch::World const& world) {
          policy.world = world;
          torch::nn::Linear net(torch::nn::LinearOptions(4, 1).bias(false));
          {
            torch::NoGradGuard const no_graph;
            net->weight.zero_();
          }
          auto const step = [&](auto& model, auto const& batch, auto&) { return WeightedOut{factor * model.forward(torch::ones_like(batch.input)).mean(), items}; };
          tacit::Trainer trainer{tacit::Task{net, tacit::optim::Sgd{.lr = 1.0}, step}, CallbackPack{}, policy};
          trainer.train(tacit::data::TensorDataset{torch::ones({4, 4}), torch::ones({4, 1})}, {.epochs = 1, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
          return std::vector<double>{net->weight[0][0].template item<double>()};
        });
      };
      CAPTURE(items, factor);
      for (auto const& reports : {train_with(Ddp<Gloo, tacit::Fp16Compression>{}), train_with(Ddp<Gloo, tacit::Bf16Compression>{})}) {
        for (Report const& report : reports) {
          REQUIRE(report.numbers.size() == 1);
          CHECK(std::abs(report.numbers[0] + factor) < 0.01 * factor);
        }
      }
    }
  }
}

namespace {
/// Rank 1 is killed in a step; rank 0 is about to send, a moment later each time.
struct Die {
  int rank;
  int spin;
  void on(event::TrainLossComputed const& e, auto&) {
    if (e.update.value() != 2) return;
    if (rank == 1) raise(SIGKILL);
    for (int volatile i = 0; i < spin;) i = i + 1;
  }
};
}  // namespace

TEST_CASE("C13: a rank that is killed ends the others with an error, never with a signal") {
  int errors = 0;
  for (int trial = 0; trial < 24; ++trial) {
    auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
      signal(SIGPIPE, SIG_DFL);
      return train(std::make_shared<NetImpl>(), 48, {.epochs = 1, .per_device_batch_size = 2}, CallbackPack{Die{world.rank, trial * 20'000}}, Ddp<Gloo>{.timeout = std::chrono::seconds{5}, .world = world}).numbers();
    });
    errors += reports[0].code == "TACIT-RX20";
    CAPTURE(trial, reports[0].what);
    CHECK(reports[0].code == "TACIT-RX20");
  }
  CHECK(errors == 24);
}

TEST_CASE("C13: the mask and the handler of SIGPIPE are as before, with groups inside one another") {
  auto const reports = run_ranks(1, [&](tacit::launch::World const& world) {
    struct sigaction mine {};
    mine.sa_handler = [](int) {};
    sigaction(SIGPIPE, &mine, nullptr);
    tacit::Cpu::bound<at::Tensor> const cpu{};
    auto const is_as_before = [&] {
      struct sigaction now {};
      sigaction(SIGPIPE, nullptr, &now);
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      return now.sa_handler == mine.sa_handler && sigismember(&mask, SIGPIPE) == 0;
    };
    bool good = true;
    {
      auto outer = Ddp<Gloo>{.world = world}.bind<tacit::ParameterSet>(cpu);
      good = good && is_as_before();
      {
        auto inner = Ddp<Gloo>{.world = world}.bind<tacit::ParameterSet>(cpu);
        good = good && is_as_before();
      }
      good = good && is_as_before();
    }
    return std::vector<double>{good && is_as_before() ? 1.0 : 0.0};
  });
  CHECK(reports[0].numbers == std::vector<double>{1.0});
}

TEST_CASE("C15 F18: the main process may take longer than a collective; it is waited for as long as it is told") {
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    tacit::Trainer trainer{std::make_shared<NetImpl>(), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, CallbackPack{}, Ddp<Gloo>{.timeout = std::chrono::seconds{1}, .world = world}};
    double order = 0.0;
    trainer.main_process_first([&] {
      if (world.rank == 0) sleep(2);
      order = 1.0;
    });
    std::string late = "none";
    try {
      trainer.main_process_first([&] { if (world.rank == 0) sleep(2); }, std::chrono::milliseconds{200});
    } catch (tacit::Error const& error) {
      late = error.code();
    }
    std::string failed = "none";
    try {
      trainer.main_process_first([&] { if (world.rank == 0) throw tacit::DataError{"TEST-02", "no file", "test", "none"}; });
    } catch (tacit::Error const& error) {
      failed = error.code();
    }
    return std::vector<double>{order, late == (world.rank == 0 ? "none" : "TACIT-RX33") ? 1.0 : 0.0, failed == (world.rank == 0 ? "TEST-02" : "TACIT-RX23") ? 1.0 : 0.0};
  });
  for (Report const& report : reports) {
    INFO(report.what);
    CHECK(report.numbers == std::vector<double>{1.0, 1.0, 1.0});
  }
}

TEST_CASE("F2 F25: ranks that differ, or call something else, are told so over real processes") {
  tacit::TrainOptions const options{.epochs = 2, .per_device_batch_size = 2};
  for (Report const& report : run_ranks(2, [&](tacit::launch::World const& world) {
         return train(std::make_shared<NetImpl>(), 20 - 8 * world.rank, options, CallbackPack{}, Ddp<Gloo>{.timeout = std::chrono::seconds{3}, .world = world}).numbers();
       })) {
    CHECK(report.code == "TACIT-RX28");
    CHECK_THAT(report.what, ContainsSubstring("batches of an epoch of the training data: rank 0 has 5, rank 1 has 3"));
  }
  auto const alone = run_ranks(2, [&](tacit::launch::World const& world) {
    tacit::Trainer trainer{std::make_shared<NetImpl>(), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, tacit::Fp64{}, CallbackPack{}, Ddp<Gloo>{.timeout = std::chrono::seconds{3}, .world = world}};
    if (world.rank == 0) trainer.evaluate(data(8));
    return std::vector<double>{};
  });
  CHECK(alone[0].code == "TACIT-RX29");
  CHECK_THAT(alone[0].what, ContainsSubstring("called evaluate, and not all ranks did") && ContainsSubstring("rank 1, which has ended its trainer"));
  // Ranges of unknown length: the rank whose data end first goes on without batches.
  auto const unknown = run_ranks(2, [&](tacit::launch::World const& world) {
    struct Batches {
      int count;
      struct iterator {
        int at;
        bool operator!=(iterator const& other) const { return at != other.at; }
        iterator& operator++() { return ++at, *this; }
        tacit::data::Batch operator*() const { return {torch::full({2, 4}, 0.1 * at, torch::kDouble), torch::ones({2, 1}, torch::kDouble)}; }
      };
      iterator begin() const { return {0}; }
      iterator end() const { return {count}; }
    };
    auto model = std::make_shared<NetImpl>();
    tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, tacit::Fp64{}, CallbackPack{}, Ddp<Gloo>{.timeout = std::chrono::seconds{3}, .world = world}};
    auto const result = trainer.train(Batches{world.rank == 0 ? 6 : 10}, {.epochs = 2, .sink = tacit::Sink::none()});
    return std::vector<double>{static_cast<double>(result.updates.value()), flat(*model).sum().item<double>()};
  });
  REQUIRE(unknown[0].numbers.size() == 2);
  CHECK(unknown[0].numbers == unknown[1].numbers);
  CHECK(unknown[0].numbers[0] == 10.0);
}

TEST_CASE("U1: gather and sum take rows of any number and type, and show both sides of what differs") {
  auto const reports = run_ranks(3, [&](tacit::launch::World const& world) {
    Ddp<Gloo> policy{.timeout = std::chrono::seconds{5}, .world = world};
    auto bound = policy.bind<tacit::ParameterSet>(tacit::Cpu::bound<at::Tensor>{});
    auto check = [](bool good, char const* what) {
      if (!good) throw std::runtime_error{what};
    };
    auto const code_of = [](auto const& work) {
      try {
        work();
      } catch (tacit::Error const& error) {
        return std::string{error.what()};
      }
      return std::string{"none"};
    };
    for (at::ScalarType type : {torch::kBool, torch::kByte, torch::kShort, torch::kLong, torch::kHalf, torch::kBFloat16, torch::kDouble, torch::kComplexFloat}) {
      // Rank 0 has nothing and knows no type; the others have rows that are no view of memory in order.
      at::Tensor const own = world.rank == 0 ? at::Tensor{} : torch::ones({3, 2, world.rank}, torch::kFloat).to(type).permute({2, 1, 0});
      at::Tensor const all = bound.gather(own);
      check(all.sizes() == at::IntArrayRef({3, 2, 3}) && all.scalar_type() == type && torch::equal(all, torch::ones({3, 2, 3}, torch::kFloat).to(type)), "gather of a type");
    }
    check(bound.gather(torch::zeros({0})).numel() == 0, "gather of nothing");
    check(!bound.gather(at::Tensor{}).defined() && !bound.sum(at::Tensor{}).defined(), "undefined on all ranks");
    check(bound.gather(world.rank == 1 ? torch::ones({2, 5}) : torch::zeros({0})).sizes() == at::IntArrayRef({2, 5}), "rows of one rank");
    at::Tensor const counts = torch::full({2, 2}, std::int64_t{1} << 40, torch::kLong);
    check(torch::equal(bound.sum(world.rank == 2 ? at::Tensor{} : counts), 2 * counts) && counts[0][0].item<std::int64_t>() == std::int64_t{1} << 40, "sum of integers");
    check(torch::equal(bound.sum(torch::full({3}, 40, torch::kByte)), torch::full({3}, 120, torch::kByte)), "sum of bytes");
    check(code_of([&] { bound.sum(torch::full({3}, 100, torch::kByte)); }).find("TACIT-RX31") != std::string::npos, "a sum that does not fit");
    check(bound.sum(torch::full({1}, 1024.25, torch::kHalf)).item<float>() == 3072.0F, "sum of halves");
    std::string const differs = code_of([&] { bound.gather(torch::ones({world.rank + 1, world.rank == 2 ? 4 : 5})); });
    check(differs.find("TACIT-RX30") != std::string::npos && differs.find("rank 0 gives Float [rows, 5], rank 2 gives Float [rows, 4]") != std::string::npos, differs.c_str());
    check(code_of([&] { bound.sum(torch::ones({2}, world.rank == 0 ? torch::kFloat : torch::kDouble)); }).find("rank 0 gives Float [2], rank 1 gives Double [2]") != std::string::npos, "types that differ");
    bound.barrier();
    return std::vector<double>{1.0};
  });
  for (Report const& report : reports) {
    INFO(report.what);
    CHECK(report.numbers == std::vector<double>{1.0});
  }
}

TEST_CASE("what a user's code throws in a backward pass goes on unchanged") {
  struct Mine : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    auto model = std::make_shared<NetImpl>();
    model->first->weight.register_hook([&](at::Tensor const& gradient) -> at::Tensor {
      if (world.rank == 1) throw Mine{"my own"};
      return gradient;
    });
    try {
      return train(model, 48, {.epochs = 1, .per_device_batch_size = 6}, CallbackPack{}, Ddp<Gloo>{.timeout = std::chrono::seconds{5}, .world = world}).numbers();
    } catch (Mine const& error) {
      throw tacit::UsageError{"TEST-01", error.what(), "test", "none"};
    }
  });
  CHECK(reports[0].code == "TACIT-RX20");
  CHECK(reports[1].code == "TEST-01");
}

TEST_CASE("compressed gradients are the same on all ranks, and near the others") {
  Outcome const one = train(std::make_shared<NetImpl>(), 48, {.limit = {.updates = 20}, .per_device_batch_size = 12, .seed = 7}, CallbackPack{});
  auto const fp16 = same_on_all(train_ranks(3, Ddp<Gloo, tacit::Fp16Compression>{}, as_is));
  auto const bf16 = same_on_all(train_ranks(3, Ddp<Gloo, tacit::Bf16Compression>{}, as_is));
  CHECK(distance(fp16, one.parameters) < 1e-2);
  CHECK(distance(fp16, one.parameters) > 1e-9);
  CHECK(distance(bf16, one.parameters) < 3e-2);
  CHECK(distance(bf16, one.parameters) > 1e-9);
}

namespace {
/// Halves what it sends, so that its work shows.
struct HalvingHook {
  c10::intrusive_ptr<c10::ivalue::Future> reduce(c10::intrusive_ptr<c10d::ProcessGroup> const& group, c10d::GradBucket& bucket) const {
    std::vector<at::Tensor> tensors{bucket.getBufferRef().div_(2 * group->getSize())};
    return group->allreduce(tensors)->getFuture();
  }
};
}  // namespace

TEST_CASE("a hook of one's own reduces every bucket") {
  auto const train_sgd = [](auto loss, auto... policies) {
    auto model = std::make_shared<NetImpl>();
    tacit::Trainer trainer{model, loss, tacit::optim::Sgd{.lr = 0.1}, tacit::Fp64{}, CallbackPack{}, policies...};
    return trainer.train(data(48), {.limit = {.updates = 20}, .per_device_batch_size = sizeof...(policies) == 0 ? 12 : 6, .seed = 7, .sink = tacit::Sink::none()}).updates.value() == 20
               ? flat(*model)
               : at::Tensor{};
  };
  auto const half = [](at::Tensor const& y, at::Tensor const& target) { return 0.5 * torch::mse_loss(y, target); };
  at::Tensor const expected = train_sgd(half);
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    at::Tensor const parameters = train_sgd(tacit::loss::Mse{}, Ddp<Gloo, HalvingHook>{.world = world});
    return Outcome{parameters}.numbers();
  });
  CHECK(distance(same_on_all(reports), expected) < 1e-12);
}

TEST_CASE("different models are found out before anything is trained") {
  auto const bigger = [](NetImpl& model, int rank) {
    if (rank == 1) model.last = model.replace_module("last", torch::nn::Linear(8, 2));
  };
  for (Report const& report : train_ranks(2, Ddp<Gloo>{}, bigger)) {
    CHECK(report.code == "TACIT-RX19");
    CHECK_THAT(report.what, ContainsSubstring("rank 0 has last.weight Double [1, 8], rank 1 has last.weight Double [2, 8]"));
  }
}

TEST_CASE("Ddp over Gloo keeps the laws of a distribution") {
  int const ranks = GENERATE(1, 3);
  auto const reports = run_ranks(ranks, [&](tacit::launch::World const& world) {
    auto const make = [](std::vector<double> const& values, bool requires_grad) { return torch::tensor(values, torch::kFloat).set_requires_grad(requires_grad); };
    for (std::string const& law : laws::check_distribution<at::Tensor>(Ddp<Gloo>{.world = world}, tacit::Cpu{}, make)) throw std::runtime_error{law};
    return std::vector<double>{1.0};
  });
  for (Report const& report : reports) {
    INFO(report.what);
    CHECK(report.numbers.size() == 1);
  }
}

TEST_CASE("collectives of tensors of any length, texts, numbers and requests") {
  int const ranks = GENERATE(1, 3);
  auto const reports = run_ranks(ranks, [&](tacit::launch::World const& world) {
    Ddp<Gloo> policy{};
    policy.world = world;
    tacit::Cpu::bound<at::Tensor> const cpu{};
    auto bound = policy.bind<tacit::ParameterSet>(cpu);
    static_assert(tacit::bound_distribution<decltype(bound), tacit::ParameterSet>);
    int const rank = world.rank;
    auto check = [](bool good, char const* what) {
      if (!good) throw std::runtime_error{what};
    };
    check(bound.rank() == rank && bound.world_size() == ranks && bound.local_rank() == rank, "place");
    double numbers[2] = {rank + 1.0, 0.5};
    bound.reduce_sum(numbers);
    check(numbers[0] == ranks * (ranks + 1) / 2.0 && numbers[1] == 0.5 * ranks, "reduce_sum");
    check(bound.agree(rank) == ranks - 1, "agree");
    auto const texts = bound.gather(std::string(static_cast<std::size_t>(rank), 'x'));
    for (int i = 0; i < ranks; ++i) check(texts.at(static_cast<std::size_t>(i)).size() == static_cast<std::size_t>(i), "gather of texts");
    at::Tensor const rows = torch::full({rank, 2}, rank, torch::kLong);  // rank 0 has none
    at::Tensor const all = bound.gather(rows);
    check(all.sizes() == at::IntArrayRef({ranks * (ranks - 1) / 2, 2}), "gather of rows");
    if (ranks == 3) check(torch::equal(all, torch::tensor({{1, 1}, {2, 2}, {2, 2}}, torch::kLong)), "gathered rows");
    check(bound.gather(torch::tensor(1.5 * rank, torch::kDouble)).sizes() == at::IntArrayRef({ranks}), "gather of scalars");
    at::Tensor value = torch::full({2, 2}, rank + 1.0).t();
    bound.broadcast(value, ranks - 1);
    check(value.sum().item<double>() == 4.0 * ranks, "broadcast");
    at::Tensor most = torch::tensor({static_cast<float>(rank), 0.0F});
    bound.reduce_max(most);
    check(most[0].item<float>() == static_cast<float>(ranks - 1), "reduce_max");
    bound.barrier();
    return std::vector<double>{1.0};
  });
  for (Report const& report : reports) {
    INFO(report.what);
    CHECK(report.numbers == std::vector<double>{1.0});
  }
}

TEST_CASE("a rank that does not come is named, in time") {
  auto const began = std::chrono::steady_clock::now();
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    if (world.rank == 1) return std::vector<double>{0.0};
    Ddp<Gloo> policy{.start_timeout = std::chrono::seconds{2}};
    policy.world = world;
    tacit::Cpu::bound<at::Tensor> const cpu{};
    (void)policy.bind<tacit::ParameterSet>(cpu);
    return std::vector<double>{0.0};
  });
  CHECK(reports[0].code == "TACIT-RX18");
  CHECK_THAT(reports[0].what, ContainsSubstring("rank 0 waited for the other ranks of 2, missing: 1"));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds{20});
}

TEST_CASE("a meeting place that no host is called is named in a line") {
  tacit::launch::World const world{.launcher = "torchrun", .variables = "RANK=1 WORLD_SIZE=2", .rank = 1, .world_size = 2, .address = "no-such-host.invalid"};
  try {
    Ddp<Gloo>{.start_timeout = std::chrono::seconds{1}, .world = world}.bind<tacit::ParameterSet>(tacit::Cpu::bound<at::Tensor>{});
    FAIL("no error");
  } catch (tacit::DistributedError const& error) {
    CHECK(error.code() == "TACIT-RX18");
    CHECK_THAT(error.what(), ContainsSubstring("no-such-host.invalid:29500") && ContainsSubstring("RANK=1 WORLD_SIZE=2") && ContainsSubstring("name is not known"));
    CHECK(std::string{error.what()}.find('\n') == std::string::npos);
  }
}

TEST_CASE("with fewer samples than ranks nobody waits, and the updates are those of one process") {
  auto const options = [](std::int64_t batch) { return tacit::TrainOptions{.epochs = 3, .per_device_batch_size = batch, .seed = 7}; };
  Outcome const one = train(std::make_shared<NetImpl>(), 2, options(3), CallbackPack{});
  auto const reports = run_ranks(3, [&](tacit::launch::World const& world) {
    return train(std::make_shared<NetImpl>(), 2, options(1), CallbackPack{}, Ddp<Gloo>{.timeout = std::chrono::seconds{5}, .world = world}).numbers();
  });
  CHECK(distance(same_on_all(reports), one.parameters) < 1e-12);
}

TEST_CASE("a rank that is killed ends the others") {
  auto const reports = run_ranks(3, [&](tacit::launch::World const& world) {
    Ddp<Gloo> policy{.timeout = std::chrono::seconds{10}};
    policy.world = world;
    tacit::Cpu::bound<at::Tensor> const cpu{};
    auto bound = policy.bind<tacit::ParameterSet>(cpu);
    bound.barrier();
    if (world.rank == 2) raise(SIGKILL);
    double numbers[1] = {1.0};
    bound.reduce_sum(numbers);
    return std::vector<double>{0.0};
  });
  for (int rank : {0, 1}) {
    CHECK(reports[static_cast<std::size_t>(rank)].code == "TACIT-RX20");
    CHECK_THAT(reports[static_cast<std::size_t>(rank)].what, ContainsSubstring("rank " + std::to_string(rank) + " of 3 failed while summing numbers"));
  }
}

namespace {

struct NormImpl : torch::nn::Module {
  NormImpl() {
    norm = register_module("norm", torch::nn::BatchNorm1d(4));
    last = register_module("last", torch::nn::Linear(4, 1));
  }
  at::Tensor forward(at::Tensor const& x) { return last(norm(x)); }
  torch::nn::BatchNorm1d norm{nullptr};
  torch::nn::Linear last{nullptr};
};
/// Freezes the layer in the middle before the second epoch, and lets it in again before the third.
struct Thaw {
  void on(event::TrainingRunEpochStart const& event, auto& context) {
    auto const items = context.trainer().model().named_parameters();
    if (event.epoch.value() == 1) context.change_parameters([](auto& all) { all.remove("unused.weight"), all.remove("unused.bias"); });
    if (event.epoch.value() == 2) {
      context.change_parameters([&](auto& all) {
        all.add("unused.weight", items["unused.weight"]);
        all.add("unused.bias", items["unused.bias"]);
      });
    }
  }
};
/// Rank 1's loss turns to NaN once: the update is left out on every rank.
struct MaskOnRank1 {
  int rank;
  void on(event::TrainLossComputed const& event, auto& context) {
    if (rank == 1 && event.update.value() == 2) context.mask_update();
  }
};
struct MaskAll {
  void on(event::TrainLossComputed const& event, auto& context) {
    if (event.update.value() == 2) context.mask_update();
  }
};

}  // namespace

TEST_CASE("parameters that come and go in the run are those of every rank") {
  auto const options = [](std::int64_t batch) { return tacit::TrainOptions{.epochs = 4, .per_device_batch_size = batch, .seed = 7}; };
  Outcome const one = train(std::make_shared<NetImpl>(), 48, options(12), CallbackPack{Thaw{}});
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    return train(std::make_shared<NetImpl>(), 48, options(6), CallbackPack{Thaw{}}, Ddp<Gloo>{.world = world}).numbers();
  });
  CHECK(distance(same_on_all(reports), one.parameters) < 1e-12);
}

TEST_CASE("an update that one rank masks is left out by all") {
  auto const options = [](std::int64_t batch) { return tacit::TrainOptions{.epochs = 2, .per_device_batch_size = batch, .seed = 7}; };
  Outcome const one = train(std::make_shared<NetImpl>(), 48, options(12), CallbackPack{MaskAll{}});
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    return train(std::make_shared<NetImpl>(), 48, options(6), CallbackPack{MaskOnRank1{world.rank}}, Ddp<Gloo>{.world = world}).numbers();
  });
  CHECK(distance(same_on_all(reports), one.parameters) < 1e-12);
}

namespace {

struct Weighted {
  at::Tensor loss;
  double weight;
};
/// Leaves out the batches whose first target is negative, on whatever rank they are.
struct LeaveOut {
  tacit::Flow on(event::TrainStepStart const&, auto& context) {
    return context.batch().target[0][0].template item<double>() < 0.0 ? tacit::Flow::skip_batch : tacit::Flow::proceed;
  }
};
/// The loss is a mean over weights that the step states: rows with a positive target count three times.
template <class Pack, class... Policies>
Outcome train_weighted(std::int64_t batch, std::int64_t accumulation, Pack pack, Policies... policies) {
  auto model = std::make_shared<NetImpl>();
  auto const step = [](NetImpl& net, auto const& rows, auto&) {
    at::Tensor const weights = torch::where(rows.target > 0, 3.0, 1.0).to(torch::kDouble);
    at::Tensor const total = weights.sum();
    return Weighted{((net.forward(rows.input) - rows.target).square() * weights).sum() / total, total.template item<double>()};
  };
  tacit::Trainer trainer{tacit::Task{model, tacit::optim::AdamW{.lr = 1e-2}, step, step}, tacit::Fp64{}, std::move(pack), policies...};
  auto const result = trainer.train(data(50), {.limit = {.updates = 20}, .per_device_batch_size = batch, .gradient_accumulation = accumulation, .seed = 7, .sink = tacit::Sink::none()});
  return {flat(*model), result[tacit::tag::train_loss{}], static_cast<double>(result.samples.value()), static_cast<double>(result.updates.value())};
}

}  // namespace

TEST_CASE("weights that the steps of the ranks state make one mean") {
  std::int64_t const accumulation = GENERATE(1, 2);
  Outcome const one = train_weighted(12, accumulation, CallbackPack{});
  auto const reports = run_ranks(3, [&](tacit::launch::World const& world) { return train_weighted(4, accumulation, CallbackPack{}, Ddp<Gloo>{.world = world}).numbers(); });
  CHECK(distance(same_on_all(reports), one.parameters) < 1e-12);
  Outcome const first = Outcome::from(reports[0]);
  CHECK(std::abs(first.loss - one.loss) < 1e-12 * one.loss);
  CHECK(first.samples == one.samples);
}

TEST_CASE("a rank that leaves its batch out takes part in the update") {
  // Batches of one row: what one process leaves out, some rank leaves out.
  Outcome const one = train_weighted(1, 4, CallbackPack{LeaveOut{}});
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) { return train_weighted(1, 2, CallbackPack{LeaveOut{}}, Ddp<Gloo>{.world = world}).numbers(); });
  CHECK(distance(same_on_all(reports), one.parameters) < 1e-12);
  CHECK(Outcome::from(reports[0]).samples == one.samples);
}

TEST_CASE("running statistics are rank 0's") {
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    auto model = std::make_shared<NormImpl>();
    tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.01}, tacit::Fp64{}, CallbackPack{}, Ddp<Gloo>{.world = world}};
    trainer.train(data(48), {.epochs = 2, .per_device_batch_size = 6, .sink = tacit::Sink::none()});
    double const running = model->norm->running_mean.sum().item<double>();
    double const loss = trainer.evaluate(data(9))[tacit::tag::eval_loss{}];
    torch::NoGradGuard const no_graph;
    if (world.rank == 1) model->norm->running_mean.add_(1.0);  // fault F9: evaluation has rank 0's
    double const again = trainer.evaluate(data(9))[tacit::tag::eval_loss{}];
    return std::vector<double>{static_cast<double>(model->norm->num_batches_tracked.item<std::int64_t>()), flat(*model).sum().item<double>(), running, loss, again - loss};
  });
  REQUIRE(reports[0].numbers.size() == 5);
  CHECK(reports[0].numbers[4] == 0.0);
  CHECK(reports[0].numbers == reports[1].numbers);
  CHECK(reports[0].numbers[0] == 8.0);
}

namespace {

template <class Norm>
struct NormedImpl : torch::nn::Module {
  explicit NormedImpl(Norm given) : first{register_module("first", torch::nn::Linear(4, 6))}, norm{register_module("norm", given)}, last{register_module("last", torch::nn::Linear(6, 1))} {
    int i = 0;
    for (auto& p : parameters()) {
      torch::NoGradGuard const no_graph;
      p.copy_(torch::sin(torch::arange(p.numel(), torch::kFloat) * 0.7 + ++i).reshape(p.sizes()) * 0.5 + 0.1);
    }
    to(torch::kDouble);
  }
  at::Tensor forward(at::Tensor const& x) { return last(torch::tanh(norm(first(x)))); }
  torch::nn::Linear first;
  Norm norm;
  torch::nn::Linear last;
};
/// Parameters and running statistics after 12 updates.
template <class Norm, class Pack, class... Policies>
std::vector<double> train_normed(Norm norm, std::int64_t samples, std::int64_t batch, Pack const& pack, Policies... policies) {
  auto model = std::make_shared<NormedImpl<Norm>>(norm);
  tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.05}, tacit::Fp64{}, pack, policies...};
  trainer.train(data(samples), data(7), {.limit = {.updates = 12}, .per_device_batch_size = batch, .seed = 7, .sink = tacit::Sink::none()});
  at::Tensor const all = torch::cat({flat(*model), model->norm->running_mean, model->norm->running_var, model->norm->num_batches_tracked.to(torch::kDouble).reshape({1})});
  return Outcome{all, trainer.history().latest(tacit::tag::eval_loss{})}.numbers();
}

}  // namespace

TEST_CASE("batch norm over the batches of all ranks is batch norm over the whole batch") {
  std::int64_t const samples = GENERATE(48, 50);  // of 50, one rank has none of the last batch
  auto const one = train_normed(torch::nn::BatchNorm1d(6), samples, 12, CallbackPack{});  // LibTorch's own
  auto const near = [&](std::vector<double> const& other) {
    at::Tensor const a = torch::tensor(one, torch::kDouble);
    return distance(torch::tensor(other, torch::kDouble), a) < 1e-12;
  };
  CHECK(near(train_normed(tacit::SyncBatchNorm(6), samples, 12, CallbackPack{})));
  for (int ranks : {2, 3}) {
    auto const reports =
        run_ranks(ranks, [&](tacit::launch::World const& world) { return train_normed(tacit::SyncBatchNorm(6), samples, 12 / ranks, CallbackPack{}, Ddp<Gloo>{.world = world}); });
    for (Report const& report : reports) {
      INFO(report.what);
      CHECK(report.numbers == reports[0].numbers);
      CHECK(near(report.numbers));
    }
  }
}

namespace {

/// Leaves out what rank 1 has in its third step, and what every rank has in the fifth.
struct LeaveOutOnRank1 {
  int rank;
  tacit::Flow on(event::TrainStepStart const& event, auto&) {
    std::int64_t const step = event.step.value();
    return step == 4 || (step == 2 && rank == 1) ? tacit::Flow::skip_batch : tacit::Flow::proceed;
  }
};

}  // namespace

TEST_CASE("ranks whose modules talk leave batches out and mask updates, and nobody waits for them") {
  // One process cannot leave half of a batch out: what is left must be the same whoever leaves it out.
  auto const skipped = run_ranks(2, [&](tacit::launch::World const& world) {
    Ddp<Gloo> policy{.timeout = std::chrono::seconds{5}, .world = world};
    return train_normed(tacit::SyncBatchNorm(6), 60, 6, CallbackPack{LeaveOutOnRank1{world.rank}}, policy);
  });
  CHECK(skipped[0].numbers.size() > 3);
  CHECK(skipped[0].numbers == skipped[1].numbers);
  CHECK(torch::tensor(skipped[0].numbers).isfinite().all().item<bool>());

  auto const one = train_normed(torch::nn::BatchNorm1d(6), 48, 12, CallbackPack{MaskAll{}});
  auto const masked = run_ranks(2, [&](tacit::launch::World const& world) {
    Ddp<Gloo> policy{.timeout = std::chrono::seconds{5}, .world = world};
    return train_normed(tacit::SyncBatchNorm(6), 48, 6, CallbackPack{MaskOnRank1{world.rank}}, policy);
  });
  REQUIRE(masked[0].numbers.size() == one.size());
  CHECK(masked[0].numbers == masked[1].numbers);
  CHECK(distance(torch::tensor(masked[0].numbers, torch::kDouble), torch::tensor(one, torch::kDouble)) < 1e-12);
}

TEST_CASE("C5: a SyncBatchNorm whose trainer is gone, or was never finished, is LibTorch's batch norm; a graph that is kept is refused") {
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    auto model = std::make_shared<NormedImpl<tacit::SyncBatchNorm>>(tacit::SyncBatchNorm(6));
    at::Tensor kept;
    at::Tensor const x = torch::sin(torch::arange(16, torch::kDouble) * (1.0 + world.rank)).reshape({4, 4});
    {
      Ddp<Gloo> policy{.timeout = std::chrono::seconds{3}, .world = world};
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.05}, tacit::Fp64{}, CallbackPack{}, policy};
      trainer.train(data(8), {.epochs = 1, .per_device_batch_size = 4, .sink = tacit::Sink::none()});
      model->train();
      kept = model->forward(x).sum();
    }
    std::vector<std::string> junk;
    for (std::size_t i = 0; i < 2000; ++i) junk.emplace_back(i, 'x');  // the memory is used again
    double refused = 0.0;
    try {
      kept.backward();
    } catch (tacit::UsageError const& error) {
      refused = error.code() == "TACIT-RU27" ? 1.0 : 2.0;
    }
    auto const is_local = [&] {
      auto plain = std::make_shared<NormedImpl<torch::nn::BatchNorm1d>>(torch::nn::BatchNorm1d(6));
      for (auto& item : model->named_parameters()) {
        torch::NoGradGuard const no_graph;
        plain->named_parameters()[item.key()].copy_(item.value());
      }
      model->train();
      at::Tensor const y = model->forward(x);
      y.square().sum().backward();
      return distance(y, plain->forward(x)) < 1e-12;
    };
    bool const after = is_local();
    // A constructor that throws once the modules are joined.
    double thrown = 0.0;
    try {
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = -1.0}, tacit::Fp64{}, CallbackPack{}, Ddp<Gloo>{.timeout = std::chrono::seconds{3}, .world = world}};
    } catch (tacit::ConfigError const&) {
      thrown = 1.0;
    }
    return std::vector<double>{refused, after ? 1.0 : 0.0, thrown, is_local() ? 1.0 : 0.0};
  });
  for (Report const& report : reports) {
    INFO(report.what);
    CHECK(report.numbers == std::vector<double>{1.0, 1.0, 1.0, 1.0});
  }
}

namespace {

enum class Where { forward, backward, loss, step, update, epoch };
/// Throws on every rank once, at one place.
struct ThrowOnce {
  Where where;
  std::shared_ptr<bool> armed;
  void at(Where here) const {
    if (here == where && std::exchange(*armed, false)) throw std::runtime_error{"on every rank"};
  }
  void on(event::TrainLossComputed const& e, auto&) { if (e.update.value() == 1) at(Where::loss); }
  void on(event::TrainStepEnd const& e, auto&) { if (e.update.value() == 1) at(Where::step); }
  void on(event::UpdateEnd const& e, auto&) { if (e.update.value() == 1) at(Where::update); }
  void on(event::TrainEpochEnd const&, auto&) { at(Where::epoch); }
};
struct ThrowingImpl : NetImpl {
  at::Tensor forward(at::Tensor const& x) {
    if (++calls == 2 && once.armed) once.at(Where::forward);
    at::Tensor const y = NetImpl::forward(x);
    if (calls == 2 && once.armed && once.where == Where::backward) {
      y.register_hook([once = once](at::Tensor const& gradient) { return once.at(Where::backward), gradient; });
    }
    return y;
  }
  int calls = 0;
  ThrowOnce once{};
};

}  // namespace

TEST_CASE("C14: after an exception on all ranks the next run is that of a new trainer") {
  auto const one = [](std::int64_t batch, auto... policies) {
    auto model = std::make_shared<NetImpl>();
    tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.05}, tacit::Fp64{}, CallbackPack{}, policies...};
    trainer.train(data(5), {.epochs = 3, .per_device_batch_size = batch, .seed = 7, .sink = tacit::Sink::none()});
    return flat(*model);
  };
  at::Tensor const expected = one(4);
  for (Where where : {Where::forward, Where::backward, Where::loss, Where::step, Where::update, Where::epoch}) {
    auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
      auto model = std::make_shared<ThrowingImpl>();
      auto const before = [&] {
        std::vector<at::Tensor> all;
        for (auto& p : model->parameters()) all.push_back(p.detach().clone());
        return all;
      }();
      ThrowOnce const once{where, std::make_shared<bool>(true)};
      model->once = once;
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.05}, tacit::Fp64{}, CallbackPack{once}, Ddp<Gloo>{.timeout = std::chrono::seconds{3}, .world = world}};
      bool threw = false;
      try {
        trainer.train(data(12), {.epochs = 1, .per_device_batch_size = 2, .seed = 7, .sink = tacit::Sink::none()});
      } catch (std::runtime_error const& error) {
        threw = std::string_view{error.what()}.find("on every rank") != std::string_view::npos;
      }
      {
        torch::NoGradGuard const no_graph;
        for (std::size_t i = 0; i < before.size(); ++i) model->parameters()[i].copy_(before[i].to(torch::kDouble));
      }
      // Rank 1 has no batch for the last step of an epoch.
      trainer.train(
          data(5), {.epochs = 3, .per_device_batch_size = 2, .first_epoch = 0, .seed = 7, .sink = tacit::Sink::none()});
      return std::vector<double>{threw ? 1.0 : 0.0, distance(flat(*model), expected)};
    });
    for (Report const& report : reports) {
      CAPTURE(static_cast<int>(where), report.what);
      REQUIRE(report.numbers.size() == 2);
      CHECK(report.numbers[0] == 1.0);
      CHECK(report.numbers[1] < 1e-12);
    }
  }
}

TEST_CASE("a rank that never has a batch is told so, and no one waits for ever") {
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    Ddp<Gloo> policy{.timeout = std::chrono::seconds{3}, .world = world};
    return train_normed(tacit::SyncBatchNorm(6), 1, 4, CallbackPack{}, policy);
  });
  CHECK(reports[0].code == "TACIT-RX20");
  CHECK(reports[1].code == "TACIT-RX24");
}

namespace {

/// Passes a tensor on; its backward pass has memory for so many rows.
struct Tight : torch::autograd::Function<Tight> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::Tensor const& x, std::int64_t rows) {
    context->saved_data["rows"] = rows;
    return x.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list const& gradients) {
    TORCH_CHECK_WITH(OutOfMemoryError, gradients[0].size(0) <= context->saved_data["rows"].toInt(), "out of memory");
    return {gradients[0], at::Tensor{}};
  }
};
/// The memory of rank 1 holds two rows: that is found out in the forward pass, or when the last layer has its gradients.
struct TightImpl : NetImpl {
  at::Tensor forward(at::Tensor const& x) {
    std::int64_t const rows = rank == 1 ? 2 : 1'000;
    if (!in_backward) {
      TORCH_CHECK_WITH(OutOfMemoryError, x.size(0) <= rows, "out of memory");
      return NetImpl::forward(x);
    }
    at::Tensor const hidden = torch::tanh(first(x));
    return last(Tight::apply(hidden + torch::tanh(unused(hidden)), rows));
  }
  int rank = 0;
  bool in_backward = false;
};

}  // namespace

TEST_CASE("a rank that runs out of memory halves its batches, and the updates stay") {
  std::int64_t const accumulation = GENERATE(1, 3);
  bool const overlaps = GENERATE(true, false);
  bool const in_backward = GENERATE(false, true);
  tacit::TrainOptions options{.limit = {.updates = 20}, .per_device_batch_size = 12, .gradient_accumulation = accumulation, .seed = 7};
  Outcome const one = train(std::make_shared<TightImpl>(), 50, options, CallbackPack{});
  options.per_device_batch_size = 6;
  auto const reports = run_ranks(2, [&](tacit::launch::World const& world) {
    auto model = std::make_shared<TightImpl>();
    model->rank = world.rank;
    model->in_backward = in_backward;
    return train(model, 50, options, CallbackPack{tacit::AutoMicroBatch{}},
                 Ddp<Gloo>{.overlap = overlaps, .world = world})
        .numbers();
  });
  CHECK(distance(same_on_all(reports), one.parameters) < 1e-12);
  auto const failed = run_ranks(2, [&](tacit::launch::World const& world) {
    auto model = std::make_shared<TightImpl>();
    model->rank = world.rank;
    model->in_backward = in_backward;
    return train(model, 50, options, CallbackPack{}, Ddp<Gloo>{.timeout = std::chrono::seconds{5}, .world = world}).numbers();
  });
  CHECK_THAT(failed[1].what, ContainsSubstring("out of memory"));
  CHECK(failed[1].code == "none");  // LibTorch's own error
  CHECK(failed[0].code == "TACIT-RX20");
  auto const refused = run_ranks(2, [&](tacit::launch::World const& world) {
    return train_normed(tacit::SyncBatchNorm(6), 48, 6, CallbackPack{tacit::AutoMicroBatch{}}, Ddp<Gloo>{.timeout = std::chrono::seconds{5}, .world = world});
  });
  CHECK(refused[0].code == "TACIT-RC89");
  CHECK(refused[1].code == "TACIT-RC89");
}

TEST_CASE("SyncBatchNorm alone has LibTorch's values and gradients, for every shape") {
  auto const check = [](auto theirs, std::vector<std::int64_t> const& shape, bool affine) {
    torch::manual_seed(3);
    tacit::SyncBatchNorm ours{tacit::SyncBatchNormOptions{.channels = 3, .eps = 1e-3, .momentum = 0.3, .affine = affine}};
    theirs->to(torch::kDouble);
    ours->to(torch::kDouble);
    for (int step = 0; step < 3; ++step) {
      at::Tensor const x = torch::randn(shape, torch::kDouble);
      at::Tensor const a = x.clone().requires_grad_();
      at::Tensor const b = x.clone().requires_grad_();
      at::Tensor const ya = theirs->forward(a);
      at::Tensor const yb = ours->forward(b);
      CHECK(torch::allclose(ya, yb, 1e-10, 1e-12));
      ya.pow(3).sum().backward();
      yb.pow(3).sum().backward();
      CHECK(torch::allclose(a.grad(), b.grad(), 1e-9, 1e-10));
      if (affine) {
        CHECK(torch::allclose(theirs->weight.grad(), ours->weight.grad(), 1e-9, 1e-10));
        CHECK(torch::allclose(theirs->bias.grad(), ours->bias.grad(), 1e-9, 1e-10));
      }
    }
    CHECK(torch::allclose(theirs->running_mean, ours->running_mean, 1e-12, 1e-13));
    CHECK(torch::allclose(theirs->running_var, ours->running_var, 1e-12, 1e-13));
    theirs->eval();
    ours->eval();
    at::Tensor const x = torch::randn(shape, torch::kDouble);
    CHECK(torch::allclose(theirs->forward(x), ours->forward(x), 1e-10, 1e-12));
  };
  for (bool affine : {true, false}) {
    auto const options = torch::nn::BatchNormOptions(3).eps(1e-3).momentum(0.3).affine(affine);
    check(torch::nn::BatchNorm1d(options), {5, 3}, affine);
    check(torch::nn::BatchNorm1d(options), {4, 3, 7}, affine);
    check(torch::nn::BatchNorm2d(options), {2, 3, 4, 5}, affine);
    check(torch::nn::BatchNorm3d(options), {2, 3, 2, 3, 2}, affine);
  }
  try {
    tacit::SyncBatchNorm(3)->forward(torch::ones({2, 4}));
    FAIL("no error");
  } catch (tacit::UsageError const& error) {
    CHECK(error.code() == "TACIT-RU24");
  }
}

TEST_CASE("AutoDistribution without its other side says how to bring it") {
  auto const bind = [](tacit::launch::World const& world, auto const& device) { return tacit::AutoDistribution{.world = world}.bind<tacit::ParameterSet>(device); };
  auto const code_of = [](auto const& body) {
    try {
      body();
    } catch (tacit::Error const& error) {
      return std::string{error.code()};
    }
    return std::string{"none"};
  };
  struct Elsewhere {
    static constexpr bool host_reads_free() { return false; }
    static std::string name() { return "a card"; }
  };
  tacit::Cpu::bound<at::Tensor> const cpu{};
  CHECK(code_of([&] { bind({.launcher = "torchrun", .rank = 0, .world_size = 2}, cpu); }) == "TACIT-RX22");
  CHECK(code_of([&] { bind({.launcher = "torchrun", .rank = 0, .world_size = 2}, Elsewhere{}); }) == "TACIT-RX21");
  auto alone = bind({}, cpu);
  CHECK(alone.world_size() == 1);
  CHECK(alone.name() == "single process");
  CHECK(alone.agree(5) == 5);
  CHECK(alone.gather("text") == std::vector<std::string>{"text"});
}
