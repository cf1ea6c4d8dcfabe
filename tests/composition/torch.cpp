// needs: libtorch
// What the fake tensor cannot show: autocast, the scaler, checkpointed units, norms and their buffers, real optimizers,
// and ranks that are processes. Every pair of the values below that can be occurs once, against a loop written by hand
// over LibTorch in float64, and, where a unit is checkpointed, against the plain child bit for bit (1e-3 where autocast
// sums in small types).
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "free_port.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/policy/distribution/ddp.hpp"
#include "tacit/policy/distribution/gloo.hpp"
#include "tacit/policy/precision/auto_precision.hpp"
#include "tacit/task/checkpointed.hpp"
#include "tacit/task/model_freezer.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/lookahead.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/optim/torch_optim.hpp"
#include "tacit/task/sync_batch_norm.hpp"
#include "tacit/train/trainer.hpp"

namespace {

namespace event = tacit::event;
namespace optim = tacit::optim;

// --- what is composed ---

/// A value of each dimension; `values` has the names.
struct Case {
  int phases, checkpointed, norm, optimizer, precision, average, world, accumulation, clip;
};
constexpr int dimension_count = 9;
struct Dimension {
  char const* name;
  int Case::*value;
  std::vector<char const*> values;
};
std::vector<Dimension> const& dimensions() {
  static std::vector<Dimension> const all{
      {"phases", &Case::phases, {"1", "2"}},
      {"checkpointed", &Case::checkpointed, {"none", "first", "all"}},
      {"norm", &Case::norm, {"none", "batch", "sync"}},
      {"optimizer", &Case::optimizer, {"sgd", "adamw", "lookahead_groups", "torch_sgd", "lbfgs"}},
      {"precision", &Case::precision, {"fp64", "bf16", "fp16"}},
      {"average", &Case::average, {"none", "ema", "freezer"}},
      {"world", &Case::world, {"process", "1", "2", "3"}},
      {"accumulation", &Case::accumulation, {"1", "3"}},
      {"clip", &Case::clip, {"none", "norm"}}};
  return all;
}
enum Norm { no_norm, batch_norm, sync_norm };
enum Optimizer { sgd, adamw, lookahead_groups, torch_sgd, lbfgs };
enum Average { no_average, ema, freezer };

/// Why two values cannot meet, or are met elsewhere; null where they can.
char const* impossible(Case const& c) {
  if (c.norm == batch_norm && c.world > 1)
    return "a batch norm of each rank's own is no function of the union of their batches";
  if (c.phases > 0 && c.average == ema) return "Ema asks for a task of one phase";
  if (c.optimizer == lbfgs && c.phases > 0)
    return "an optimizer with a closure asks for a task of one phase (TACIT-EO04)";
  if (c.optimizer == lbfgs && c.precision == 2) return "loss scaling has no closure (TACIT-EO04)";
  if (c.optimizer == lbfgs && c.world > 0) return "LBFGS over ranks has its own type, and a test in window_again.cpp";
  if (c.optimizer == lbfgs && c.average == freezer)
    return "LBFGS starts anew when parameters come or go: window_again.cpp";
  if (c.optimizer == lbfgs && c.average == ema) return "LBFGS has a pack of its own, without Ema";
  if (c.optimizer == lbfgs && c.norm != no_norm)
    return "a closure computes the window again: running statistics see its rows several times";
  if (c.optimizer == torch_sgd && c.average == freezer) return "torch::optim keeps the state of a parameter that left";
  return nullptr;
}

struct BlockImpl : torch::nn::Module {
  torch::nn::Linear linear{register_module("linear", torch::nn::Linear(4, 4))};
  at::Tensor forward(at::Tensor const& x) { return torch::tanh(linear->forward(x)); }
};
struct Net : torch::nn::Module {
  Net(int norm_, bool saves_, double shift) : norm{norm_}, saves{saves_} {
    block = register_module("block", std::make_shared<BlockImpl>());
    unit = block;
    if (norm == batch_norm) batch = register_module("norm", torch::nn::BatchNorm1d(4));
    if (norm == sync_norm) sync = register_module("norm", tacit::SyncBatchNorm(4));
    head = register_module("head", torch::nn::Linear(4, 4));
    torch::NoGradGuard const no_graph;
    int i = 0;
    for (auto& p : parameters())
      p.copy_(torch::sin(torch::arange(p.numel(), torch::kFloat) * 0.7 + ++i + shift).reshape(p.sizes()) * 0.25);
  }
  at::Tensor forward(at::Tensor const& x) {
    at::Tensor hidden = saves ? unit(x) : block->forward(x);
    if (norm == batch_norm) hidden = batch->forward(hidden);
    if (norm == sync_norm) hidden = sync->forward(hidden);
    return head->forward(hidden);
  }
  int norm;
  bool saves;
  std::shared_ptr<BlockImpl> block;
  tacit::Checkpointed<BlockImpl> unit;
  torch::nn::BatchNorm1d batch{nullptr};
  tacit::SyncBatchNorm sync{nullptr};
  torch::nn::Linear head{nullptr};
};
using Nets = std::vector<std::shared_ptr<Net>>;

/// Checkpointed nets where `saves` says so.
Nets nets_of(Case const& c, bool saves, int norm) {
  Nets nets;
  for (int p = 0; p <= c.phases; ++p)
    nets.push_back(
        std::make_shared<Net>(norm, saves && (c.checkpointed == 2 || (c.checkpointed == 1 && p == 0)), 0.5 * p));
  return nets;
}

struct Batch {
  at::Tensor x, y, weight;
};
struct Loss {
  at::Tensor loss;
  double weight;
};
/// The second phase's net works on what the first one makes of its input, and the first is judged by the second, as in
/// a GAN.
at::Tensor prediction_of(Nets const& nets, std::size_t phase, at::Tensor const& x) {
  if (nets.size() == 1) return nets[0]->forward(x);
  return phase == 0 ? nets[0]->forward(x) + 0.3 * nets[1]->forward(nets[0]->forward(x))
                    : nets[1]->forward(nets[0]->forward(x)) - 0.2 * nets[1]->forward(x);
}
Loss loss_of(Nets const& nets, std::size_t phase, Batch const& batch) {
  at::Tensor const squares = (prediction_of(nets, phase, batch.x).to(batch.y.scalar_type()) - batch.y).square().mean(1);
  double const weight = batch.weight.sum().item<double>() * (phase == 0 ? 1.0 : 0.5);
  return {(squares * batch.weight).sum() / batch.weight.sum(), weight};
}

constexpr int epochs = 2;
/// Seven batches of 3 to 5 rows.
std::vector<Batch> data(int first) {
  std::vector<Batch> all;
  for (int b = 0; b < 7; ++b) {
    int const rows = 3 + b % 3;
    at::Tensor const i = torch::arange(rows * 4, torch::kFloat).reshape({rows, 4}) + 10.0 * (first + b);
    all.push_back({torch::sin(i * 1.3), torch::cos(i * 0.7 + 1.0), torch::arange(rows, torch::kFloat) % 3 + 1.0});
  }
  return all;
}

/// All that a run leaves: parameters and buffers, then the recorded losses.
using Numbers = std::vector<double>;
void add(Numbers& to, Nets const& nets) {
  for (auto const& net : nets) {
    for (auto const& list : {net->parameters(), net->buffers()}) {
      for (at::Tensor const& one : list) {
        at::Tensor const values = one.detach().to(torch::kDouble).contiguous();
        to.insert(to.end(), values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel());
      }
    }
  }
}

// --- by Tacit ---

struct Chosen {
  using slot = tacit::slot::optimizer;
  using Grouped = optim::Groups<optim::Sgd>;
  static Grouped groups() {
    return {
        .base = {.lr = 0.05, .momentum = 0.9},
        .groups = {{.name = "head", .takes = optim::named("head."), .options = {.lr = 0.02}, .may_be_empty = true}}};
  }
  int what = sgd;

