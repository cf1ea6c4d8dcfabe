#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/tensor.hpp"
#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/sample_range.hpp"
#include "tacit/train/trainer.hpp"

// Faults F3 and C25: one source of batches for training and evaluation, for two eval sets, in a loop around a pass.

namespace data = tacit::data;
namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;
using tacit::EpochIndex;

namespace shared_source_tests {
namespace {

struct EvaluateNow {
  std::int64_t every = 0;
  void on(event::UpdateEnd const& event, auto& context) {
    if (every > 0 && event.update.value() % every == 0) context.evaluate();
  }
};

struct Outcome {
  std::vector<double> numbers{};
  std::int64_t updates = 0;
  std::size_t evaluations = 0;
  bool operator==(Outcome const&) const = default;
};

struct Setting {
  std::int64_t accumulation = 1;
  std::int64_t every_updates = 0;
  std::int64_t inside_callback = 0;
  std::int64_t eval_limit = 0;
};

/// Trains over two epochs; `pass` calls `train` with the data.
template <class Pass>
Outcome outcome_of(Setting const& setting, Pass const& pass) {
  auto model = std::make_shared<fake::Linear>();
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1, .momentum = 0.5},
                         CallbackPack{EvaluateNow{setting.inside_callback},
                                      tacit::LimitBatches{.eval = setting.eval_limit > 0 ? tacit::MicroBatches{setting.eval_limit} : tacit::MicroBatches{tacit::unset}},
                                      tacit::eval_sets<"again">{}}};
  tacit::TrainOptions options{.epochs = 2, .gradient_accumulation = setting.accumulation, .seed = 7, .sink = tacit::Sink::none()};
  if (setting.every_updates > 0) options.evaluation.every_updates = setting.every_updates;
  auto const result = pass(trainer, options);
  Outcome outcome{{model->weight.item(), model->bias.item(), result[tag::train_loss{}]}, result.updates.value(), trainer.history().values(tag::eval_loss{}).size()};
  for (auto const& one : trainer.history().values(tag::eval_loss{})) outcome.numbers.push_back(one.value);
  return outcome;
}

std::vector<fake::Batch> line_of_batches(std::int64_t count) {
  std::vector<fake::Batch> batches;
  fake::Line const line{2 * count};
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t const indices[]{2 * i, 2 * i + 1};
    batches.push_back(line.get_batch(indices));
  }
  return batches;
}

std::string code_of(auto const& call) {
  try {
    call();
  } catch (tacit::Error const& error) {
    return error.code();
  }
  return "none";
}

/// Yields batches once a pass; begins anew when asked, but for one pass at a time.
struct Generator {
  struct end_type {};
  struct iterator {
    Generator* from;
    fake::Batch operator*() const { return from->batches[from->at]; }
    iterator& operator++() {
      ++from->at;
      return *this;
    }
    bool operator!=(end_type) const { return from->at < from->batches.size(); }
  };
  std::vector<fake::Batch> batches = line_of_batches(10);
  std::size_t at = 0;
  iterator begin() {
    at = 0;
    return {this};
  }
  end_type end() { return {}; }
};

/// As little as `batch_source` asks for.
struct OwnSource {
  using batch_type = fake::Batch;
  std::vector<fake::Batch> batches = line_of_batches(10);
  std::size_t at = 0;
  void start_epoch(std::uint64_t, EpochIndex, int, int) { at = 0; }
  bool next(std::optional<fake::Batch>& into) {
    into.reset();
    if (at == batches.size()) return false;
    into.emplace(batches[at++]);
    return true;
  }
  std::int64_t position() const { return static_cast<std::int64_t>(at); }
};

struct Grow {
  std::vector<fake::Batch>* container;
  void on(event::UpdateEnd const&, auto&) { container->push_back(container->front()); }
};

}  // namespace

