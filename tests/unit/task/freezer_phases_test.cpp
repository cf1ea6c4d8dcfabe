// ModelFreezer and change_parameters in tasks of one and of several phases: parameters are known by their tensors.
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/module.hpp"
#include "fake/tensor.hpp"
#include "tacit/task/model_freezer.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
using tacit::CallbackPack;
using tacit::ModelFreezer;
using Names = std::vector<std::string>;
using Set = tacit::basic_parameter_set<fake::Tensor>;

namespace freezer_phases_tests {
namespace {

struct Loss {
  fake::Tensor loss;
};
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
auto net(int layers) {
  std::vector<std::shared_ptr<fake::Scale>> all;
  for (int i = 0; i < layers; ++i) all.push_back(scale());
  return std::make_shared<Net>(std::move(all));
}
/// A model whose last layer has the weight of the first, under a name of its own.
struct Tied : fake::Module {
  std::shared_ptr<fake::Scale> in = register_module("in", std::make_shared<fake::Scale>());
  std::shared_ptr<fake::Scale> mid = register_module("mid", std::make_shared<fake::Scale>());
  std::shared_ptr<fake::Module> out = register_module("out", std::make_shared<fake::Module>());
  Tied() { out->register_parameter("weight", in->weight); }
  fake::Tensor forward(fake::Tensor const& x) const { return in->weight * mid->forward(in->forward(x)); }
};

auto const step = [](auto& model, fake::Batch const& batch, auto&) {
  auto const error = model.forward(batch.input) - batch.target;
  return Loss{fake::mean(error * error)};
};

/// Calls `change` at the start of an epoch.
template <class Change>
struct At {
  std::int64_t epoch;
  Change change;
  void on(event::TrainingRunEpochStart const& start, auto& context) {
    if (start.epoch.value() == epoch) context.change_parameters(change);
  }
};
template <class Change>
At(std::int64_t, Change) -> At<Change>;

struct CountChanges {
  std::vector<std::size_t> counts{};
  void on(event::ParametersChanged const& change, auto&) { counts.push_back(change.count); }
};

Names names_of(Set const& set) {
  Names names;
  for (auto const& parameter : set) names.push_back(parameter.name);
  return names;
}
tacit::TrainOptions epochs(std::int64_t count) { return {.epochs = tacit::Epochs{count}, .per_device_batch_size = 2, .sink = tacit::Sink::none()}; }

}  // namespace

TEST_CASE("C8: a freezer of one phase's model changes that model alone") {
  for (bool const freezer_is_of_second : {false, true}) {
    auto const g = net(2);
    auto const d = net(2);
    auto const& own = freezer_is_of_second ? d : g;
    auto const& other = freezer_is_of_second ? g : d;
    ModelFreezer freezer{*own};
    CountChanges changes;
    std::vector<Names> changed;
    tacit::Trainer trainer{tacit::Task{tacit::phase<"g">(g, fake::Sgd{.lr = 0.01, .momentum = 0.5}, step), tacit::phase<"d">(d, fake::Sgd{.lr = 0.01, .momentum = 0.5}, step)},
                           CallbackPack{At{1, [&](auto& all) { changed.push_back(freezer.freeze(all, 0, 0)); }},
                                        tacit::named<"unfreeze">(At{2, [&](auto& all) { changed.push_back(freezer.unfreeze(all)); }}), std::ref(changes)}};
    trainer.train(fake::Line{4}, epochs(2));
    CHECK_FALSE(own->layers[0]->weight->requires_grad);
    CHECK(own->layers[1]->weight->requires_grad);
    CHECK(other->layers[0]->weight->requires_grad);
    CHECK(other->layers[1]->weight->requires_grad);
    std::vector<Names> const frozen = freezer_is_of_second ? std::vector<Names>{{}, {"0.weight"}} : std::vector<Names>{{"0.weight"}, {}};
    CHECK(changed == frozen);

    changed.clear();
    trainer.train(fake::Line{4}, epochs(3));
    CHECK(names_of(trainer.view().parameters<0>()) == (freezer_is_of_second ? Names{"0.weight", "1.weight"} : Names{"1.weight", "0.weight"}));
    CHECK(names_of(trainer.view().parameters<1>()) == (freezer_is_of_second ? Names{"1.weight", "0.weight"} : Names{"0.weight", "1.weight"}));
    CHECK(trainer.view().parameters<0>().find("0.weight")->model.ptr() == g->layers[0]->weight.ptr());
    CHECK(trainer.view().parameters<1>().find("0.weight")->model.ptr() == d->layers[0]->weight.ptr());
    CHECK(changes.counts.back() == 4);
  }
}

TEST_CASE("C8: unfreezing adds to the phases whose models hold the tensor, under the name that it has there") {
  auto const g = net(2);
  auto const d = net(1);
  ModelFreezer freezer{*g};
  freezer.freeze();
  tacit::Trainer trainer{tacit::Task{tacit::phase<"g">(g, fake::Sgd{.lr = 0.01}, step), tacit::phase<"d">(d, fake::Sgd{.lr = 0.01}, step)},
                         CallbackPack{At{1, [&](auto& all) { freezer.unfreeze(all); }}}};
  trainer.train(fake::Line{4}, epochs(2));
  CHECK(names_of(trainer.view().parameters<0>()) == Names{"1.weight", "0.weight"});
  CHECK(names_of(trainer.view().parameters<1>()) == Names{"0.weight"});

  // A shared encoder: both phases train it, each under its own name; the freezer is of the encoder alone.
  auto const encoder = net(2);
  struct Around : fake::Module {
    std::shared_ptr<fake::Scale> head = register_module("head", std::make_shared<fake::Scale>());
    std::shared_ptr<Net> body;
    explicit Around(std::shared_ptr<Net> part) : body{register_module("body", std::move(part))} {}
    fake::Tensor forward(fake::Tensor const& x) const { return head->forward(body->forward(x)); }
  };
  auto const a = std::make_shared<Around>(encoder);
  ModelFreezer of_encoder{*encoder};
  of_encoder.freeze(0, 0);
  tacit::Trainer shared{tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.01}, step), tacit::phase<"b">(encoder, fake::Sgd{.lr = 0.01}, step)},
                        CallbackPack{At{0, [&](auto& all) { of_encoder.unfreeze(all); }}, tacit::named<"freeze">(At{1, [&](auto& all) { of_encoder.freeze(all, 0, 0); }})}};
  shared.train(fake::Line{4}, epochs(1));
  CHECK(names_of(shared.view().parameters<0>()) == Names{"head.weight", "body.1.weight", "body.0.weight"});
  CHECK(names_of(shared.view().parameters<1>()) == Names{"1.weight", "0.weight"});
  CHECK(shared.view().parameters<0>().find("body.0.weight")->slots.at(0).ptr() != shared.view().parameters<1>().find("0.weight")->slots.at(0).ptr());
  shared.train(fake::Line{4}, epochs(2));
  CHECK(names_of(shared.view().parameters<0>()) == Names{"head.weight", "body.1.weight"});
  CHECK(names_of(shared.view().parameters<1>()) == Names{"1.weight"});
  CHECK(of_encoder.groups()[0].is_frozen);
  CHECK_FALSE(of_encoder.groups()[1].is_frozen);
}

