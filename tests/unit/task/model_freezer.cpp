// needs: libtorch
#include "tacit/task/model_freezer.hpp"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "tacit/callbacks/keep_frozen_norms.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
using tacit::ModelFreezer;
using Names = std::vector<std::string>;

namespace model_freezer_tests {
namespace {

/// A body with parameters of its own beside its children, as a vision transformer has its class token.
struct Body : torch::nn::Module {
  torch::Tensor token{register_parameter("token", torch::ones({4}))};
  torch::nn::Linear linear{register_module("linear", torch::nn::Linear(4, 4))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(4))};

  torch::Tensor forward(torch::Tensor const& x) { return norm(linear(x) + token); }
};
struct Net : torch::nn::Module {
  torch::Tensor scale{register_parameter("scale", torch::ones({1}))};
  std::shared_ptr<Body> body{register_module("body", std::make_shared<Body>())};
  torch::nn::Linear body_head{register_module("body_head", torch::nn::Linear(4, 2))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(2, 1))};

  torch::Tensor forward(torch::Tensor const& x) { return head(torch::relu(body_head(body->forward(x)))) * scale; }
};

template <class Body>
std::string code_of(Body const& body) {
  try {
    body();
    return "no error";
  } catch (tacit::Error const& error) {
    return std::string{error.code()};
  }
}

tacit::data::TensorDataset data() {
  torch::manual_seed(3);
  auto const x = torch::randn({32, 4});
  return {x, x.sum(1, true)};
}

/// Unfreezes the body before the second epoch, and looks at modes and state.
struct Unfreeze {
  ModelFreezer<Net>* freezer;
  std::vector<bool> norm_trains{};
  double head_steps = 0.0;
  double body_steps = 0.0;
  void on(event::TrainingRunEpochStart const& epoch, auto& context) {
    if (epoch.epoch.value() == 1) context.change_parameters([this](auto& all) { freezer->unfreeze(all, 1, 2); });
  }
  void on(event::TrainStepEnd const&, auto& context) { norm_trains.push_back(context.trainer().model().body->norm->is_training()); }
  void on(event::TrainingRunEnd const&, auto& context) {
    auto const& all = context.trainer().parameters();
    head_steps = all.find("head.weight")->slots.at(0).template item<double>();
    if (auto const* token = all.find("body.token")) body_steps = token->slots.at(0).template item<double>();
  }
};

}  // namespace

TEST_CASE("layers are modules that own parameters, however deep, and parents of others among them") {
  Net net;
  ModelFreezer freezer{net, {.by = tacit::LayersBy::module, .batch_norms = true}};
  Names names;
  for (auto const& group : freezer.groups()) names.push_back(group.name);
  CHECK(names == Names{"", "body", "body.linear", "body.norm", "body_head", "head"});
  CHECK(freezer.groups()[1].parameters == 1);  // the token alone
  CHECK(freezer.groups()[2].parameters == 2);
  CHECK(freezer.groups()[2].from_end == -4);
  CHECK(freezer.freeze(0, freezer.index("body.linear")) == Names{"scale", "body.token", "body.linear.weight", "body.linear.bias"});
  CHECK(net.body->norm->weight.requires_grad());
  CHECK(freezer.unfreeze(freezer.index("body.linear"), freezer.index("body.linear")) == Names{"body.linear.weight", "body.linear.bias"});
  CHECK(code_of([&] { freezer.index("body.linea"); }) == "TACIT-RC58");
  CHECK(code_of([&] { freezer.index("body.linear.weight"); }) == "TACIT-RC58");
}

TEST_CASE("a model without layers of one kind") {
  torch::nn::Linear alone{3, 2};
  ModelFreezer freezer{*alone, {.by = tacit::LayersBy::module}};
  REQUIRE(freezer.groups().size() == 1);
  CHECK(freezer.freeze(0, 0) == Names{"weight", "bias"});
}

TEST_CASE("groups are direct children and the model's own parameters, by index from both ends and by name") {
  Net net;
  ModelFreezer freezer{net};
  auto const groups = freezer.groups();
  REQUIRE(groups.size() == 4);
  Names names;
  for (auto const& group : groups) {
    names.push_back(group.name);
    CHECK(group.from_end == group.index - 4);
    CHECK_FALSE(group.is_frozen);
  }
  CHECK(names == Names{"", "body", "body_head", "head"});
  CHECK(groups[0].parameters == 1);
  CHECK(groups[1].parameters == 5);
  CHECK(code_of([&] { freezer.freeze(0, 4); }) == "TACIT-RC58");
  CHECK(code_of([&] { freezer.freeze(-5, 0); }) == "TACIT-RC58");
}

TEST_CASE("freezing everything leaves no gradient anywhere, batch norms only where asked for") {
  for (bool const norms : {false, true}) {
    CAPTURE(norms);
    Net net;
    ModelFreezer freezer{net, {.batch_norms = norms}};
    CHECK(freezer.freeze(-1, 0).size() == (norms ? 10U : 8U));
    CHECK(freezer.freeze(0, -1).empty());
    for (auto const& item : net.named_parameters()) {
      bool const is_norm = item.key().find("norm") != std::string::npos;
      CHECK(item.value().requires_grad() == (is_norm && !norms));
    }
    CHECK(freezer.groups()[1].is_frozen == norms);
    CHECK(freezer.groups()[3].is_frozen);
    CHECK(freezer.unfreeze(3, 3) == Names{"head.weight", "head.bias"});
    CHECK_FALSE(freezer.groups()[3].is_frozen);
  }
  Net net;
  ModelFreezer freezer{net};
  freezer.freeze();  // all but the last group
  CHECK(net.body_head->weight.requires_grad() == false);
  CHECK(net.head->weight.requires_grad());
}

TEST_CASE("frozen norms keep their mode and statistics, and unfreezing within a run keeps the optimizer's state") {
  auto net = std::make_shared<Net>();
  ModelFreezer freezer{*net, {.batch_norms = true}};
  freezer.freeze();
  Unfreeze unfreeze{&freezer};
  tacit::Trainer trainer{net, tacit::loss::Mse{}, tacit::optim::Adam{.lr = 0.01}, tacit::CallbackPack{tacit::KeepFrozenNorms{}, std::ref(unfreeze)}};
  CHECK(trainer.view().parameters().size() == 2);
  auto const body_before = net->body->linear->weight.detach().clone();
  auto const mean_before = net->body->norm->running_mean.clone();
  tacit::TrainOptions const options{.epochs = 1, .per_device_batch_size = 8, .sink = tacit::Sink::none()};
  trainer.train(data(), options);  // nothing is unfrozen before the second epoch
  CHECK(unfreeze.head_steps == 4.0);
  CHECK(net->body->linear->weight.equal(body_before));
  CHECK(net->body->norm->running_mean.equal(mean_before));

  unfreeze.norm_trains.clear();
  trainer.train(data(), {.epochs = 2, .per_device_batch_size = 8, .sink = tacit::Sink::none()});
  CHECK(unfreeze.norm_trains == std::vector<bool>{false, false, false, false, true, true, true, true});
  CHECK(unfreeze.head_steps == 12.0);
  CHECK(unfreeze.body_steps == 4.0);
  CHECK_FALSE(net->body->linear->weight.equal(body_before));
  CHECK_FALSE(net->body->norm->running_mean.equal(mean_before));
}

}  // namespace model_freezer_tests