  template <class Parameters>
  class Bound {
   public:
    static constexpr bool maskable = true;
    Bound(int what, Parameters& parameters) : inner_{make(what, parameters)} {}
    void step(Parameters& parameters, tacit::update_input<at::Tensor> const& input) {
      std::visit([&](auto& one) { one.step(parameters, input); }, inner_);
    }
    void parameters_changed(Parameters& parameters) {
      std::visit([&](auto& one) { one.parameters_changed(parameters); }, inner_);
    }

   private:
    template <class Recipe>
    using bound_of = decltype(std::declval<Recipe const&>().bind(std::declval<Parameters&>()));
    using TorchSgd = decltype(optim::from_torch<torch::optim::SGD>(torch::optim::SGDOptions(0.05)));
    using any = std::variant<bound_of<optim::Sgd>, bound_of<optim::AdamW>, bound_of<optim::Lookahead<Grouped>>,
                             bound_of<TorchSgd>>;
    static any make(int what, Parameters& parameters) {
      if (what == sgd) return any{optim::Sgd{.lr = 0.05, .momentum = 0.9}.bind(parameters)};
      if (what == adamw) return any{optim::AdamW{.lr = 0.01}.bind(parameters)};
      if (what == torch_sgd)
        return any{optim::from_torch<torch::optim::SGD>(torch::optim::SGDOptions(0.05).momentum(0.9)).bind(parameters)};
      return any{optim::Lookahead<Grouped>{.inner = groups(), .every = 2}.bind(parameters)};
    }
    any inner_;
  };
  template <class Parameters>
  Bound<Parameters> bind(Parameters& parameters) const {
    return {what, parameters};
  }
};

/// Freezes the first net's block in the first epoch, where it is told to.
struct Freeze {
  std::shared_ptr<tacit::ModelFreezer<Net>> freezer;  ///< null: nothing is frozen
  int epochs_begun = 0;
  void on(event::TrainingRunEpochStart const&, auto& context) {
    int const epoch = epochs_begun++;
    if (freezer == nullptr) return;
    context.change_parameters(
        [&](auto& all) { epoch == 0 ? freezer->freeze(all, 0, 0) : freezer->unfreeze(all, 0, 0); });
  }
  static void visit_config(auto&, auto&&) {}
};

struct Step {
  Nets nets;
  std::size_t phase;
  Loss operator()(Net&, Batch const& batch, auto&) const { return loss_of(nets, phase, batch); }
};

char const* precision_name(Case const& c) {
  return std::array{"fp64", "bf16", "fp16"}.at(static_cast<std::size_t>(c.precision));
}

template <class Trainer>
Numbers trained(Case const& c, Trainer& trainer, Nets const& nets) {
  auto const train_data = data(0);
  auto const eval = data(50);
  tacit::TrainOptions options{.epochs = epochs,
                              .gradient_accumulation = c.accumulation == 0 ? 1 : 3,
                              .evaluation = {.every_updates = 2},
                              .sink = tacit::Sink::none()};
  if (c.clip == 1) options.clip.norm = 0.5;
  auto const result = trainer.train(train_data, eval, options);
  Numbers numbers;
  add(numbers, nets);
  for (int p = 0; p <= c.phases; ++p) {
    std::string const of = c.phases == 0 ? "" : std::string{"ab"[p]} + "/";
    for (char const* name : {"train_loss", "eval_loss"}) {
      auto const values = result.metrics.values(tacit::dynamic{of + name});
      numbers.push_back(values.back().value);
    }
  }
  if (c.average == ema) numbers.push_back(result.metrics.latest(tacit::dynamic{"ema/eval_loss"}));
  numbers.push_back(static_cast<double>(result.updates.value()));
  return numbers;
}

template <class Distribution>
Numbers by_tacit(Case const& c, bool saves, Distribution const& distribution) {
  Nets const nets = nets_of(c, saves, c.norm);
  Freeze freeze{c.average == freezer ? std::make_shared<tacit::ModelFreezer<Net>>(*nets[0]) : nullptr};
  tacit::AutoPrecision const precision{precision_name(c)};
  if (c.optimizer == lbfgs) {
    if constexpr (std::is_same_v<Distribution, tacit::SingleProcess>) {
      tacit::Trainer trainer{
          tacit::Task{nets[0], optim::from_torch<torch::optim::LBFGS>(torch::optim::LBFGSOptions(0.1).max_iter(3)),
                      Step{nets, 0}},
          tacit::AutoPrecision{precision}, tacit::CallbackPack{}};
      return trained(c, trainer, nets);
    }
    return {};
  }
  Chosen const how{c.optimizer};
  if (c.phases == 0) {
    tacit::Trainer trainer{tacit::Task{nets[0], how, Step{nets, 0}}, precision, distribution,
                           tacit::CallbackPack{freeze, tacit::Ema{.decay = 0.8, .warmup = false}}};
    return trained(c, trainer, nets);
  }
  tacit::Trainer trainer{
      tacit::Task{tacit::phase<"a">(nets[0], how, Step{nets, 0}), tacit::phase<"b">(nets[1], how, Step{nets, 1})},
      precision, distribution, tacit::CallbackPack{freeze}};
  return trained(c, trainer, nets);
}

// --- by hand: one process, float64, the union of the ranks' batches ---

struct Rule {
  std::vector<at::Tensor> parameters{}, slow{};
  std::vector<bool> is_head{};
  std::unique_ptr<torch::optim::Optimizer> optimizer{};
  int updates = 0;