TEST_CASE("C8: change_parameters tells its callable the phase, by index and name") {
  auto const g = net(2);
  auto const d = net(2);
  std::vector<std::pair<std::size_t, std::string>> seen;
  tacit::Trainer trainer{tacit::Task{tacit::phase<"g">(g, fake::Sgd{}, step), tacit::phase<"d">(d, fake::Sgd{}, step)}, CallbackPack{At{0, [&](auto& all, tacit::PhaseId phase) {
                                                                                                                      seen.emplace_back(phase.index, phase.name);
                                                                                                                      if (phase.name == "d") all.remove("0.weight");
                                                                                                                    }}}};
  trainer.train(fake::Line{4}, epochs(1));
  CHECK(seen == std::vector<std::pair<std::size_t, std::string>>{{0, "g"}, {1, "d"}});
  CHECK(g->layers[0]->weight->requires_grad);
  CHECK_FALSE(d->layers[0]->weight->requires_grad);

  auto const alone = net(2);
  seen.clear();
  tacit::Trainer one{tacit::Task{alone, fake::Sgd{}, step}, CallbackPack{At{0, [&](Set& all, tacit::PhaseId const& phase) {
                                                              seen.emplace_back(phase.index, phase.name);
                                                              all.remove("0.weight");
                                                            }}}};
  one.train(fake::Line{4}, epochs(1));
  CHECK(seen == std::vector<std::pair<std::size_t, std::string>>{{0, ""}});
}

