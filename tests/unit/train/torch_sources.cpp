// needs: libtorch
#include <torch/data.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/train/trainer.hpp"

namespace data = tacit::data;
namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;

namespace torch_sources_tests {
namespace {

auto quiet() { return tacit::Sink::none(); }

std::string code_of(auto const& call) {
  try {
    call();
  } catch (tacit::Error const& error) {
    return error.code();
  } catch (std::runtime_error const& error) {
    return error.what();
  }
  return "none";
}

struct Rows : torch::data::datasets::Dataset<Rows> {
  torch::data::Example<> get(std::size_t i) override { return {at::full({2}, static_cast<double>(i)), at::full({1}, static_cast<double>(i))}; }
  std::optional<std::size_t> size() const override { return 40; }
};

/// A dataset with a state of its own: batches of four rows, ten an epoch.
struct Stream : torch::data::datasets::StatefulDataset<Stream, std::vector<torch::data::Example<>>, std::size_t> {
  std::shared_ptr<std::mutex> mutex = std::make_shared<std::mutex>();
  int at = 0;
  std::optional<std::vector<torch::data::Example<>>> get_batch(std::size_t size) override {
    std::lock_guard const lock{*mutex};
    if (at == 10) return std::nullopt;
    ++at;
    return std::vector<torch::data::Example<>>(size, Rows{}.get(static_cast<std::size_t>(at)));
  }
  void reset() override {
    std::lock_guard const lock{*mutex};
    at = 0;
  }
  std::optional<std::size_t> size() const override { return std::nullopt; }
  void save(torch::serialize::OutputArchive&) const override {}
  void load(torch::serialize::InputArchive&) override {}
};

struct Throw {
  int left;
  void on(event::TrainStepEnd const&, auto&) {
    if (left-- == 0) throw std::runtime_error{"the callback's"};
  }
};

}  // namespace

TEST_CASE("F19: a data loader of torch::data can be left before its end and used again") {
  std::size_t const workers = GENERATE(0, 1, 3);
  bool const ordered = GENERATE(true, false);
  bool const stateful = GENERATE(false, true);
  CAPTURE(workers, ordered, stateful);
  auto const options = torch::data::DataLoaderOptions{}.batch_size(4).workers(workers).enforce_ordering(ordered);
  auto const check = [&](auto& batches) {
    auto model = std::make_shared<torch::nn::LinearImpl>(2, 1);
    auto const all = [&] {
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 1e-4}, CallbackPack{}};
      return trainer.train(batches, {.epochs = 1, .sink = quiet()}).samples.value();
    };
    std::int64_t const whole = all();
    CHECK(whole == 40);
    SECTION("by a limit on batches, in each epoch") {
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 1e-4}, CallbackPack{tacit::LimitBatches{.train = 3}}};
      CHECK(trainer.train(batches, {.epochs = 3, .sink = quiet()}).updates.value() == 9);
      CHECK(trainer.train(batches, {.epochs = 1, .sink = quiet()}).updates.value() == 3);
    }
    SECTION("by a limit on the run") {
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 1e-4}, CallbackPack{}};
      for (int run = 0; run < 2; ++run) CHECK(trainer.train(batches, {.limit = {.updates = 12}, .sink = quiet()}).updates.value() == 12);
    }
    SECTION("by an exception") {
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 1e-4}, CallbackPack{Throw{2}}};
      CHECK(code_of([&] { trainer.train(batches, {.epochs = 1, .sink = quiet()}); }) == "the callback's");
      CHECK(trainer.train(batches, {.epochs = 1, .sink = quiet()}).updates.value() == 10);
    }
    SECTION("by the limit of an evaluation") {
      tacit::Trainer trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 1e-4}, CallbackPack{}};
      double const first = trainer.evaluate(batches, {.limit = 2, .sink = quiet()})[tag::eval_loss{}];
      double const second = trainer.evaluate(batches, {.limit = 2, .sink = quiet()})[tag::eval_loss{}];
      if (workers < 2 || (ordered && !stateful)) CHECK(first == second);
    }
    CHECK(all() == whole);
  };
  if (stateful) {
    auto batches = torch::data::make_data_loader(Stream{}.map(torch::data::transforms::Stack<>()), options);
    check(*batches);
  } else {
    auto batches = torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(Rows{}.map(torch::data::transforms::Stack<>()), options);
    check(*batches);
  }
}

TEST_CASE("bad input: a data loader of torch::data inside of its own loop, or for training and evaluation") {
  auto batches = torch::data::make_data_loader(Rows{}.map(torch::data::transforms::Stack<>()), torch::data::DataLoaderOptions{}.batch_size(4).workers(1));
  tacit::Trainer trainer{std::make_shared<torch::nn::LinearImpl>(2, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 1e-4}, CallbackPack{}};
  int count = 0;
  for (auto& batch : *batches) {
    (void)batch;
    if (count++ == 0) CHECK(code_of([&] { (void)trainer.evaluate(*batches, {.sink = quiet()}); }) == "TACIT-RD135");
  }
  CHECK(count == 10);
  CHECK(code_of([&] { trainer.train(*batches, *batches, {.epochs = 1, .sink = quiet()}); }) == "TACIT-RC141");
}

