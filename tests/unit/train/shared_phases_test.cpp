// Phases of a task that share models, modules and parameters: each scope of a phase is kept and put back for the module, not for the phase.
#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include "fake/group.hpp"
#include "fake/module.hpp"
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;

namespace shared_phases_tests {
namespace {

struct Loss {
  fake::Tensor loss;
};
auto quiet() { return tacit::Sink::none(); }

/// A model of some modules, in the order in which they are given.
struct Net : fake::Module {
  explicit Net(std::vector<std::shared_ptr<fake::Scale>> parts) : layers{std::move(parts)} {
    for (std::size_t i = 0; i < layers.size(); ++i) register_module(std::to_string(i), layers[i]);
  }
  fake::Tensor forward(fake::Tensor const& x) const {
    fake::Tensor y = x;
    for (auto const& layer : layers) y = layer->forward(y);
    return y;
  }
  std::vector<std::shared_ptr<fake::Scale>> layers;
};
auto scale(double first = 0.5) { return std::make_shared<fake::Scale>(first); }

/// Weighted squared error.
auto step_of(double factor) {
  return [factor](auto& net, fake::Batch const& batch, auto&) {
    auto const error = net.forward(batch.input) - batch.target;
    return Loss{fake::mean(fake::Tensor{{factor}} * error * error)};
  };
}

struct Modes {
  std::vector<fake::Module*> modules;
  std::vector<std::vector<bool>> steps{};
  std::vector<bool> now() const {
    std::vector<bool> all;
    for (auto const* module : modules) all.push_back(module->is_training());
    return all;
  }
  void on(event::TrainStepStart const&, auto&) { steps.push_back(now()); }
};

/// A block whose norm another rule keeps in evaluation mode.
struct KeepsNorm : fake::Scale {
  std::shared_ptr<fake::Scale> norm = register_module("norm", std::make_shared<fake::Scale>());
  void train(bool on = true) override {
    fake::Module::train(on);
    norm->train(false);
  }
};

}  // namespace

TEST_CASE("C11: a model and modules of several phases keep their modes over evaluations and runs") {
  std::mt19937 random{11};
  for (int setting = 0; setting < 200; ++setting) {
    CAPTURE(setting);
    auto const shared = scale();
    auto const keeps = std::make_shared<KeepsNorm>();
    auto const twice = scale();
    auto const a = std::make_shared<Net>(std::vector<std::shared_ptr<fake::Scale>>{shared, keeps, twice, twice});
    // The second phase has the same model, one with a module of it, a module of it as its model, or a model around it.
    int const form = setting % 4;
    auto const b = form == 0 ? a : std::make_shared<Net>(std::vector<std::shared_ptr<fake::Scale>>{scale(), shared, keeps});
    if (form == 3) b->register_module("a", a);
    Modes modes{{a.get(), b.get(), shared.get(), keeps.get(), keeps->norm.get(), twice.get()}};
    for (auto* module : modes.modules) {
      if (random() % 2 == 0) module->train(random() % 2 == 0);
    }
    for (auto* module : modes.modules) {
      if (random() % 3 == 0) module->fake::Module::train(random() % 2 == 0);
    }
    auto const before = modes.now();

    auto const run = [&](auto&& task) {
      tacit::Trainer trainer{std::move(task), CallbackPack{std::ref(modes)}};
      trainer.train(fake::Line{8}, fake::Line{4}, {.epochs = 2, .per_device_batch_size = 2, .evaluation = {.every_updates = 1}, .sink = quiet()});
      CHECK(modes.now() == before);
      trainer.evaluate(fake::Line{4}, {.per_device_batch_size = 2, .sink = quiet()});
      CHECK(modes.now() == before);
    };
    if (form == 2) {
      run(tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.01}, step_of(1.0)), tacit::phase<"b">(std::static_pointer_cast<fake::Scale>(keeps), fake::Sgd{.lr = 0.01}, step_of(1.0))});
    } else {
      run(tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.01}, step_of(1.0)), tacit::phase<"b">(b, fake::Sgd{.lr = 0.01}, step_of(1.0))});
    }
    REQUIRE(modes.steps.size() == 8);
    for (auto const& step : modes.steps) {
      bool const b_trains = form != 2 || before[1];  // it is no model of a phase there
      CHECK(step == std::vector<bool>{true, b_trains, true, true, false, true});
    }
  }
}

