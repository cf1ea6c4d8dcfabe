// needs: libtorch
// LibTorch's tensors, modules, optimizers and generators through a checkpoint and back, to the last bit.

#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tacit/policy/precision/bf16_pure.hpp"
#include "tacit/policy/precision/grad_scaler.hpp"
#include "tacit/state/module_state.hpp"
#include "tacit/state/optimizer_state.hpp"
#include "tacit/state/torch/optim.hpp"
#include "tacit/state/torch/tensor.hpp"
#include "tacit/task/optim/adagrad.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/lookahead.hpp"
#include "tacit/task/optim/rmsprop.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/optim/torch_optim.hpp"
#include "tacit/task/weight_average.hpp"

namespace torch_state_tests {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Matches;
using at::Tensor;

/// The bytes of both files, as a checkpoint holds them.
struct Saved {
  std::string text;
  std::string tensors;
};
template <class... Parts>
Saved save(Parts const&... parts) {
  tacit::SavedState const state = tacit::snapshot_state(parts...);
  Saved saved;
  for (auto const& file : state.files()) {
    std::string& into = file.name.ends_with(".json") ? saved.text : saved.tensors;
    for (auto const piece : file.pieces) into.append(reinterpret_cast<char const*>(piece.data()), piece.size());
  }
  return saved;
}
template <class... Parts>
void load(Saved const& saved, Parts&&... parts) {
  tacit::stage_state(saved.text, "state.json", std::as_bytes(std::span{saved.tensors}), "state.safetensors", {}, parts...).commit();
}

/// Equal in type, shape and every bit, NaN and the sign of 0 included.
bool same_bits(Tensor const& a, Tensor const& b) {
  if (a.defined() != b.defined()) return false;
  if (!a.defined()) return true;
  if (a.scalar_type() != b.scalar_type() || !a.sizes().equals(b.sizes())) return false;
  Tensor const x = a.detach().resolve_conj().resolve_neg().contiguous();
  Tensor const y = b.detach().resolve_conj().resolve_neg().contiguous();
  return x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

struct OneTensor {
  static constexpr std::string_view state_name = "one";
  Tensor tensor{};
  static void visit_state(auto& self, auto&& visit) { visit("tensor", self.tensor); }
};
struct TwoTensors {
  static constexpr std::string_view state_name = "two";
  Tensor a{};
  Tensor b{};
  static void visit_state(auto& self, auto&& visit) {
    visit("a", self.a);
    visit("b", self.b);
  }
};

Tensor through(Tensor const& tensor) {
  OneTensor const before{tensor};
  OneTensor after;
  load(save(before), after);
  return after.tensor;
}

/// A layer with the weight of another one.
struct Tied : torch::nn::Module {
  explicit Tied(Tensor const& shared) : weight{register_parameter("weight", shared)} {}
  Tensor weight;
};

struct Net : torch::nn::Module {
  torch::nn::Conv2d conv{register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 4, 3)))};
  torch::nn::BatchNorm2d norm{register_module("norm", torch::nn::BatchNorm2d(4))};
  torch::nn::Dropout drop{register_module("drop", torch::nn::Dropout(0.3))};
  torch::nn::Linear body{register_module("body", torch::nn::Linear(16, 8))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(8, 8))};
  std::shared_ptr<Tied> twin{register_module("twin", std::make_shared<Tied>(head->weight))};

  Tensor forward(Tensor const& x) {
    Tensor h = drop(torch::relu(norm(conv(x)))).flatten(1);
    h = torch::relu(body(h));
    return torch::linear(torch::tanh(head(h)), twin->weight);
  }
};

/// Data of an update: a function of its number alone.
std::pair<Tensor, Tensor> batch(std::int64_t update) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(1000 + update));
  return {torch::randn({6, 2, 4, 4}, generator), torch::randn({6, 8}, generator)};
}
void backward(Net& net, std::int64_t update) {
  auto const [x, y] = batch(update);
  torch::mse_loss(net.forward(x), y).backward();
}