TEST_CASE("F3 C25: one source for training and evaluation gives what two sources give") {
  Setting const setting = GENERATE(Setting{1, 3, 0, 0}, Setting{2, 1, 0, 0}, Setting{3, 2, 0, 1}, Setting{1, 0, 4, 0}, Setting{2, 2, 3, 2}, Setting{1, 0, 0, 0});
  CAPTURE(setting.accumulation, setting.every_updates, setting.inside_callback, setting.eval_limit);
  auto const same = [&](auto make) {
    auto one = make();
    auto other = make();
    auto third = make();
    auto fourth = make();
    auto const outcome = [&](auto& training, auto& valid, auto& named) {
      return outcome_of(setting, [&](auto& trainer, auto const& options) { return trainer.train(training, valid, options, tacit::eval_data<"again">(named)); });
    };
    Outcome const expected = outcome(*one, *other, *third);
    REQUIRE(expected.updates == 2 * ((10 + setting.accumulation - 1) / setting.accumulation));
    CHECK(outcome(*fourth, *fourth, *fourth) == expected);
    CHECK(outcome(*fourth, *other, *other) == expected);
    CHECK(outcome(*fourth, *fourth, *other) == expected);
    CHECK(outcome(*fourth, *other, *fourth) == expected);
  };
  static fake::Line const line{20};
  std::vector<fake::Batch> const batches = line_of_batches(10);
  auto const loader = [](data::LoaderOptions const& options) {
    return [options] {
      auto made = data::loader(line, options);
      return std::make_unique<decltype(made)>(std::move(made));
    };
  };
  SECTION("a loader in order") { same(loader({.batch_size = 2})); }
  SECTION("a loader that shuffles") { same(loader({.batch_size = 2, .shuffle = true})); }
  SECTION("a loader with a seed of its own and a batch that is not full") { same(loader({.batch_size = 2, .shuffle = true, .seed = 3})); }
  SECTION("a loader with workers") { same(loader({.batch_size = 2, .shuffle = true, .workers = 2, .prefetch = 3})); }
  SECTION("a container") {
    same([&] { return std::make_unique<std::vector<fake::Batch>>(batches); });
  }
  SECTION("a source over a container") {
    same([&] { return std::make_unique<data::RangeSource<std::vector<fake::Batch> const&>>(batches); });
  }
  SECTION("a source over a container that it owns") {
    same([&] { return std::make_unique<data::RangeSource<std::vector<fake::Batch>>>(std::vector<fake::Batch>{batches}); });
  }
  SECTION("a range of samples") {
    struct ToBatch {
      fake::Batch operator()(std::span<std::int64_t> samples) const { return line.get_batch(samples); }
    };
    static std::vector<std::int64_t> const numbers = [] {
      std::vector<std::int64_t> all(20);
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
      return all;
    }();
    same([&] { return std::make_unique<data::SampleRange<std::vector<std::int64_t> const&, ToBatch>>(numbers, data::SampleRangeOptions{.batch_size = 2}, ToBatch{}); });
  }
}

TEST_CASE("F3 C25: what cannot be put back is refused before the first step") {
  auto const options = tacit::TrainOptions{.epochs = 1, .sink = tacit::Sink::none()};
  auto const refused = [&](auto&& training, auto&& valid) {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{}};
    auto const code = code_of([&] { trainer.train(std::forward<decltype(training)>(training), std::forward<decltype(valid)>(valid), options); });
    CHECK(trainer.history().runs().empty() == (code != "none"));
    return code;
  };
  auto const refused_named = [&](auto& training, auto& valid, auto& named) {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{tacit::eval_sets<"again">{}}};
    return code_of([&] { trainer.train(training, valid, options, tacit::eval_data<"again">(named)); });
  };
  Generator one;
  Generator other;
  CHECK(refused(one, one) == "TACIT-RC141");
  CHECK(refused(one, other) == "none");
  CHECK(refused_named(one, other, one) == "TACIT-RC141");
  CHECK(refused_named(one, other, other) == "none");
  auto source = data::range_source(one);
  CHECK(refused(source, source) == "TACIT-RC141");
  CHECK(refused(source, one) == "TACIT-RC141");
  auto second = data::range_source(one);
  CHECK(refused(source, second) == "TACIT-RC141");
  OwnSource own;
  OwnSource own_other;
  CHECK(refused(own, own) == "TACIT-RC141");
  CHECK(refused(own, own_other) == "none");
  CHECK(refused(OwnSource{}, OwnSource{}) == "none");
  std::vector<fake::Batch> const container = line_of_batches(10);
  CHECK(refused(container, container) == "none");
}