namespace {
struct Throws {
  bool at_training;
  int calls = 0;
  void on(event::TrainStepEnd const&, auto&) {
    if (at_training && ++calls == 2) throw std::runtime_error{"broken on purpose"};
  }
  void on(event::EvalStepEnd const&, auto&) {
    if (!at_training) throw std::runtime_error{"broken on purpose"};
  }
};
struct RefusesToTrain : fake::Scale {
  bool refuses = true;
  void train(bool on = true) override {
    if (on && refuses) throw std::runtime_error{"this model does not train"};
    fake::Module::train(on);
  }
};
}  // namespace

TEST_CASE("C11: modes are as before after an exception of a callback, of a nested evaluation and of `train(bool)`") {
  for (bool const at_training : {false, true}) {
    auto const shared = scale();
    auto const a = std::make_shared<Net>(std::vector{shared, scale()});
    auto const b = std::make_shared<Net>(std::vector{scale(), shared});
    a->layers[1]->train(false);
    shared->train(false);
    tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, fake::Sgd{}, step_of(1.0)), tacit::phase<"b">(b, fake::Sgd{}, step_of(1.0))},
                           CallbackPack{Throws{at_training}}};
    CHECK_THROWS_AS(trainer.train(fake::Line{8}, fake::Line{4}, {.epochs = 1, .per_device_batch_size = 2, .evaluation = {.every_updates = 3}, .sink = quiet()}),
                    std::runtime_error);
    CHECK(a->is_training());
    CHECK(b->is_training());
    CHECK(b->layers[0]->is_training());
    CHECK_FALSE(shared->is_training());
    CHECK_FALSE(a->layers[1]->is_training());
  }
  auto const first = std::make_shared<Net>(std::vector{scale(), scale()});
  first->train(false);
  auto const second = std::make_shared<RefusesToTrain>();
  tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(first, fake::Sgd{}, step_of(1.0)), tacit::phase<"b">(second, fake::Sgd{}, step_of(1.0))}, CallbackPack{}};
  CHECK_THROWS_AS(trainer.train(fake::Line{8}, {.epochs = 1, .per_device_batch_size = 2, .sink = quiet()}), std::runtime_error);
  CHECK_FALSE(first->is_training());
  CHECK_FALSE(first->layers[0]->is_training());
  auto session = trainer.session<fake::Batch>({.epochs = 1, .sink = quiet()});
  CHECK_THROWS_AS(session.step({fake::Tensor{{1.0}}, fake::Tensor{{1.0}}}), std::runtime_error);
  CHECK_FALSE(first->is_training());
}

TEST_CASE("C11: the cost of modes is linear in the modules, and a model of two phases is switched once") {
  auto const model = std::make_shared<Net>(std::vector<std::shared_ptr<fake::Scale>>(100, scale()));
  tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(model, fake::Sgd{.lr = 0.0}, step_of(1.0)), tacit::phase<"b">(model, fake::Sgd{.lr = 0.0}, step_of(1.0))}, CallbackPack{}};
  auto const run = [&](std::int64_t epochs) {
    model->train_calls = 0;
    model->layers[0]->train_calls = 0;
    trainer.train(fake::Line{2}, fake::Line{2}, {.epochs = tacit::Epochs{epochs}, .per_device_batch_size = 2, .sink = quiet()});
  };
  run(3);
  CHECK(model->train_calls == 9);  // training, then evaluation and back, in each epoch
  CHECK(model->layers[0]->train_calls == 900);
}

namespace {

/// Phase p of `factors.size()` phases with one weight in common, in plain numbers.
struct Reference {
  std::vector<double> factors;
  double lr;
  double momentum;
  double weight = 0.5;
  std::vector<double> velocities = std::vector<double>(factors.size(), 0.0);