  Rule(Case const& c, Net const& net, bool frozen) {
    for (auto const& item : net.named_parameters()) {
      if (frozen && item.key().starts_with("block.")) continue;
      parameters.push_back(item.value());
      slow.push_back(item.value().detach().clone());
      is_head.push_back(item.key().starts_with("head."));
    }
    if (c.optimizer == adamw) {
      optimizer = std::make_unique<torch::optim::AdamW>(parameters, torch::optim::AdamWOptions(0.01));
    } else if (c.optimizer == lookahead_groups) {
      std::vector<at::Tensor> body, head;
      for (std::size_t i = 0; i < parameters.size(); ++i) (is_head[i] ? head : body).push_back(parameters[i]);
      std::vector<torch::optim::OptimizerParamGroup> groups;
      groups.emplace_back(head, std::make_unique<torch::optim::SGDOptions>(0.02));
      groups.emplace_back(body,
                          std::make_unique<torch::optim::SGDOptions>(torch::optim::SGDOptions(0.05).momentum(0.9)));
      optimizer = std::make_unique<torch::optim::SGD>(groups, torch::optim::SGDOptions(0.05));
    } else if (c.optimizer != lbfgs) {
      optimizer = std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(0.05).momentum(0.9));
    }
  }
  void step(Case const& c) {
    if (c.clip == 1) {
      double squares = 0.0;
      for (auto const& p : parameters) squares += p.grad().square().sum().item<double>();
      for (auto& p : parameters) p.mutable_grad().mul_(std::min(1.0, 0.5 / (std::sqrt(squares) + 1e-6)));
    }
    optimizer->step();
    if (c.optimizer != lookahead_groups || ++updates % 2 != 0) return;
    torch::NoGradGuard const no_graph;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      slow[i] += 0.5 * (parameters[i] - slow[i]);
      parameters[i].copy_(slow[i]);
    }
  }
};

