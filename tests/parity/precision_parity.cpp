// needs: libtorch
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <torch/torch.h>

#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/policy/device/auto_device.hpp"
#include "tacit/policy/precision/auto_precision.hpp"
#include "tacit/policy/precision/bf16_pure.hpp"
#include "tacit/policy/precision/fp16.hpp"
#include "tacit/policy/precision/fp64.hpp"
#include "tacit/policy/precision/tf32.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/train/trainer.hpp"

#include "precision_parity.inc"

namespace precision_parity_tests {
namespace {

using tacit::ParameterSet;
namespace optim = tacit::optim;

at::Tensor wave(std::int64_t count, double step, double scale, at::ScalarType type = at::kFloat) {
  return (torch::sin(torch::arange(count, torch::kFloat64) * step) * scale).to(type);
}

struct Net : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(6, 16))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(16, 1))};

  Net() {
    torch::NoGradGuard const no_grad;
    double number = 0;
    for (auto& parameter : parameters()) {
      parameter.copy_(wave(parameter.numel(), 0.7 + 0.1 * number, 0.5).reshape(parameter.sizes()));
      ++number;
    }
  }
  at::Tensor forward(at::Tensor const& x) { return second(torch::tanh(first(x))); }
};

tacit::data::TensorDataset data(at::ScalarType type = at::kFloat) {
  return {wave(std::int64_t{32} * 6, 0.37, 2.0, type).reshape({32, 6}), wave(32, 0.11, 3.0, type).reshape({32, 1})};
}

/// How far apart two lists are, relative to the larger number; infinite for lists of unequal length.
double difference(std::vector<double> const& a, std::vector<double> const& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double most = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    double const scale = std::max({std::abs(a[i]), std::abs(b[i]), 1e-3});
    double const apart = std::abs(a[i] - b[i]) / scale;
    if (!(apart <= most)) most = apart;
  }
  return most;
}
void append(std::vector<double>& to, at::Tensor const& from) {
  at::Tensor const flat = from.detach().to(at::kDouble).reshape(-1);
  for (std::int64_t i = 0; i < flat.numel(); ++i) to.push_back(flat[i].item<double>());
}
std::vector<double> parameters_of(torch::nn::Module const& model) {
  std::vector<double> all;
  for (auto const& parameter : model.parameters()) append(all, parameter);
  return all;
}

/// The sequence of precision_parity.py: infinities at updates 0, 6, 7 and 15.
template <class Recipe>
void scaler_repeats(Recipe const& recipe, std::vector<double> const& scales, std::vector<double> const& parameters, bool on_device) {
  at::Tensor p = wave(3, 0.7, 1.0).requires_grad_();
  ParameterSet set;
  set.add("p", p);
  auto optimizer = recipe.bind(set);
  tacit::GradScaler scaler{{.initial = 1024.0, .growth_interval = 3}};
  std::vector<double> seen_scales;
  std::vector<double> seen;
  for (int t = 0; t < 24; ++t) {
    at::Tensor c = wave(3, 0.3 + 0.01 * t, 1.0);
    if (t == 0 || t == 6 || t == 7 || t == 15) c[1] = std::numeric_limits<float>::infinity();
    set.clear_gradients();
    scaler.backward((p * c).sum());
    at::Tensor const& mask = scaler.unscale(set);
    if (on_device) {
      optimizer.step_on_device(set, &mask);
    } else {
      optimizer.step(set, {.mask = &mask});
    }
    scaler.update();
    seen_scales.push_back(scaler.scale().item<double>());
    append(seen, p);
  }
  CHECK(seen_scales == scales);
  CHECK(difference(seen, parameters) < 2e-6);
  CHECK(scaler.skipped().item<double>() == 4.0);
}

template <class Body>
std::string code_of(Body const& body) {
  try {
    body();
    return "no error";
  } catch (tacit::Error const& error) {
    return std::string{error.code()};
  }
}

at::Float32Precision switched() { return at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL); }
struct Look {
  at::Float32Precision* seen;
  void on(tacit::event::UpdateStart const&, auto&) { *seen = switched(); }
};