  /// One window: batches of (x, y).
  void window(std::vector<std::vector<std::pair<double, double>>> const& batches) {
    double items = 0.0;
    for (auto const& batch : batches) items += static_cast<double>(batch.size());
    std::vector<double> gradients(factors.size(), 0.0);
    for (std::size_t m = 0; m < batches.size(); ++m) {
      for (std::size_t p = 0; p < factors.size(); ++p) {
        for (auto const& [x, y] : batches[m]) gradients[p] += factors[p] * 2.0 * (weight * x - y) * x / items;
        if (m + 1 != batches.size()) continue;
        velocities[p] = momentum * velocities[p] + gradients[p];
        weight -= lr * velocities[p];
      }
    }
  }
};
std::vector<std::vector<std::pair<double, double>>> line(int samples, int batch) {
  std::vector<std::vector<std::pair<double, double>>> batches;
  for (int i = 0; i < samples; ++i) {
    if (i % batch == 0) batches.emplace_back();
    double const x = static_cast<double>(i) / samples;
    batches.back().emplace_back(x, 2.0 * x + 1.0);
  }
  return batches;
}

template <class... Policies>
auto three_phases(std::shared_ptr<Net> const& a, std::shared_ptr<Net> const& b, std::array<double, 3> factors, fake::Sgd sgd, Policies... policies) {
  return tacit::Trainer{tacit::Task{tacit::phase<"a">(a, sgd, step_of(factors[0])), tacit::phase<"b">(b, sgd, step_of(factors[1])), tacit::phase<"c">(a, sgd, step_of(factors[2]))},
                        policies...};
}

}  // namespace

TEST_CASE("C10: each phase of a shared parameter has its own gradient, whatever the accumulation") {
  std::mt19937 random{10};
  for (int setting = 0; setting < 100; ++setting) {
    CAPTURE(setting);
    int const accumulation = 1 + static_cast<int>(random() % 4);
    int const batch = 1 + static_cast<int>(random() % 4);
    int const samples = 1 + static_cast<int>(random() % 20);
    std::array<double, 3> const factors{1.0, 7.0, 0.25};
    Reference reference{{factors.begin(), factors.end()}, 0.01, 0.5};
    auto const batches = line(samples, batch);
    for (int epoch = 0; epoch < 4; ++epoch) {
      for (std::size_t first = 0; first < batches.size(); first += static_cast<std::size_t>(accumulation)) {
        auto const last = std::min(batches.size(), first + static_cast<std::size_t>(accumulation));
        reference.window({batches.begin() + static_cast<std::ptrdiff_t>(first), batches.begin() + static_cast<std::ptrdiff_t>(last)});
      }
    }
    auto const shared = scale();
    auto const a = std::make_shared<Net>(std::vector{shared});
    auto const b = std::make_shared<Net>(std::vector{shared});
    auto trainer = three_phases(a, b, factors, {.lr = 0.01, .momentum = 0.5}, CallbackPack{});
    auto const loader = [&] { return tacit::data::loader(fake::Line{samples}, {.batch_size = batch, .shuffle = false}); };
    for (int run = 0; run < 2; ++run) trainer.train(loader(), {.epochs = 2, .gradient_accumulation = accumulation, .sink = quiet()});
    CHECK(shared->weight.item() == Catch::Approx(reference.weight).epsilon(1e-12));
    CHECK_FALSE(shared->weight->grad.defined());
  }
}

namespace {
/// The gradient that each phase's update takes.
struct Gradients {
  fake::Tensor weight;
  std::vector<double> first{}, second{};
  void on(event::Of<"a", event::UpdateStart> const&, auto&) { first.push_back(weight->grad->values[0]); }
  void on(event::Of<"b", event::UpdateStart> const&, auto&) { second.push_back(weight->grad->values[0]); }
};
}  // namespace