Batch in_float64(std::vector<Batch> const& parts) {
  std::vector<at::Tensor> x, y, weight;
  for (Batch const& one : parts) {
    x.push_back(one.x.to(torch::kDouble));
    y.push_back(one.y.to(torch::kDouble));
    weight.push_back(one.weight.to(torch::kDouble));
  }
  return {torch::cat(x), torch::cat(y), torch::cat(weight)};
}

Numbers by_hand(Case const& c) {
  int const world = std::max(1, c.world);
  Nets const nets = nets_of(c, false, c.norm == sync_norm ? static_cast<int>(batch_norm) : c.norm);
  for (auto const& net : nets) net->to(torch::kDouble);
  std::vector<Batch> steps;
  std::vector<Batch> const batches = data(0);
  for (std::size_t at = 0; at < batches.size(); at += static_cast<std::size_t>(world)) {
    steps.push_back(in_float64({batches.begin() + static_cast<std::ptrdiff_t>(at),
                                batches.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                      at + static_cast<std::size_t>(world), batches.size()))}));
  }
  auto const evaluated = [&](std::size_t p) {
    torch::NoGradGuard const no_graph;
    double sum = 0.0, total = 0.0;
    for (auto const& net : nets) net->eval();
    for (Batch const& batch : data(50)) {
      Loss const loss = loss_of(nets, p, in_float64({batch}));
      sum += loss.loss.item<double>() * loss.weight;
      total += loss.weight;
    }
    for (auto const& net : nets) net->train();
    return sum / total;
  };
  std::vector<Rule> rules;
  for (std::size_t p = 0; p < nets.size(); ++p) rules.emplace_back(c, *nets[p], c.average == freezer && p == 0);
  torch::optim::LBFGS by_closure(nets[0]->parameters(), torch::optim::LBFGSOptions(0.1).max_iter(3));
  std::vector<at::Tensor> average;
  for (auto const& p : nets[0]->parameters()) average.push_back(p.detach().clone());
  std::vector<at::Tensor> average_of_buffers;
  for (auto const& b : nets[0]->buffers()) average_of_buffers.push_back(b.detach().clone());

  Numbers train_loss(nets.size(), 0.0);
  double ema_loss = 0.0;
  double updates = 0.0;
  std::size_t const window = c.accumulation == 0 ? 1 : 3;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    if (c.average == freezer && epoch == 1) {
      // The block's parameters come back with state of their own; the others keep theirs.
      Rule whole{c, *nets[0], false};
      for (std::size_t i = 0; i < whole.parameters.size(); ++i) {
        for (std::size_t j = 0; j < rules[0].parameters.size(); ++j) {
          if (!whole.parameters[i].is_same(rules[0].parameters[j])) continue;
          whole.slow[i] = rules[0].slow[j];
          auto const state = rules[0].optimizer->state().find(rules[0].parameters[j].unsafeGetTensorImpl());
          if (state != rules[0].optimizer->state().end())
            whole.optimizer->state()[state->first] = state->second->clone();
        }
      }
      whole.updates = rules[0].updates;
      rules[0] = std::move(whole);
    }
    Numbers sum(nets.size(), 0.0), total(nets.size(), 0.0);
    for (std::size_t first = 0; first < steps.size(); first += window) {
      std::size_t const end = std::min(first + window, steps.size());
      Numbers weights(nets.size(), 0.0);
      std::vector<std::vector<at::Tensor>> gradients(nets.size());
      for (std::size_t at = first; at < end; ++at) {
        for (std::size_t p = 0; p < nets.size(); ++p) {
          Loss const loss = loss_of(nets, p, steps[at]);
          sum[p] += loss.loss.item<double>() * loss.weight;
          total[p] += loss.weight;
          weights[p] += loss.weight;
          auto const one = torch::autograd::grad({loss.loss * loss.weight}, rules[p].parameters);
          if (gradients[p].empty()) {
            gradients[p] = one;
          } else {
            for (std::size_t i = 0; i < one.size(); ++i) gradients[p][i] = gradients[p][i] + one[i];
          }
          if (at + 1 < end) continue;
          for (std::size_t i = 0; i < one.size(); ++i)
            rules[p].parameters[i].mutable_grad() = gradients[p][i] / weights[p];
          if (c.optimizer != lbfgs) {
            rules[p].step(c);
            continue;
          }
          by_closure.step([&] {
            double whole = 0.0;
            at::Tensor mean = torch::zeros({}, torch::kDouble);
            for (std::size_t again = first; again < end; ++again) {
              Loss const part = loss_of(nets, 0, steps[again]);
              mean = mean + part.loss * part.weight;
              whole += part.weight;
            }
            mean = mean / whole;
            by_closure.zero_grad();
            mean.backward();
            if (c.clip == 1) {
              double squares = 0.0;
              for (auto const& q : rules[0].parameters) squares += q.grad().square().sum().item<double>();
              for (auto& q : rules[0].parameters)
                q.mutable_grad().mul_(std::min(1.0, 0.5 / (std::sqrt(squares) + 1e-6)));
            }
            return mean.detach();
          });
        }
      }
      updates += 1.0;
      if (c.average == ema) {
        torch::NoGradGuard const no_graph;
        auto const parameters = nets[0]->parameters();
        for (std::size_t i = 0; i < average.size(); ++i) average[i] = 0.8 * average[i] + 0.2 * parameters[i];
        auto const buffers = nets[0]->buffers();
        for (std::size_t i = 0; i < buffers.size(); ++i) {
          average_of_buffers[i] =
              buffers[i].is_floating_point() ? 0.8 * average_of_buffers[i] + 0.2 * buffers[i] : buffers[i].clone();
        }
      }
    }
    for (std::size_t p = 0; p < nets.size(); ++p) train_loss[p] = sum[p] / total[p];
    if (c.average == ema) {
      torch::NoGradGuard const no_graph;
      auto const exchange = [&] {
        auto parameters = nets[0]->parameters();
        for (std::size_t i = 0; i < average.size(); ++i) {
          at::Tensor const own = parameters[i].detach().clone();
          parameters[i].copy_(average[i]);
          average[i] = own;
        }
        auto buffers = nets[0]->buffers();
        for (std::size_t i = 0; i < buffers.size(); ++i) {
          at::Tensor const own = buffers[i].detach().clone();
          buffers[i].copy_(average_of_buffers[i]);
          average_of_buffers[i] = own;
        }
      };
      exchange();
      ema_loss = evaluated(0);
      exchange();
    }
  }
  Numbers numbers;
  add(numbers, nets);
  for (std::size_t p = 0; p < nets.size(); ++p) {
    numbers.push_back(train_loss[p]);
    numbers.push_back(evaluated(p));
  }
  if (c.average == ema) numbers.push_back(ema_loss);
  numbers.push_back(updates);
  return numbers;
}