struct ComeAndGo {
  void on(tacit::event::TrainEpochStart const& epoch, auto& context) {
    auto net = context.trainer().model().first;
    context.change_parameters([&](auto& all) {
      if (epoch.epoch.value() == 0) all.remove("first.weight");
      if (epoch.epoch.value() == 1) all.add("first.weight", net->weight);
    });
  }
};

struct ThrowOnce {
  bool* thrown;
  void on(tacit::event::UpdateStart const&, auto&) {
    if (!std::exchange(*thrown, true)) throw std::runtime_error{"once"};
  }
};

struct Scales {
  std::vector<double> seen{};
  void on(tacit::event::TrainStepStart const& step, auto& context) {
    if (step.update.value() > 0) seen.push_back(context.trainer().precision().scaler().scale().template item<double>());
  }
  void on(tacit::event::TrainingRunEnd const&, auto& context) {
    seen.push_back(context.trainer().precision().scaler().scale().template item<double>());
  }
};

}  // namespace

TEST_CASE("scales, skipped updates and parameters are those of Python's GradScaler") {
  for (bool const on_device : {false, true}) {
    CAPTURE(on_device);
    scaler_repeats(optim::Sgd{.lr = 0.1, .momentum = 0.9}, sgd_scales, sgd_parameters, on_device);
    scaler_repeats(optim::AdamW{.lr = 0.1}, adamw_scales, adamw_parameters, on_device);
  }
}

TEST_CASE("the scaler takes any number of parameter sets an update, and no set twice") {
  at::Tensor const a = at::ones({2}).requires_grad_();
  at::Tensor const b = at::ones({2}).requires_grad_();
  ParameterSet first;
  ParameterSet second;
  first.add("a", a);
  second.add("b", b);
  tacit::GradScaler scaler{{.initial = 8.0}};
  scaler.backward((a * 3.0).sum());
  scaler.backward((b * std::numeric_limits<double>::infinity()).sum(), 0.5);
  CHECK(scaler.unscale(first).item<float>() == 0.0F);
  CHECK(scaler.unscale(second).item<float>() == 1.0F);
  CHECK(a.grad().equal(at::full({2}, 3.0)));
  CHECK(code_of([&] { scaler.unscale(first); }) == "TACIT-RU21");
  scaler.update();
  CHECK(scaler.scale().item<double>() == 4.0);
  CHECK(code_of([&] { scaler.update(); }) == "TACIT-RU22");
  scaler.unscale(first);
  scaler.discard();
  CHECK_NOTHROW(scaler.unscale(first));

  std::vector<at::Tensor> list{a};  // a list of tensors will do
  CHECK(scaler.unscale(list).item<float>() == 0.0F);

  CHECK(code_of([] { tacit::GradScaler{{.initial = 0.0}}; }) == "TACIT-RC04");
  CHECK(code_of([] { tacit::GradScaler{{.growth = 0.5}}; }) == "TACIT-RC04");
  CHECK(code_of([] { tacit::GradScaler{{.backoff = 1.0}}; }) == "TACIT-RC04");
  CHECK(code_of([] { tacit::GradScaler{{.growth_interval = 0}}; }) == "TACIT-RC04");
  at::Tensor const half = at::ones({2}, at::kHalf).requires_grad_();
  std::vector<at::Tensor> halves{half};
  scaler.update();
  (half * 2.0).sum().backward();
  CHECK(code_of([&] { scaler.unscale(halves); }) == "TACIT-RC05");
}

TEST_CASE("a float16 loss is scaled in float32") {
  at::Tensor const p = at::ones({1}, at::kFloat).requires_grad_();
  tacit::GradScaler const scaler{{.initial = 65536.0 * 4}};
  scaler.backward((p.to(at::kHalf) * 1e-3).sum());  // 262 after scaling: the product fits, the scale alone would not
  CHECK(std::isfinite(p.grad().item<float>()) == false);  // the float16 part of the graph overflows, which is what the scaler is to see
  at::Tensor const q = at::ones({1}, at::kFloat).requires_grad_();
  tacit::GradScaler const smaller{{.initial = 1024.0}};
  smaller.backward((q.to(at::kHalf) * 0.5).sum());
  CHECK(q.grad().item<float>() == 512.0F);
}