TEST_CASE("C10: data without a plan and sessions do not mix the phases' gradients") {
  for (bool const in_session : {false, true}) {
    for (int const accumulation : {1, 2, 3}) {
      std::vector<std::vector<double>> seen;
      // The rate is 0: then the gradient of a phase depends on its own factor alone.
      for (auto const& factors : {std::pair{1.0, 10.0}, {1.0, 1000.0}, {5.0, 10.0}}) {
        auto const shared = scale();
        auto const a = std::make_shared<Net>(std::vector{shared});
        auto const b = std::make_shared<Net>(std::vector{shared, scale(1.0)});
        Gradients gradients{shared->weight};
        tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.0}, step_of(factors.first)), tacit::phase<"b">(b, fake::Sgd{.lr = 0.0}, step_of(factors.second))},
                               CallbackPack{std::ref(gradients)}};
        std::vector<fake::Batch> data;
        for (int i = 0; i < 6; ++i) data.push_back({fake::Tensor{{1.0, 0.5 * i}}, fake::Tensor{{1.0, 2.0}}});
        tacit::TrainOptions const options{.epochs = 2, .gradient_accumulation = accumulation, .sink = quiet()};
        if (in_session) {
          auto session = trainer.session<fake::Batch>(options);
          for (int epoch = 0; epoch < 2; ++epoch) {
            for (auto const& batch : data) session.step(batch);
            session.end_epoch();
          }
          session.finish();
        } else {
          trainer.train(data, options);
        }
        CHECK_FALSE(shared->weight->grad.defined());
        REQUIRE(gradients.first.size() == gradients.second.size());
        REQUIRE(gradients.first.size() == 2U * static_cast<unsigned>(6 / accumulation));
        seen.push_back(gradients.first);
        seen.push_back(gradients.second);
      }
      CHECK(seen[0] == seen[2]);  // b's factor changes nothing of a
      CHECK(seen[1] == seen[5]);  // nor a's of b
      for (std::size_t i = 0; i < seen[1].size(); ++i) CHECK(seen[3][i] == Catch::Approx(100.0 * seen[1][i]));
    }
  }
}

namespace {
struct ThrowInWindow {
  int calls = 0;
  void on(event::TrainStepEnd const&, auto&) {
    if (++calls == 3) throw std::runtime_error{"broken on purpose"};  // in the middle of the second window
  }
};
struct MaskSecond {
  int calls = 0;
  void on(event::TrainLossComputed const&, auto& context) {
    if (++calls == 6) context.mask_update();
  }
};
}  // namespace

TEST_CASE("C10: an exception inside a window leaves no gradient for the next run") {
  auto const train = [](bool breaks) {
    auto const shared = scale();
    auto const a = std::make_shared<Net>(std::vector{shared});
    auto const b = std::make_shared<Net>(std::vector{shared});
    ThrowInWindow callback{breaks ? 0 : 1000};
    tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.01}, step_of(1.0)), tacit::phase<"b">(b, fake::Sgd{.lr = 0.01}, step_of(3.0))},
                           CallbackPack{std::ref(callback)}};
    tacit::TrainOptions options{.epochs = 1, .per_device_batch_size = 2, .gradient_accumulation = 2, .seed = 3, .sink = quiet()};
    if (breaks) {
      CHECK_THROWS_AS(trainer.train(fake::Line{12}, options), std::runtime_error);
    } else {
      options.limit.updates = 1;  // the same one update
      trainer.train(fake::Line{12}, options);
    }
    CHECK_FALSE(shared->weight->grad.defined());
    auto session = trainer.session<fake::Batch>({.epochs = 1, .gradient_accumulation = 2, .sink = quiet()});
    for (int i = 0; i < 4; ++i) session.step({fake::Tensor{{1.0 * i}}, fake::Tensor{{1.0}}});
    session.finish();
    return shared->weight.item();
  };
  CHECK(train(true) == train(false));
}