/// Trains six updates and saves before one of them; a run that loads there must end with the same bits.
/// `make(net)` gives a run: an optimizer with `step`, `save` and `load`.
template <class MakeRun>
void check_resume(MakeRun const& make) {
  for (std::int64_t const saved_before : {0, 3}) {
    CAPTURE(saved_before);
    torch::manual_seed(7);
    Net first;
    auto run = make(first);
    std::optional<Saved> middle;
    for (std::int64_t update = 0; update < 6; ++update) {
      if (update == saved_before) middle = run.save();
      backward(first, update);
      run.step(update);
    }
    Saved const end = run.save();
    REQUIRE((middle->tensors != end.tensors));

    // What is in the process before must not matter.
    for (bool const used : {false, true}) {
      CAPTURE(used);
      torch::manual_seed(99);
      Net second;
      auto resumed = make(second);
      if (used) {
        backward(second, 50);
        resumed.step(50);
      }
      resumed.load(*middle);
      for (std::int64_t update = saved_before; update < 6; ++update) {
        backward(second, update);
        resumed.step(update);
      }
      Saved const again = resumed.save();
      REQUIRE(again.text == end.text);
      REQUIRE((again.tensors == end.tensors));
    }
  }
}

/// A run with one of Tacit's optimizers.
template <class Recipe>
struct Run {
  explicit Run(Net& model, Recipe const& recipe) : net{&model}, parameters{tacit::parameters_of(model)}, optimizer{recipe.bind(parameters)} {}

  void step(std::int64_t) {
    optimizer.step(parameters);
    parameters.clear_gradients();
  }
  Saved save() {
    tacit::ModuleState const model{*net};
    tacit::OptimizerState const state{optimizer, parameters};
    return torch_state_tests::save(model, state, tacit::GeneratorState{});
  }
  void load(Saved const& saved) {
    tacit::ModuleState model{*net};
    tacit::OptimizerState state{optimizer, parameters};
    tacit::GeneratorState random;
    torch_state_tests::load(saved, model, state, random);
  }

  Net* net;
  tacit::ParameterSet parameters;
  decltype(std::declval<Recipe const&>().bind(std::declval<tacit::ParameterSet&>())) optimizer;
};
template <class Recipe>
void check_recipe(Recipe const& recipe) {
  check_resume([&](Net& net) { return Run<Recipe>{net, recipe}; });
}

template <class Optimizer>
struct TorchRun {
  template <class Options>
  TorchRun(Net& model, Options const& options) : net{&model}, parameters{tacit::parameters_of(model)} {
    std::vector<Tensor> tensors;
    for (auto const& one : parameters) tensors.push_back(one.model);
    optimizer = std::make_unique<Optimizer>(tensors, options);
    if constexpr (std::is_same_v<Optimizer, torch::optim::LBFGS>) model.eval();  // its closure is called many times
  }
  void step(std::int64_t update) {
    if constexpr (std::is_same_v<Optimizer, torch::optim::LBFGS>) {
      auto const [x, y] = batch(update);
      optimizer->step([&, x = x, y = y] {
        optimizer->zero_grad();
        Tensor loss = torch::mse_loss(net->forward(x), y);
        loss.backward();
        return loss;
      });
    } else {
      optimizer->step();
    }
    optimizer->zero_grad();
  }
  Saved save() {
    tacit::ModuleState const model{*net};
    tacit::TorchOptimizerState const state{*optimizer, *net};
    return torch_state_tests::save(model, state, tacit::GeneratorState{});
  }
  void load(Saved const& saved) {
    tacit::ModuleState model{*net};
    tacit::TorchOptimizerState state{*optimizer, *net};
    tacit::GeneratorState random;
    torch_state_tests::load(saved, model, state, random);
  }

  Net* net;
  tacit::ParameterSet parameters;
  std::unique_ptr<Optimizer> optimizer{};
};
template <class Optimizer, class Options>
void check_torch(Options const& options) {
  check_resume([&](Net& net) { return TorchRun<Optimizer>{net, options}; });
}