// --- ranks ---

/// Runs `body(world)` in a process for each rank. Empty numbers: the rank failed, and `why` says how.
template <class Body>
std::vector<Numbers> on_ranks(int size, Body const& body, std::string& why) {
  int const port = free_port();
  std::vector<std::pair<pid_t, int>> children;
  std::fflush(nullptr);
  for (int rank = 0; rank < size; ++rank) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pid_t const pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      std::string text;
      try {
        Numbers const numbers = body(tacit::launch::World{
            .rank = rank, .world_size = size, .local_rank = rank, .local_world_size = size, .port = port});
        text = "R" + std::string{reinterpret_cast<char const*>(numbers.data()), numbers.size() * sizeof(double)};
      } catch (std::exception const& error) {
        text = std::string{"E"} + error.what();
      }
      for (std::size_t done = 0; done < text.size();) {
        ssize_t const count = write(ends[1], text.data() + done, text.size() - done);
        if (count <= 0) _exit(1);
        done += static_cast<std::size_t>(count);
      }
      _exit(0);
    }
    close(ends[1]);
    children.emplace_back(pid, ends[0]);
  }
  auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  std::vector<Numbers> all;
  for (auto const& [pid, end] : children) {
    std::string text;
    while (true) {
      auto const left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
      pollfd wait{end, POLLIN, 0};
      if (left <= 0 || poll(&wait, 1, static_cast<int>(left)) <= 0) break;
      char buffer[4096];
      ssize_t const count = read(end, buffer, sizeof buffer);
      if (count <= 0) break;
      text.append(buffer, static_cast<std::size_t>(count));
    }
    close(end);
    kill(pid, SIGKILL);  // done or late
    waitpid(pid, nullptr, 0);
    Numbers& numbers = all.emplace_back();
    if (text.starts_with('R')) {
      numbers.resize((text.size() - 1) / sizeof(double));
      std::memcpy(numbers.data(), text.data() + 1, numbers.size() * sizeof(double));
    } else {
      why = text.empty() ? "a rank crashed or was not done in time" : text.substr(1);
    }
  }
  return all;
}