TEST_CASE("Fp16 in the trainer is autocast and scaling of PyTorch, and its text the same") {
  auto const trained = [](auto precision, auto... callbacks) {
    auto net = std::make_shared<Net>();
    tacit::Trainer trainer{net, tacit::loss::Mse{}, optim::Sgd{.lr = 0.05, .momentum = 0.9}, precision, tacit::CallbackPack{callbacks...}};
    auto const all = data();
    auto batches = tacit::data::loader(all, {.batch_size = 8});
    trainer.train(batches, {.epochs = 4, .clip = {.norm = 2.0}, .sink = tacit::Sink::none()});
    std::vector<double> losses;
    for (auto const& loss : trainer.history().values(tacit::tag::train_loss{})) losses.push_back(loss.value);
    CHECK(trainer.plan().precision == "fp16");
    return std::pair{parameters_of(*net), losses};
  };
  Scales scales;
  auto const [parameters, losses] =
      trained(tacit::Fp16{.scale = {.initial = 1048576.0, .growth_interval = 10}}, std::ref(scales));
  CHECK(scales.seen == float16_scales);
  CHECK(difference(losses, float16_losses) < 1e-4);
  CHECK(difference(parameters, float16_parameters) < 1e-3);

  auto const by_text = trained(tacit::AutoPrecision{.choice = "fp16"});
  auto const by_name = trained(tacit::Fp16{});
  CHECK(by_text == by_name);
}

TEST_CASE("an update that a callback aborts leaves the scaler ready for the next run") {
  bool thrown = false;
  tacit::Trainer trainer{std::make_shared<Net>(), tacit::loss::Mse{}, optim::Sgd{.lr = 0.05}, tacit::Fp16{}, tacit::CallbackPack{ThrowOnce{&thrown}}};
  tacit::TrainOptions const options{.epochs = 1, .per_device_batch_size = 8, .sink = tacit::Sink::none()};
  CHECK_THROWS_AS(trainer.train(data(), options), std::runtime_error);
  CHECK(trainer.train(data(), options).updates == 4);
}

TEST_CASE("Bf16Pure updates float32 masters, begun before the cast") {
  auto net = std::make_shared<Net>();
  tacit::Trainer trainer{net, tacit::loss::Mse{}, optim::Sgd{.lr = 0.05, .momentum = 0.9}, tacit::Bf16Pure{}, tacit::CallbackPack{}};
  auto const all = data();
  auto batches = tacit::data::loader(all, {.batch_size = 8});
  trainer.train(batches, {.epochs = 4, .clip = {.norm = 2.0}, .sink = tacit::Sink::none()});
  CHECK(difference(parameters_of(*net), bfloat16_parameters) < 1e-6);
  std::vector<double> masters;
  for (auto const& parameter : trainer.view().parameters()) {
    append(masters, parameter.master);
    CHECK(parameter.model.scalar_type() == at::kBFloat16);
    CHECK(parameter.master.scalar_type() == at::kFloat);
    CHECK(parameter.slots.at(0).scalar_type() == at::kFloat);
    CHECK_FALSE(parameter.master.grad().defined());
  }
  CHECK(difference(masters, master_parameters) < 1e-6);
}

TEST_CASE("weights that are put into the model between runs are those that masters go on with") {
  auto net = std::make_shared<Net>();
  tacit::Trainer trainer{net, tacit::loss::Mse{}, optim::Sgd{.lr = 1e-12}, tacit::Bf16Pure{}, tacit::CallbackPack{}};
  tacit::TrainOptions const options{.epochs = 1, .per_device_batch_size = 8, .sink = tacit::Sink::none()};
  trainer.train(data(), options);
  {
    torch::NoGradGuard const guard;
    for (auto& parameter : net->parameters()) parameter.fill_(0.25);
  }
  trainer.train(data(), options);
  for (double value : parameters_of(*net)) CHECK(value == 0.25);
  for (auto const& parameter : trainer.view().parameters()) CHECK(parameter.model.equal(parameter.master.to(at::kBFloat16)));
}