namespace {

/// Works in place on what it is given, as a first layer with inplace(true) does.
struct InPlace : torch::nn::Module {
  torch::nn::Linear layer{register_module("layer", torch::nn::Linear(16, 1))};
  bool copies = false;
  at::Tensor forward(at::Tensor x) {
    if (copies) x = x.clone();
    return layer->forward(x.sub_(1.0));
  }
};

struct Views {  // a dataset of a user: its batches are views of memory that LibTorch did not allocate
  std::shared_ptr<std::vector<float>> memory = std::make_shared<std::vector<float>>(16 * 16, 0.5F);
  std::int64_t size() const { return 16; }
  data::Batch get_batch(std::span<std::int64_t const> indices) const {
    auto const count = static_cast<std::int64_t>(indices.size());
    return {at::from_blob(memory->data() + 16 * indices.front(), {count, 16}), at::zeros({count, 1})};
  }
};
struct Fresh {  // batches that are views of memory of their own
  std::int64_t size() const { return 16; }
  data::Batch get_batch(std::span<std::int64_t const> indices) const {
    auto const count = static_cast<std::int64_t>(indices.size());
    return {at::full({count, 1, 16}, 0.5).squeeze(1), at::zeros({count, 1})};
  }
};
struct ChangesBatch {
  void on(event::TrainStepStart const&, auto& context) {
    auto input = context.batch().input;
    input.mul_(2.0);
  }
};

}  // namespace

TEST_CASE("a scalar tensor of a batch says nothing of its rows") {
  struct Tempered {
    at::Tensor temperature = torch::ones({});
    at::Tensor input;
  };
  CHECK(tacit::detail::rows_of<at::Tensor>(Tempered{.input = torch::ones({4, 2})}) == 4);
  CHECK(tacit::detail::rows_of<at::Tensor>(torch::ones({})) == 1);
}

TEST_CASE("F15: a step that changes the data set in place is an error at that batch") {
  data::TensorDataset const samples{at::rand({64, 16}), at::rand({64, 1})};
  auto const model = std::make_shared<InPlace>();
  auto const make = [&](auto... callbacks) {
    return tacit::Trainer{model, tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 1e-4}, CallbackPack{callbacks...}};
  };
  auto trainer = make();
  std::string text;
  try {
    (void)trainer.evaluate(samples, {.per_device_batch_size = 16, .sink = quiet()});
  } catch (tacit::DataError const& error) {
    text = error.what();
  }
  CHECK(text.starts_with("[TACIT-RD137] evaluate, epoch 0, batch 0: "));
  CHECK(text.find("x.clone()") != std::string::npos);

  std::vector<data::Batch> container{samples.get_batch(std::vector<std::int64_t>{3, 1}), samples.get_batch(std::vector<std::int64_t>{2, 5})};
  CHECK(code_of([&] { trainer.train(container, {.epochs = 2, .sink = quiet()}); }) == "TACIT-RD137");
  CHECK(code_of([&] { trainer.train(Views{}, {.epochs = 1, .per_device_batch_size = 1, .sink = quiet()}); }) == "TACIT-RD137");
  CHECK(code_of([&] { trainer.train(data::loader(samples, {.batch_size = 16}), {.epochs = 1, .sink = quiet()}); }) == "TACIT-RD137");
  CHECK(code_of([&] { trainer.train(data::loader(samples, {.batch_size = 16, .workers = 2}), {.epochs = 1, .sink = quiet()}); }) == "TACIT-RD137");
  CHECK(code_of([&] { trainer.train(samples, samples, {.epochs = 1, .sink = quiet()}); }) == "TACIT-RD137");  // shuffled, then evaluated in order

  // what is nobody else's may be changed
  CHECK(code_of([&] { trainer.train(data::loader(samples, {.batch_size = 16, .shuffle = true}), {.epochs = 2, .sink = quiet()}); }) == "none");
  CHECK(code_of([&] { trainer.train(Fresh{}, Fresh{}, {.epochs = 2, .sink = quiet()}); }) == "none");
  auto given = trainer.session<data::Batch>({.limit = {.updates = 2}, .sink = quiet()});
  while (given.step(container[0])) {
  }
  (void)given.finish();

  model->copies = true;
  double const first = trainer.evaluate(samples, {.sink = quiet()})[tag::eval_loss{}];
  CHECK(trainer.evaluate(samples, {.sink = quiet()})[tag::eval_loss{}] == first);
  CHECK(trainer.evaluate(samples, {.sink = quiet()})[tag::eval_loss{}] == first);
  auto changing = make(ChangesBatch{});
  CHECK(code_of([&] { changing.train(container, {.epochs = 1, .sink = quiet()}); }) == "TACIT-RD137");
}

}  // namespace torch_sources_tests