TEST_CASE("C10: a masked window and the gradients of several ranks") {
  auto const train = [](auto... policies) {
    auto const shared = scale();
    auto const a = std::make_shared<Net>(std::vector{shared});
    auto const b = std::make_shared<Net>(std::vector{shared});
    auto trainer = three_phases(a, b, {1.0, 7.0, 0.25}, {.lr = 0.01, .momentum = 0.5}, policies..., CallbackPack{MaskSecond{}});
    trainer.train(fake::Line{24}, {.epochs = 2, .per_device_batch_size = 2, .gradient_accumulation = 3, .seed = 1, .sink = quiet()});
    CHECK_FALSE(shared->weight->grad.defined());
    return shared->weight.item();
  };
  double const one = train();
  fake::run_ranks(1, [&](fake::Rank rank) { CHECK(train(rank) == Catch::Approx(one).epsilon(1e-12)); });

  // Two ranks with half of the batch each are one with the whole.
  auto const unmasked = [](std::int64_t batch, auto... policies) {
    auto const shared = scale();
    auto const a = std::make_shared<Net>(std::vector{shared});
    auto const b = std::make_shared<Net>(std::vector{shared});
    auto trainer = three_phases(a, b, {1.0, 7.0, 0.25}, {.lr = 0.01, .momentum = 0.5}, policies..., CallbackPack{});
    trainer.train(fake::Line{24}, {.epochs = 2, .per_device_batch_size = batch, .gradient_accumulation = 2, .seed = 1, .sink = quiet()});
    return shared->weight.item();
  };
  double const whole = unmasked(4);
  fake::run_ranks(2, [&](fake::Rank rank) { CHECK(unmasked(2, rank) == Catch::Approx(whole).epsilon(1e-12)); });
}

namespace {
/// Which tensors require a gradient outside of a phase's passes.
struct CountRequires {
  std::vector<std::vector<bool>> at_loss{};
  std::vector<fake::Tensor> tensors;
  void on(event::TrainLossComputed const&, auto&) {
    std::vector<bool> all;
    for (auto const& tensor : tensors) all.push_back(tensor->requires_grad);
    at_loss.push_back(all);
  }
};
struct AddAndRemove {
  fake::Tensor tensor;
  void on(event::Of<"a", event::UpdateEnd> const& update, auto& context) {
    if (update.update.value() == 0) {
      context.change_parameters([&](auto& all, tacit::PhaseId phase) {
        if (phase.name == "a") CHECK(all.remove("0.weight"));
      });
    }
    if (update.update.value() == 2) {
      context.change_parameters([&](auto& all, tacit::PhaseId phase) {
        if (phase.index == 0) all.add("0.weight", tensor);
      });
    }
  }
};
struct GradientOfB {
  fake::Tensor weight;
  std::vector<double> second{};
  void on(event::Of<"b", event::UpdateStart> const&, auto&) { second.push_back(weight->grad->values[0]); }
};
}  // namespace

TEST_CASE("C33: the lists of other phases' parameters are made once, and follow change_parameters") {
  auto const shared = scale();
  auto const a = std::make_shared<Net>(std::vector{shared, scale(1.0)});
  auto const b = std::make_shared<Net>(std::vector{shared, scale(2.0)});
  std::vector<std::vector<bool>> inside;
  auto const step = [&](auto& net, fake::Batch const& batch, auto&) {
    inside.push_back({shared->weight->requires_grad, a->layers[1]->weight->requires_grad, b->layers[1]->weight->requires_grad});
    auto const error = net.forward(batch.input) - batch.target;
    return Loss{fake::mean(error * error)};
  };
  CountRequires outside{{}, {shared->weight, a->layers[1]->weight, b->layers[1]->weight}};
  tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.0}, step), tacit::phase<"b">(b, fake::Sgd{.lr = 0.0}, step)},
                         CallbackPack{AddAndRemove{shared->weight}, std::ref(outside)}};
  trainer.train(fake::Line{8}, {.epochs = 1, .per_device_batch_size = 2, .sink = quiet()});
  using Rows = std::vector<std::vector<bool>>;
  // After the first update a does not train the shared weight, after the third it does again; b always does.
  CHECK(inside == Rows{{1, 1, 0}, {1, 0, 1}, {0, 1, 0}, {1, 0, 1}, {0, 1, 0}, {1, 0, 1}, {1, 1, 0}, {1, 0, 1}});
  CHECK(outside.at_loss == Rows(8, std::vector<bool>{true, true, true}));
}