TEST_CASE("with masters a parameter may leave a run and come back") {
  auto net = std::make_shared<Net>();
  tacit::Trainer trainer{net, tacit::loss::Mse{}, optim::Sgd{.lr = 0.05, .momentum = 0.9}, tacit::Bf16Pure{}, tacit::CallbackPack{ComeAndGo{}}};
  CHECK(trainer.train(data(), {.epochs = 3, .per_device_batch_size = 8, .sink = tacit::Sink::none()}).updates == 12);
  CHECK(trainer.view().parameters().size() == 4);
  for (auto const& parameter : trainer.view().parameters()) CHECK(parameter.model.equal(parameter.master.to(at::kBFloat16)));
}

TEST_CASE("a parameter of two phases has no master of its own, which is an error") {
  auto const step = [](auto& net, auto const& batch, auto&) {
    struct Losses {
      at::Tensor loss;
    };
    return Losses{torch::mse_loss(net.forward(batch.input), batch.target)};
  };
  auto net = std::make_shared<Net>();
  auto task = tacit::Task{tacit::phase<"one">(net, optim::Sgd{}, step), tacit::phase<"two">(net, optim::Sgd{}, step)};
  CHECK(code_of([&] { tacit::Trainer trainer{task, tacit::Bf16Pure{}, tacit::CallbackPack{}}; }) == "TACIT-RC06");
}

namespace {
/// A device of which nothing is said about Tf32.
struct Board {
  using slot = tacit::slot::device;
  template <class Tensor>
  auto bind() const {
    return tacit::Cpu{}.bind<Tensor>();
  }
};
}  // namespace

TEST_CASE("Tf32 sets the switches for as long as a run lasts") {
  auto const before = switched();
  REQUIRE(before != at::Float32Precision::TF32);
  tacit::Tf32 const policy;
  auto bound = policy.bind<ParameterSet>(tacit::Cpu{}.bind<at::Tensor>());
  {
    auto const scope = bound.run_scope();
    CHECK(switched() == at::Float32Precision::TF32);
  }
  CHECK(switched() == before);
  static_assert(!tacit::compatible<tacit::Tf32, tacit::Cpu>);

  CHECK(code_of([&] {
          tacit::Trainer{
              std::make_shared<Net>(), tacit::loss::Mse{}, optim::Sgd{}, tacit::AutoDevice{.choice = "cpu"}, policy,
              tacit::CallbackPack{}};
        }) == "TACIT-RC130");

  // In a run, on a device of somebody's own.
  at::Float32Precision seen = at::Float32Precision::NONE;
  tacit::Trainer trainer{std::make_shared<Net>(),         tacit::loss::Mse{}, optim::Sgd{}, Board{}, policy,
                         tacit::CallbackPack{Look{&seen}}};
  trainer.train(data(), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(seen == at::Float32Precision::TF32);
  CHECK(switched() == before);
}

TEST_CASE("parameter groups, a schedule over them and clipping by value are those of PyTorch") {
  auto net = std::make_shared<Net>();
  optim::Groups<optim::AdamW> groups = optim::no_decay_for_biases_and_norms(optim::AdamW{.lr = 0.05, .weight_decay = 0.2});
  groups.groups[0].options.lr = 0.01;
  tacit::Trainer trainer{net, tacit::loss::Mse{}, groups, tacit::Fp64{}, tacit::CallbackPack{}};
  auto const all = data(at::kDouble);
  auto batches = tacit::data::loader(all, {.batch_size = 8});
  trainer.train(batches, {.epochs = 5, .clip = {.value = 0.25}, .sink = tacit::Sink::none()}, tacit::lr(tacit::schedule::cosine()));
  // The parameters of the network begin in float32 on both sides.
  CHECK(difference(parameters_of(*net), group_parameters) < 1e-12);
}

}  // namespace precision_parity_tests