TEST_CASE("F3: a loop over a loader goes on where it was after passes over the same loader inside of it") {
  fake::Line const line{9};
  std::int64_t const workers = GENERATE(0, 2);
  bool const shuffle = GENERATE(false, true);
  auto batches = data::loader(line, {.batch_size = 2, .shuffle = shuffle, .workers = workers});
  auto const firsts = [&] {
    std::vector<double> seen;
    for (auto& batch : batches.epoch(5, EpochIndex{1})) seen.push_back(batch.target.values()[0]);
    return seen;
  }();
  REQUIRE(firsts.size() == 5);
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{}};
  int const what = GENERATE(0, 1, 2, 3, 4, 5);
  CAPTURE(workers, shuffle, what);
  auto const disturb = [&] {
    if (what == 0) (void)trainer.evaluate(batches, {.sink = tacit::Sink::none()});
    if (what == 1) (void)trainer.evaluate(batches, {.limit = 2, .sink = tacit::Sink::none()});
    if (what == 2) (void)trainer.train(batches, {.epochs = 1, .sink = tacit::Sink::none()});
    if (what == 3) {
      for (auto& batch : batches.epoch(1, EpochIndex{0})) (void)batch;
    }
    if (what == 4) {
      for (auto& batch : batches.epoch(1, EpochIndex{0})) {
        for (auto& inner : batches.epoch(2, EpochIndex{0})) (void)inner;
        (void)batch;
      }
    }
    if (what == 5) batches.start_epoch(1, EpochIndex{2}, 1, 2);
  };
  std::vector<double> seen;
  for (auto& batch : batches.epoch(5, EpochIndex{1})) {
    seen.push_back(batch.target.values()[0]);
    disturb();
  }
  CHECK(seen == firsts);

  seen.clear();
  batches.start_epoch(5, EpochIndex{1});
  std::optional<fake::Batch> batch;
  while (batches.next(batch)) {
    seen.push_back(batch->target.values()[0]);
    if (what < 2) disturb();  // an evaluation puts a loader back; the others are the caller's to put back
  }
  CHECK(seen == firsts);
}

TEST_CASE("a loop over an epoch keeps what its body asks of the loader, and is walked once") {
  auto batches = data::loader(fake::Line{8}, {.batch_size = 2});
  auto epoch = batches.epoch(0, EpochIndex{0});
  batches.seek(2);
  int count = 0;
  for (auto& batch : epoch) {
    (void)batch;
    ++count;
  }
  CHECK(count == 2);
  CHECK(code_of([&] {
          for (auto& batch : epoch) (void)batch;
        }) == "TACIT-RD134");
}

TEST_CASE("bad input: a second epoch of samples that can be walked once at a time, inside of the first") {
  struct First {
    fake::Batch operator()(std::span<fake::Batch> samples) const { return samples[0]; }
  };
  Generator generator;
  auto stream = data::batches_of(generator, {.batch_size = 2}, First{});
  CHECK(code_of([&] {
          for (auto& batch : stream.epoch(0, EpochIndex{0})) {
            for (auto& inner : stream.epoch(0, EpochIndex{1})) (void)inner;
            (void)batch;
          }
        }) == "TACIT-RD133");
}

TEST_CASE("bad input: data that change while they are walked") {
  struct Growing {
    std::shared_ptr<std::int64_t> count = std::make_shared<std::int64_t>(8);
    std::int64_t size() const { return *count; }
    fake::Batch get_batch(std::span<std::int64_t const> indices) const { return fake::Line{64}.get_batch(indices); }
  };
  Growing const growing;
  auto batches = data::loader(growing, {.batch_size = 2});
  batches.start_epoch(0, EpochIndex{0});
  for (std::int64_t const size : {9, 7, 0}) {
    *growing.count = size;
    CHECK(code_of([&] { batches.start_epoch(0, EpochIndex{1}); }) == "TACIT-RD132");
  }
  *growing.count = 8;
  batches.start_epoch(0, EpochIndex{1});

  std::vector<fake::Batch> container = line_of_batches(4);
  CHECK(code_of([&] {
          tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{Grow{&container}}};
          trainer.train(container, {.epochs = 1, .sink = tacit::Sink::none()});
        }) == "TACIT-RD136");
  CHECK(container.size() == 5);
}

TEST_CASE("a run without end and a window without bound are planned without overflow") {  // kind E
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{}};
  trainer.train(fake::Line{20}, {.epochs = most, .limit = {.updates = 7}, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(trainer.plan().updates == tacit::Updates{7});
  trainer.train(fake::Line{20}, {.epochs = most, .limit = {.samples = 6}, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(trainer.plan().updates == tacit::Updates{3});
  auto const result = trainer.train(fake::Line{20}, {.epochs = 2, .per_device_batch_size = 2, .gradient_accumulation = most, .sink = tacit::Sink::none()});
  CHECK(result.updates == tacit::Updates{2});  // the whole epoch is one window
  CHECK(trainer.plan().updates_per_epoch == tacit::Updates{1});
  CHECK_FALSE(trainer.plan().total_batch_size.is_set());
  trainer.train(fake::Line{20}, fake::Line{20}, {.epochs = 1, .per_device_batch_size = most, .gradient_accumulation = 2, .sink = tacit::Sink::none()});
  CHECK_FALSE(trainer.plan().total_batch_size.is_set());
  CHECK(trainer.plan().eval_total_batch_size == tacit::Samples{most});
}

}  // namespace shared_source_tests