TEST_CASE("C33: a run of several phases compares tensors linearly in their number, and its steps do not") {
  auto const compared = [](int parameters, std::int64_t updates) {
    auto const net = [&] {
      std::vector<std::shared_ptr<fake::Scale>> parts;
      for (int i = 0; i < parameters; ++i) parts.push_back(scale(1.0));
      return std::make_shared<Net>(std::move(parts));
    };
    tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(net(), fake::Sgd{.lr = 0.0}, step_of(1.0)), tacit::phase<"b">(net(), fake::Sgd{.lr = 0.0}, step_of(1.0))}, CallbackPack{}};
    std::int64_t const before = fake::comparisons;
    trainer.train(fake::Line{64}, {.limit = {.updates = tacit::Updates{updates}}, .per_device_batch_size = 2, .sink = quiet()});
    return fake::comparisons - before;
  };
  std::int64_t const start = 2 * compared(20, 10) - compared(20, 20);
  CHECK(2 * compared(200, 10) - compared(200, 20) == 10 * start);
  CHECK(compared(20, 20) - compared(20, 10) <= 10 * 2 * 20);  // one for each parameter, when its gradients are cleared
  CHECK(compared(200, 20) - compared(200, 10) == 10 * (compared(20, 20) - compared(20, 10)));
}

TEST_CASE("C10: a change of parameters between two phases' updates keeps the gradients that wait") {
  auto const train = [](auto... changes) {
    auto const shared = scale();
    auto const a = std::make_shared<Net>(std::vector{shared, scale(1.0)});
    auto const b = std::make_shared<Net>(std::vector{shared, scale(2.0)});
    GradientOfB gradient{shared->weight};
    tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.0}, step_of(1.0)), tacit::phase<"b">(b, fake::Sgd{.lr = 0.0}, step_of(3.0))},
                           CallbackPack{std::ref(gradient), changes(shared->weight)...}};
    trainer.train(fake::Line{24}, {.epochs = 1, .per_device_batch_size = 2, .gradient_accumulation = 3, .seed = 2, .sink = quiet()});
    return gradient.second;
  };
  CHECK(train() == train([](fake::Tensor const& weight) { return AddAndRemove{weight}; }));
}

TEST_CASE("a module of two phases is moved once to the device, and stays shared with its buffers") {
  struct WithBuffer : fake::Scale {
    fake::Tensor offset = register_buffer("offset", fake::Tensor{{1.0}});
  };
  auto const shared = std::make_shared<WithBuffer>();
  auto const a = std::make_shared<Net>(std::vector<std::shared_ptr<fake::Scale>>{shared});
  auto const b = std::make_shared<Net>(std::vector<std::shared_ptr<fake::Scale>>{shared, scale()});
  auto const before = shared->weight.ptr();
  tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.01}, step_of(1.0)), tacit::phase<"b">(b, fake::Sgd{.lr = 0.01}, step_of(1.0))}, fake::Gpu{},
                         CallbackPack{}};
  CHECK(shared->weight.ptr() == before);
  CHECK(shared->weight->on_device);
  CHECK(shared->offset->on_device);
  CHECK(trainer.view().parameters<0>().find("0.weight")->model.ptr() == before);
  CHECK(trainer.view().parameters<1>().find("0.weight")->model.ptr() == before);
}