std::vector<Numbers> run(Case const& c, bool saves, std::string& why) {
  if (c.world == 0) {
    try {
      return {by_tacit(c, saves, tacit::SingleProcess{})};
    } catch (std::exception const& error) {
      why = error.what();
      return {{}};
    }
  }
  return on_ranks(
      c.world,
      [&](tacit::launch::World const& world) {
        return by_tacit(c, saves,
                        tacit::Ddp<tacit::Gloo>{
                            .overlap = c.phases == 0 || c.checkpointed == 0,  // a step of two phases uses units twice
                            .timeout = std::chrono::seconds{20},
                            .world = world});
      },
      why);
}

// --- the compositions: every pair that can be, each in one of them ---

std::string text_of(Case const& c) {
  std::string text;
  for (Dimension const& one : dimensions())
    text += std::string{text.empty() ? "" : " "} + one.name + "=" + one.values[static_cast<std::size_t>(c.*one.value)];
  return text;
}
using Pair = std::array<int, 4>;
std::set<Pair> pairs_of(Case const& c) {
  std::set<Pair> all;
  for (int a = 0; a < dimension_count; ++a) {
    for (int b = a + 1; b < dimension_count; ++b) {
      auto const value = [&](int d) { return c.*dimensions()[static_cast<std::size_t>(d)].value; };
      all.insert({a, value(a), b, value(b)});
    }
  }
  return all;
}
/// Greedily: of all that can be, always the one that brings most pairs.
std::vector<Case> compositions(std::size_t& pairs) {
  std::vector<Case> possible;
  std::vector<int> at(dimension_count, 0);
  while (true) {
    Case c{};
    for (int d = 0; d < dimension_count; ++d)
      c.*dimensions()[static_cast<std::size_t>(d)].value = at[static_cast<std::size_t>(d)];
    if (impossible(c) == nullptr) possible.push_back(c);
    int d = 0;
    while (d < dimension_count && ++at[static_cast<std::size_t>(d)] ==
                                      static_cast<int>(dimensions()[static_cast<std::size_t>(d)].values.size()))
      at[static_cast<std::size_t>(d++)] = 0;
    if (d == dimension_count) break;
  }
  std::set<Pair> open;
  for (Case const& c : possible) open.merge(pairs_of(c));
  pairs = open.size();
  std::vector<Case> chosen;
  while (!open.empty()) {
    Case const* best = nullptr;
    std::size_t most = 0;
    for (Case const& c : possible) {
      auto const own = pairs_of(c);
      std::size_t const brings = static_cast<std::size_t>(
          std::count_if(own.begin(), own.end(), [&](Pair const& pair) { return open.contains(pair); }));
      if (brings > most) best = &c, most = brings;
    }
    chosen.push_back(*best);
    for (Pair const& pair : pairs_of(*best)) open.erase(pair);
  }
  return chosen;
}