TEST_CASE("C21: a tied parameter is frozen and unfrozen as one tensor, under whatever name") {
  auto const model = std::make_shared<Tied>();
  ModelFreezer freezer{*model};
  Names changed;
  tacit::Trainer trainer{tacit::Task{model, fake::Sgd{.lr = 0.01, .momentum = 0.5}, step},
                         CallbackPack{At{0, [&](auto& all) { changed = freezer.freeze(all, 2, 2); }}, tacit::named<"unfreeze">(At{1, [&](auto& all) { changed = freezer.unfreeze(all); }})}};
  double const before = model->in->weight.item();
  trainer.train(fake::Line{4}, epochs(1));
  CHECK(changed == Names{"in.weight"});
  CHECK(freezer.groups()[2].is_frozen);
  CHECK(freezer.groups()[0].is_frozen);
  CHECK_FALSE(freezer.groups()[1].is_frozen);
  CHECK(model->in->weight.item() == before);
  trainer.train(fake::Line{4}, epochs(2));
  CHECK(changed == Names{"in.weight"});
  CHECK(model->in->weight.item() != before);
  CHECK(trainer.view().parameters().size() == 2);

  // Before a trainer is made.
  Tied other;
  ModelFreezer plain{other};
  CHECK(plain.freeze(2, 2) == Names{"out.weight"});
  CHECK(plain.freeze(0, 0).empty());
  CHECK(plain.unfreeze(0, 2) == Names{"in.weight"});
  CHECK(tacit::parameters_of(other).size() == 2);
}

TEST_CASE("C21: a parameter set refuses a tensor that it has under another name") {
  Set set;
  fake::Tensor const weight{{1.0}};
  set.add("in.weight", weight);
  try {
    set.add("out.weight", weight);
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC120");
    std::string const what = error.what();
    CHECK(what.find("'out.weight'") != std::string::npos);
    CHECK(what.find("'in.weight'") != std::string::npos);
  }
  CHECK(set.size() == 1);
  CHECK(set.find(weight)->name == "in.weight");
  CHECK(set.find(fake::Tensor{{1.0}}) == nullptr);
}

TEST_CASE("C8: what one phase freezes and another trains goes on being trained, with its own optimizer state") {
  auto const shared = scale();
  auto const a = std::make_shared<Net>(std::vector{shared, scale(1.0)});
  auto const b = std::make_shared<Net>(std::vector{shared, scale(2.0)});
  tacit::Trainer trainer{tacit::Task{tacit::phase<"a">(a, fake::Sgd{.lr = 0.01, .momentum = 0.9}, step), tacit::phase<"b">(b, fake::Sgd{.lr = 0.01, .momentum = 0.9}, step)},
                         CallbackPack{At{1, [&](auto& all, tacit::PhaseId phase) {
                           if (phase.name == "a") ModelFreezer{*a}.freeze(all, 0, 0);
                         }}}};
  trainer.train(fake::Line{4}, epochs(1));
  auto const slot = trainer.view().parameters<1>().find("0.weight")->slots.at(0).ptr();
  trainer.train(fake::Line{4}, epochs(2));
  CHECK(shared->weight->requires_grad);
  CHECK(trainer.view().parameters<0>().find("0.weight") == nullptr);
  CHECK(trainer.view().parameters<1>().find("0.weight")->slots.at(0).ptr() == slot);
}

TEST_CASE("bad input: parameters that are unfrozen beside the trainer, which would never train them") {
  auto const model = net(2);
  ModelFreezer freezer{*model};
  freezer.freeze(0, 0);
  bool thaw = false;
  tacit::Trainer trainer{tacit::Task{model, fake::Sgd{.lr = 0.1}, step}, CallbackPack{At{0, [&](auto& all) {
                                                                           if (thaw) freezer.unfreeze(all);
                                                                         }}}};
  auto const code = [&]() -> std::string {
    try {
      trainer.train(fake::Line{8}, {.epochs = 1, .sink = tacit::Sink::none()});
    } catch (tacit::UsageError const& error) {
      CHECK(std::string{error.what()}.find("'0.weight' requires a gradient") != std::string::npos);
      return error.code();
    }
    return {};
  };
  CHECK(code().empty());
  freezer.unfreeze();
  CHECK(code() == "TACIT-RU14");
  freezer.freeze(0, 0);
  thaw = true;
  CHECK(code().empty());
  CHECK(names_of(trainer.view().parameters()).size() == 2);
}

}  // namespace freezer_phases_tests