namespace {

/// Refuses a set without the first layer's weight, once it is told of one.
struct Picky : fake::Sgd {
  using slot = tacit::slot::optimizer;
  std::vector<std::size_t>* told = nullptr;
  struct Bound : fake::Sgd::Bound {
    std::vector<std::size_t>* told;
    template <class Parameters>
    Bound(Picky const& recipe, Parameters& parameters) : fake::Sgd::Bound{recipe, parameters}, told{recipe.told} {}
    template <class Parameters>
    void parameters_changed(Parameters& parameters) {
      told->push_back(parameters.size());
      if (std::as_const(parameters).find("0.weight") == nullptr) throw std::domain_error{"refused"};
      fake::Sgd::Bound::parameters_changed(parameters);
    }
  };
  template <class Parameters>
  Bound bind(Parameters& parameters) const {
    return {*this, parameters};
  }
};
struct Change {
  enum kind { none, removes_all, removes_and_throws, adds_and_throws, throws_in_second, is_refused };
  kind what;
  bool catches;
  fake::Tensor frozen;
  bool* armed;
  void change(auto& context) const {
    if (!*armed) return;
    context.change_parameters([this](auto& all, tacit::PhaseId phase) {
      if (what == removes_all) {
        while (all.size() > 0) all.remove(all.begin()->name);
      }
      if (what == adds_and_throws && phase.index == 0) all.add("2.weight", frozen);
      if (what == throws_in_second && phase.index == 1) throw std::domain_error{"on purpose"};
      if (what != adds_and_throws) all.remove("0.weight");
      if (what == removes_and_throws || what == adds_and_throws) throw std::domain_error{"on purpose"};
    });
  }
  void on(event::TrainingRunEpochStart const&, auto& context) const {
    if (!catches && what != none) change(context);
  }
  // After phase a's update, too, when b has gradients that are to stay.
  void on(event::UpdateEnd const& end, auto& context) const {
    if (!catches || what == none || end.update.value() != 1) return;
    try {
      change(context);
    } catch (std::domain_error const&) {
    } catch (tacit::ConfigError const& error) {
      CHECK(error.code() == std::string{"TACIT-RC20"});
    }
  }
};

/// The weights after a run whose changes of parameters all fail, or after one that follows a run which ended by that.
std::vector<double> after_failed_changes(Change::kind what, bool catches, bool has_two, auto... rank) {
  auto const layers = [](double first) {
    return std::make_shared<Net>(std::vector{scale(first), scale(1.0), scale(2.0)});
  };
  auto const a = layers(0.5);
  auto const b = layers(0.75);
  a->layers[2]->weight->requires_grad = b->layers[2]->weight->requires_grad = false;
  bool armed = true;
  std::vector<std::size_t> told;
  auto const run = [&](auto task) {
    tacit::Trainer trainer{std::move(task), rank..., CallbackPack{Change{what, catches, a->layers[2]->weight, &armed}}};
    tacit::TrainOptions const options{.epochs = 1, .per_device_batch_size = 2, .first_epoch = 0, .sink = quiet()};
    if (what != Change::none && !catches) {
      CHECK_THROWS(trainer.train(fake::Line{16}, options));
      armed = false;
    }
    trainer.train(fake::Line{16}, options);
  };
  Picky const optimizer{{.lr = 0.01, .momentum = 0.5}, &told};
  if (has_two) {
    run(tacit::Task{tacit::phase<"a">(a, optimizer, step_of(1.0)), tacit::phase<"b">(b, optimizer, step_of(0.5))});
  } else {
    run(tacit::Task{a, optimizer, step_of(1.0)});
  }
  CHECK_FALSE(a->layers[2]->weight->requires_grad);
  // Whoever was told of the refused set was told of the old one after it.
  if (!told.empty()) CHECK(told.back() == 2);
  CHECK(told.empty() == (what != Change::is_refused && !(what == Change::throws_in_second && !has_two)));
  std::vector<double> weights;
  for (auto const& net : {a, b}) {
    for (auto const& layer : net->layers) weights.push_back(layer->weight.item());
  }
  return weights;
}

}  // namespace

TEST_CASE("a change of parameters that ends by an exception is undone, in every phase") {
  for (bool const has_two : {false, true}) {
    auto const wanted = after_failed_changes(Change::none, true, has_two);
    for (auto const what : {Change::removes_all, Change::removes_and_throws, Change::adds_and_throws,
                            Change::throws_in_second, Change::is_refused}) {
      for (bool const catches : {false, true}) {
        CAPTURE(has_two, what, catches);
        CHECK(after_failed_changes(what, catches, has_two) == wanted);
        auto const on_two_ranks = [&](Change::kind one) {
          std::vector<std::vector<double>> weights(2);
          fake::run_ranks(2, [&](fake::Rank rank) {
            weights[static_cast<std::size_t>(rank.number)] = after_failed_changes(one, catches, has_two, rank);
          });
          CHECK(weights[0] == weights[1]);
          return weights[0];
        };
        CHECK(on_two_ranks(what) == on_two_ranks(Change::none));
      }
    }
  }
}

}  // namespace shared_phases_tests