std::string difference(Numbers const& got, Numbers const& wanted, double tolerance) {
  if (got.size() != wanted.size())
    return std::to_string(got.size()) + " numbers, should be " + std::to_string(wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    bool const same = tolerance == 0.0 ? std::memcmp(&got[i], &wanted[i], sizeof(double)) == 0
                                       : std::abs(got[i] - wanted[i]) <= tolerance * std::max(1.0, std::abs(wanted[i]));
    if (same) continue;
    char buffer[160];
    std::snprintf(buffer, sizeof buffer, "number %zu of %zu is %.15g, should be %.15g", i, got.size(), got[i],
                  wanted[i]);
    return buffer;
  }
  return {};
}

}  // namespace

// TACIT_COMPOSITION="phases=2 checkpointed=all ..." runs the composition whose text that is.
TEST_CASE("compositions of what the fake tensor cannot show") {
  char const* const only = std::getenv("TACIT_COMPOSITION");
  std::size_t pairs = 0;
  auto const all = compositions(pairs);
  int by_hand_too = 0, bit_for_bit = 0;
  for (Case const& c : all) {
    std::string const text = text_of(c);
    if (only != nullptr && text != only) continue;
    std::string why;
    auto const fail = [&](std::string const& what) {
      std::printf("TACIT_COMPOSITION=\"%s\": %s\n", text.c_str(), what.c_str());
      FAIL_CHECK(text << ": " << what);
    };
    auto const ranks = run(c, true, why);
    if (!why.empty()) {
      fail("failed: " + why);
      continue;
    }
    for (Numbers const& rank : ranks) {
      if (auto const found = difference(rank, ranks[0], 0.0); !found.empty()) fail("the ranks differ: " + found);
    }
    if (c.precision == 0) {
      ++by_hand_too;
      if (auto const found = difference(ranks[0], by_hand(c), 1e-12); !found.empty())
        fail("not the loop by hand: " + found);
    }
    if (c.checkpointed != 0) {
      ++bit_for_bit;
      auto const plain = run(c, false, why);
      if (!why.empty()) {
        fail("with the plain child failed: " + why);
      } else {
        // In two phases a step uses a unit twice; autocast's one cast of a weight sums both gradients in the small
        // type.
        double const tolerance = c.phases > 0 && c.precision != 0 ? 1e-3 : 0.0;
        if (auto const found = difference(ranks[0], plain[0], tolerance); !found.empty()) {
          fail("not the plain child's numbers: " + found);
        }
      }
    }
    if (c.precision != 0) {
      for (double number : ranks[0]) {
        if (!std::isfinite(number)) {
          fail("a number is not finite");
          break;
        }
      }
    }
  }
  std::printf(
      "composition with LibTorch: %zu compositions, %zu pairs covered; %d against the loop by hand, %d against the "
      "plain child\n",
      all.size(), pairs, by_hand_too, bit_for_bit);
}