template <class Body>
std::string error_of(Body const& body) {
  try {
    body();
  } catch (tacit::StateError const& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("tensors of every type and layout come back bit by bit") {
  for (auto const& [type, dtype] : tacit::detail::torch_dtypes) {
    CAPTURE(c10::toString(type));
    Tensor raw = torch::randint(0, 256, {3, 16}, torch::kUInt8);
    if (type == at::kBool) raw = raw.remainder(2);
    Tensor const tensor = raw.view(type);
    REQUIRE(same_bits(through(tensor), tensor));
    REQUIRE(same_bits(through(tensor.select(0, 1)), tensor.select(0, 1)));
    REQUIRE(same_bits(through(at::empty({0, 3}, type)), at::empty({0, 3}, type)));
  }
  SECTION("shapes and views") {
    Tensor const x = torch::randn({4, 3, 5, 2});
    for (Tensor const& tensor : {x.permute({3, 1, 0, 2}), x.narrow(1, 1, 2), x.contiguous(at::MemoryFormat::ChannelsLast), x[0][0][0][0], x.select(2, 3).transpose(0, 1).slice(0, 0, 3, 2),
                                 torch::zeros({2, 0, 3}), torch::zeros({}), torch::ones({1}).expand({5}), x.flip({0})}) {
      REQUIRE(same_bits(through(tensor), tensor));
    }
  }
  SECTION("conjugated and negated without being computed") {
    Tensor const z = torch::randn({3, 2}, torch::kComplexFloat);
    REQUIRE(z.conj().is_conj());
    REQUIRE(same_bits(through(z.conj()), z.conj()));
    REQUIRE(same_bits(through(torch::imag(z.conj())), torch::imag(z.conj())));
  }
  SECTION("NaN with a payload, infinities, denormals, -0") {
    std::vector<std::uint32_t> const bits{0x7fc12345U, 0xff800001U, 0x7f800000U, 0x00000001U, 0x80000000U};
    Tensor tensor = torch::empty({5});
    std::memcpy(tensor.data_ptr(), bits.data(), 20);
    REQUIRE(same_bits(through(tensor), tensor));
  }
  SECTION("undefined") { REQUIRE_FALSE(through({}).defined()); }
}

TEST_CASE("loading writes into defined tensors and keeps what they are") {
  Tensor const source = torch::randn({2, 3, 4, 5});
  OneTensor const before{source};
  Saved const saved = save(before);
  for (Tensor const& target : {torch::zeros({2, 3, 4, 5}), torch::zeros({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast), torch::zeros({5, 4, 3, 2}).permute({3, 2, 1, 0}),
                               torch::zeros({2, 3, 4, 5}).set_requires_grad(true)}) {
    OneTensor after{target};
    void const* const data = target.data_ptr();
    auto const strides = target.strides().vec();
    auto const version = target._version();
    bool const learns = target.requires_grad();
    load(saved, after);
    REQUIRE(same_bits(target, source));
    REQUIRE(target.data_ptr() == data);
    REQUIRE(target.strides().vec() == strides);
    REQUIRE(target._version() > version);
    REQUIRE((target.is_leaf() && target.requires_grad() == learns));
  }
}

TEST_CASE("tied tensors are saved once; what is tied in the program alone is a difference") {
  Tensor const x = torch::randn({8});
  TwoTensors const tied{x, x};
  Saved const saved = save(tied);
  REQUIRE(saved.tensors.size() < 64 + 2 * 32 + 120);
  TwoTensors after;
  load(saved, after);
  REQUIRE(same_bits(after.a, x));
  REQUIRE(after.a.is_same(after.b));
  // Another view of the same elements is tied, too; a view of some of them is not.
  REQUIRE(save(TwoTensors{x, x.detach()}).tensors.size() == saved.tensors.size());
  REQUIRE(save(TwoTensors{x, x.narrow(0, 0, 4)}).tensors.size() > saved.tensors.size());
  REQUIRE(save(TwoTensors{x.view({2, 4}), x.view({2, 4}).t()}).tensors.size() > saved.tensors.size());

  TwoTensors both{torch::zeros({8}), {}};
  both.b = both.a;
  std::string const error = error_of([&] { load(save(TwoTensors{x, x.clone()}), both); });
  REQUIRE_THAT(error, ContainsSubstring("TACIT-RS80") && ContainsSubstring("shared tensor: two.b is two.a in the program, in the file they are two"));
  REQUIRE(both.a.eq(0).all().item<bool>());
}

TEST_CASE("a module's tensors come back by name, into its own tensors") {
  torch::manual_seed(1);
  Net one;
  backward(one, 0);  // moves the statistics of the norm
  Net two;
  std::vector<void*> data;
  for (auto const& item : two.named_parameters()) data.push_back(item.value().data_ptr());
  tacit::ModuleState const from{one};
  tacit::ModuleState into{two};
  load(save(from), into);
  std::size_t i = 0;
  for (auto const& item : two.named_parameters()) {
    REQUIRE(same_bits(item.value(), one.named_parameters()[item.key()]));
    REQUIRE(item.value().data_ptr() == data[i++]);
    REQUIRE(item.value().requires_grad());
  }
  for (auto const& item : two.named_buffers()) REQUIRE(same_bits(item.value(), one.named_buffers()[item.key()]));
  REQUIRE(two.norm->num_batches_tracked.item<std::int64_t>() == 1);
  REQUIRE(two.twin->weight.is_same(two.head->weight));
  REQUIRE(tacit::state_hash(from) == tacit::state_hash(into));
}

TEST_CASE("a checkpoint of another module is refused with all differences, and nothing has changed") {
  torch::nn::Sequential const one{torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4)};
  torch::nn::Sequential two{torch::nn::Linear(3, 5), torch::nn::Linear(5, 2)};
  two[1]->as<torch::nn::Linear>()->bias.set_data(two[1]->as<torch::nn::Linear>()->bias.to(at::kDouble));
  tacit::ModuleState const from{*one};
  tacit::ModuleState into{*two};
  auto const before = tacit::state_hash(into);
  std::string const error = error_of([&] { load(save(from), into); });
  REQUIRE_THAT(error, ContainsSubstring("TACIT-RS80") && ContainsSubstring("7 differences") &&
                          ContainsSubstring("other tensor: model.0.weight is F32 [4, 3] in the file, F32 [5, 3] in the program") &&
                          ContainsSubstring("model.1.bias is F32 [4] in the file, F64 [2] in the program") &&
                          ContainsSubstring("not in the program: model.1.running_mean"));
  REQUIRE(tacit::state_hash(into) == before);
  // A hand-made file that leaves a parameter undefined.
  Saved saved = save(from);
  auto const at = saved.text.find(R"("value":"model.0.weight")");
  REQUIRE(at != std::string::npos);
  saved.text.replace(at, std::string_view{R"("value":"model.0.weight")"}.size(), R"("value":null)");
  tacit::ModuleState again{*one};
  REQUIRE_THAT(error_of([&] { load(saved, again); }), ContainsSubstring("other tensor: model.0.weight is undefined in the file"));
}

TEST_CASE("a run with one of our optimizers resumes to the last bit") {
  namespace optim = tacit::optim;
  SECTION("Sgd") { check_recipe(optim::Sgd{.lr = 0.05}); }
  SECTION("Sgd with momentum") { check_recipe(optim::Sgd{.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}); }
  SECTION("Sgd with dampening") { check_recipe(optim::Sgd{.lr = 0.05, .momentum = 0.9, .dampening = 0.5}); }
  SECTION("Adam") { check_recipe(optim::Adam{.lr = 0.01, .amsgrad = true}); }
  SECTION("AdamW") { check_recipe(optim::AdamW{.lr = 0.01}); }
  SECTION("Adagrad") { check_recipe(optim::Adagrad{.lr = 0.1, .lr_decay = 0.1, .initial_accumulator_value = 0.1}); }
  SECTION("RMSprop") { check_recipe(optim::RMSprop{.lr = 0.01, .momentum = 0.5, .centered = true}); }
  SECTION("Lookahead") { check_recipe(optim::Lookahead<optim::AdamW>{.inner = {.lr = 0.01}, .every = 2}); }
  SECTION("Groups") { check_recipe(optim::no_decay_for_biases_and_norms(optim::AdamW{.lr = 0.01, .weight_decay = 0.1})); }
  SECTION("Groups with dampening") {
    check_recipe(optim::Groups<optim::Sgd>{.base = {.lr = 0.05}, .groups = {{.name = "body", .takes = optim::named("body."), .options = {.lr = 0.02, .momentum = 0.9, .dampening = 0.2}}}});
  }
}

TEST_CASE("a run with an optimizer of torch::optim resumes to the last bit") {
  using namespace torch::optim;
  SECTION("SGD") { check_torch<SGD>(SGDOptions(0.05).momentum(0.9)); }
  SECTION("Adam") { check_torch<Adam>(AdamOptions(0.01).amsgrad(true)); }
  SECTION("AdamW") { check_torch<AdamW>(AdamWOptions(0.01)); }
  SECTION("Adagrad") { check_torch<Adagrad>(AdagradOptions(0.05).lr_decay(0.1)); }
  SECTION("RMSprop") { check_torch<RMSprop>(RMSpropOptions(0.01).momentum(0.5).centered(true)); }
  SECTION("LBFGS") { check_torch<LBFGS>(LBFGSOptions(0.5).max_iter(4).history_size(5).line_search_fn("strong_wolfe")); }
}

TEST_CASE("options that the loop has changed come back") {
  Net net;
  auto parameters = tacit::parameters_of(net);
  auto optimizer = tacit::optim::Adam{.lr = 0.1}.bind(parameters);
  optimizer.options.lr = 0.025;
  Saved const saved = save(tacit::OptimizerState{optimizer, parameters});
  auto fresh = tacit::optim::Adam{.lr = 0.1}.bind(parameters);
  tacit::OptimizerState state{fresh, parameters};
  load(saved, state);
  REQUIRE(fresh.options.lr == 0.025);

  torch::optim::Adam old{{net.head->weight}, torch::optim::AdamOptions(0.1)};
  old.param_groups()[0].options().set_lr(0.025);
  torch::optim::Adam young{{net.head->weight}, torch::optim::AdamOptions(0.1)};
  tacit::TorchOptimizerState into{young, net};
  load(save(tacit::TorchOptimizerState{old, net}), into);
  REQUIRE(young.param_groups()[0].options().get_lr() == 0.025);
  REQUIRE(young.state().empty());  // it had no update, and LibTorch starts state with the first
}

TEST_CASE("state of another optimizer is refused") {
  Net net;
  auto parameters = tacit::parameters_of(net);
  auto adam = tacit::optim::Adam{}.bind(parameters);
  Saved const saved = save(tacit::OptimizerState{adam, parameters});
  auto sgd = tacit::optim::Sgd{.momentum = 0.9}.bind(parameters);
  tacit::OptimizerState state{sgd, parameters};
  REQUIRE_THAT(error_of([&] { load(saved, state); }),
               ContainsSubstring("TACIT-RS80") && ContainsSubstring("missing in the file: optimizer.options.momentum") && ContainsSubstring("and 19 more"));

  torch::optim::SGD other{net.parameters(), torch::optim::SGDOptions(0.1)};
  other.param_groups()[0].params().push_back(torch::zeros({2}));
  REQUIRE_THAT(error_of([&] { tacit::TorchOptimizerState const nameless{other, net}; }), ContainsSubstring("TACIT-RS96"));
}

TEST_CASE("the state of LBFGS is not put beside parameters of another device") {
  Tied far{torch::empty({2}, at::kMeta)};
  torch::optim::LBFGS optimizer{far.parameters(), torch::optim::LBFGSOptions(0.5)};
  tacit::TorchOptimizerState state{optimizer, far};
  Saved const saved = save(state);
  REQUIRE_THAT(error_of([&] { load(saved, state); }), ContainsSubstring("[TACIT-RS95] weight"));
}

TEST_CASE("masters of pure bfloat16 training are part of the optimizer's state") {
  Net net;
  auto parameters = tacit::parameters_of(net);
  tacit::Bf16Pure{}.bind<tacit::ParameterSet>(0).prepare_parameters(parameters);
  auto optimizer = tacit::optim::AdamW{}.bind(parameters);
  Saved const saved = save(tacit::OptimizerState{optimizer, parameters});
  REQUIRE_THAT(saved.text, ContainsSubstring("\"body.weight.master\""));
  Tensor const wanted = parameters.find("body.weight")->master.clone();
  {
    torch::NoGradGuard const guard;
    parameters.find("body.weight")->master.zero_();
  }
  tacit::OptimizerState state{optimizer, parameters};
  load(saved, state);
  REQUIRE(same_bits(parameters.find("body.weight")->master, wanted));
}

TEST_CASE("generators go on where they were, half a pair of normal numbers included") {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  (void)torch::randn({1}, generator);  // leaves the second of a pair behind
  Saved const saved = save(tacit::GeneratorState{generator});
  Tensor const next = torch::randn({33}, generator);
  tacit::GeneratorState other{at::make_generator<at::CPUGeneratorImpl>(6)};
  at::Generator const same = other.generator;
  load(saved, other);
  REQUIRE(other.generator == same);
  REQUIRE(same_bits(torch::randn({33}, other.generator), next));
  REQUIRE(tacit::state_hash(other) == tacit::state_hash(tacit::GeneratorState{generator}));
  tacit::PrintingVisitor printer;
  tacit::GeneratorState::visit_state(std::as_const(other), printer);
  REQUIRE(printer.text() == "state = tensor\n");

  Saved bad = saved;
  bad.tensors.replace(bad.tensors.size() - 5056, 5056, 5056, '\xff');
  tacit::GeneratorState into{at::make_generator<at::CPUGeneratorImpl>(7)};
  auto const before = tacit::state_hash(into);
  REQUIRE_THAT(error_of([&] { load(bad, into); }), ContainsSubstring("TACIT-RS94") && ContainsSubstring("generator.state"));
  REQUIRE(tacit::state_hash(into) == before);
}

TEST_CASE("what cannot be saved or loaded is an error that names the member") {
  OneTensor const wide{torch::zeros({2}, torch::kComplexDouble)};
  REQUIRE_THAT(error_of([&] { save(wide); }), ContainsSubstring("[TACIT-RS91] one.tensor: a tensor of type ComplexDouble cannot be saved"));
  OneTensor const sparse{torch::eye(3).to_sparse()};
  REQUIRE_THAT(error_of([&] { save(sparse); }), ContainsSubstring("TACIT-RS91") && ContainsSubstring("not dense"));

  // A file whose element type LibTorch lacks, and one with a size that it cannot count.
  std::string const text = R"({"format":"tacit-state","parts":{"one":{"members":{"tensor":{"type":"tensor","value":"t"}},"version":1}},"version":1})";
  std::byte const bytes[8] = {};
  tacit::safetensors::TensorView const packed{"t", tacit::safetensors::Dtype::f4, {16}, bytes};
  OneTensor into;
  REQUIRE_THAT(error_of([&] { load(Saved{text, tacit::safetensors::serialize(std::span{&packed, 1})}, into); }), ContainsSubstring("[TACIT-RS92] one.tensor"));
  tacit::safetensors::TensorView const vast{"t", tacit::safetensors::Dtype::f32, {0, std::uint64_t{1} << 63}, {}};
  REQUIRE_THAT(error_of([&] { load(Saved{text, tacit::safetensors::serialize(std::span{&vast, 1})}, into); }), ContainsSubstring("[TACIT-RS92] one.tensor"));

  OneTensor frozen;
  {
    c10::InferenceMode const mode;
    frozen.tensor = torch::zeros({2});
  }
  REQUIRE_THAT(error_of([&] { load(save(OneTensor{torch::ones({2})}), frozen); }), ContainsSubstring("TACIT-RS93"));
}

TEST_CASE("a bool of a hostile file is 0 or 1") {
  std::string const text = R"({"format":"tacit-state","parts":{"one":{"members":{"tensor":{"type":"tensor","value":"t"}},"version":1}},"version":1})";
  std::byte const bytes[4] = {std::byte{0}, std::byte{1}, std::byte{2}, std::byte{255}};
  tacit::safetensors::TensorView const view{"t", tacit::safetensors::Dtype::boolean, {4}, bytes};
  OneTensor into;
  load(Saved{text, tacit::safetensors::serialize(std::span{&view, 1})}, into);
  REQUIRE(into.tensor.view(at::kByte).equal(torch::tensor({0, 1, 1, 1}, at::kByte)));
}

TEST_CASE("loss scale and averages are parts, too") {
  Net net;
  tacit::WeightAverage average{net};
  backward(net, 0);
  average.update(0.5);
  tacit::GradScaler scaler{{.initial = 8.0}};
  Saved const saved = save(scaler, tacit::named_part("average", average));
  Net other;
  tacit::WeightAverage into{other};
  tacit::GradScaler second;
  load(saved, second, tacit::named_part("average", into));
  REQUIRE(second.scale().item<float>() == 8.0F);
  REQUIRE(tacit::state_hash(into) == tacit::state_hash(average));
}

namespace {
struct Containers {
  static constexpr std::string_view state_name = "containers";
  std::vector<Tensor> list{};
  std::optional<Tensor> perhaps{};
  Tensor a{};
  Tensor b{};
  static void visit_state(auto& self, auto&& visit) {
    visit("list", self.list);
    visit("perhaps", self.perhaps);
    visit("a", self.a);
    visit("b", self.b);
  }
};
}  // namespace

TEST_CASE("what was loaded needs the files no more") {
  // A tensor in a container is replaced with it, and one that is undefined is made: neither may live in the bytes of the file.
  Tensor const x = torch::randn({1000});
  Containers const before{{x + 1, x + 2}, x + 3, x, x};
  Containers after{{torch::zeros({1000})}, torch::zeros({1000}), torch::zeros({1000}), {}};
  {
    Saved saved = save(before);
    load(saved, after);
    saved.tensors.assign(saved.tensors.size(), '\x55');
  }
  REQUIRE(same_bits(after.list.at(0), x + 1));
  REQUIRE(same_bits(after.list.at(1), x + 2));
  REQUIRE(same_bits(after.perhaps.value(), x + 3));
  REQUIRE(same_bits(after.a, x));
  REQUIRE(same_bits(after.b, x));
}

}  // namespace torch_state_tests
