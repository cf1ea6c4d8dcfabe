#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/callbacks/swa.hpp"
#include "tacit/callbacks/terminate_on_nan.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/schedule/field.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;
using tacit::Flow;
using tacit::StopReason;

namespace ranks_tests {
namespace {

struct Outcome {
  double weight = 0.0;
  double bias = 0.0;
  double train_loss = 0.0;
  double eval_loss = 0.0;
  tacit::Updates updates{};
  tacit::Samples samples{};
  StopReason reason = StopReason::completed;
};

template <class MakePack>
std::vector<Outcome> train_on(int ranks, std::int64_t samples, tacit::TrainOptions const& options, MakePack make_pack) {
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
  fake::run_ranks(ranks, [&](fake::Rank rank) {
    // Ranks start with different parameters: rank 0's must win.
    auto model = std::make_shared<fake::Linear>(0.5 + rank.number, 0.0 - rank.number);
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1, .momentum = 0.5}, rank, make_pack(rank.number)};
    auto const result = trainer.train(fake::Line{samples}, fake::Line{7}, options);
    outcomes[static_cast<std::size_t>(rank.number)] = {model->weight.item(), model->bias.item(), result[tag::train_loss{}], result[tag::eval_loss{}],
                                                       result.updates,       result.samples,     result.reason};
  });
  return outcomes;
}

bool close(double a, double b) { return std::abs(a - b) <= 1e-12 * std::max(std::abs(a), std::abs(b)); }

tacit::TrainOptions options_for(std::int64_t batch, std::int64_t accumulation) {
  return {.epochs = 3, .per_device_batch_size = batch, .eval_per_device_batch_size = 2, .gradient_accumulation = accumulation, .clip = {.norm = 1.5}, .seed = 3,
          .sink = tacit::Sink::none()};
}

}  // namespace

TEST_CASE("2, 3 and 4 ranks train what one process trains") {
  int const ranks = GENERATE(2, 3, 4);
  std::int64_t const samples = GENERATE(24, 25, 26, 29);
  std::int64_t const accumulation = GENERATE(1, 3);
  auto const none = [](int) { return CallbackPack{}; };
  Outcome const one = train_on(1, samples, options_for(2 * ranks, accumulation), none)[0];
  for (Outcome const& rank : train_on(ranks, samples, options_for(2, accumulation), none)) {
    CAPTURE(ranks, samples, accumulation);
    CHECK(close(rank.weight, one.weight));
    CHECK(close(rank.bias, one.bias));
    CHECK(close(rank.train_loss, one.train_loss));
    CHECK(close(rank.eval_loss, one.eval_loss));
    CHECK(rank.updates == one.updates);
    CHECK(rank.samples == one.samples);
  }
}

namespace {
struct StopOnRankOne {
  int rank;
  Flow on(event::UpdateEnd const& e, auto&) { return rank == 1 && e.update.value() == 2 ? Flow::stop_run : Flow::proceed; }
};
struct SkipOnRankOne {
  int rank;
  Flow on(event::TrainStepStart const& e, auto&) {
    return rank == 1 && e.step.value() % 2 == 0 ? Flow::skip_batch : Flow::proceed;
  }
};
/// What TerminateOnNaN does on a host: the update is masked, the run stops.
struct MaskOnRankOne {
  int rank;
  void on(event::TrainLossComputed const& e, auto& context) {
    if (rank == 1 && e.update.value() == 2) {
      context.mask_update();
      context.request_stop(StopReason::non_finite);
    }
  }
};
}  // namespace

TEST_CASE("ranks agree on a stop that one of them asks for") {
  auto const outcomes = train_on(2, 24, options_for(2, 1), [](int rank) { return CallbackPack{StopOnRankOne{rank}}; });
  CHECK(outcomes[0].updates == outcomes[1].updates);
  CHECK(outcomes[0].reason == StopReason::callback);
  CHECK(outcomes[1].reason == StopReason::callback);
  CHECK(outcomes[0].weight == outcomes[1].weight);
  CHECK(outcomes[0].updates <= tacit::Updates{4});
}

TEST_CASE("a rank that masks an update masks it on all ranks, and nothing of it happens") {
  auto const outcomes = train_on(2, 24, options_for(2, 1), [](int rank) { return CallbackPack{MaskOnRankOne{rank}}; });
  auto two_updates = options_for(2, 1);
  two_updates.limit.updates = 2;
  auto const expected = train_on(2, 24, two_updates, [](int) { return CallbackPack{}; });
  for (std::size_t rank = 0; rank < 2; ++rank) {
    CHECK(outcomes[rank].reason == StopReason::non_finite);
    CHECK(outcomes[rank].weight == expected[0].weight);
    CHECK(outcomes[rank].bias == expected[0].bias);
  }
}

TEST_CASE("a batch skipped on one rank has weight 0 in the update of all") {
  auto const outcomes = train_on(2, 24, options_for(3, 2), [](int rank) { return CallbackPack{SkipOnRankOne{rank}}; });
  CHECK(outcomes[0].weight == outcomes[1].weight);
  CHECK(outcomes[0].bias == outcomes[1].bias);
  CHECK(outcomes[0].samples == outcomes[1].samples);
  CHECK(outcomes[0].samples == tacit::Samples{3 * 24 - 3 * 2 * 3});
}

TEST_CASE("a rank that fails takes the others with it") {
  CHECK_THROWS(fake::run_ranks(2, [](fake::Rank rank) {
    auto model = std::make_shared<fake::Linear>();
    if (rank.number == 1) throw std::runtime_error{"rank 1 does not start"};
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, rank, CallbackPack{}};
    trainer.train(fake::Line{8}, {.epochs = 1, .sink = tacit::Sink::none()});
  }));
}

TEST_CASE("fewer samples than ranks: the rank without any takes part with weight 0") {
  auto const none = [](int) { return CallbackPack{}; };
  Outcome const one = train_on(1, 9, options_for(4, 1), none)[0];  // 4, 4, 1
  for (Outcome const& rank : train_on(4, 9, options_for(1, 1), none)) {
    CHECK(close(rank.weight, one.weight));
    CHECK(rank.updates == one.updates);
  }
}

TEST_CASE("the main process goes first, and its failure is known to all") {
  std::mutex mutex;
  std::vector<int> order;
  fake::run_ranks(3, [&](fake::Rank rank) {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, rank, CallbackPack{}};
    trainer.main_process_first([&] {
      std::lock_guard const lock{mutex};
      order.push_back(trainer.rank());
    });
    if (trainer.is_main_process() != (rank.number == 0) || trainer.world_size() != 3) throw std::runtime_error{"not the main process"};
  });
  REQUIRE(order.size() == 3);
  CHECK(order[0] == 0);
  std::vector<std::string> codes(2);
  fake::run_ranks(2, [&](fake::Rank rank) {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, rank, CallbackPack{}};
    try {
      trainer.main_process_first([] { throw tacit::DataError{"TACIT-RD01", "no file", "test", "none"}; });
    } catch (tacit::Error const& error) {
      codes[static_cast<std::size_t>(rank.number)] = error.code();
    }
  });
  CHECK(codes == std::vector<std::string>{"TACIT-RD01", "TACIT-RX23"});
}

namespace {

struct mean_of_steps : tacit::Metric<"mean_of_steps"> {};
/// Records a mean in every step, or after every update.
template <class Event>
struct RecordMean {
  using records = tacit::records<mean_of_steps>;
  void on(event::TrainLossComputed const&, auto& context) { mean_.add(context.output().loss, 1.0); }
  void on(Event const&, auto& context) { context.record(mean_of_steps{}, mean_); }
  tacit::basic_mean<fake::Tensor> mean_{};
};

}  // namespace

TEST_CASE("a mean over the ranks is recorded where all ranks are, and nowhere else") {
  auto code_of = [](auto make_pack, int ranks) {
    try {
      train_on(ranks, 5, options_for(1, 1), make_pack);  // one rank has no batch for the last step
    } catch (tacit::UsageError const& error) {
      return std::string{error.code()};
    }
    return std::string{"none"};
  };
  auto const in_step = [](int) { return CallbackPack{RecordMean<event::TrainStepEnd>{}}; };
  auto const after_update = [](int) { return CallbackPack{RecordMean<event::UpdateEnd>{}}; };
  CHECK(code_of(in_step, 2) == "TACIT-RU25");
  CHECK(code_of(in_step, 1) == "none");
  CHECK(code_of(after_update, 2) == "none");
}

namespace {

/// The error that a run of two ranks ends with; "code message", or "none".
template <class Body>
std::string error_of(Body const& body, int ranks = 2) {
  try {
    fake::run_ranks(ranks, body);
  } catch (tacit::Error const& error) {
    return error.code() + " " + error.what();
  }
  return "none";
}
std::string run_with(tacit::TrainOptions const& ours, tacit::TrainOptions const& theirs) {
  return error_of([&](fake::Rank rank) {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, rank, CallbackPack{}};
    trainer.train(fake::Line{12}, fake::Line{6}, rank.number == 0 ? ours : theirs);
  });
}
bool contains(std::string const& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("F2 F8: options that differ between ranks are refused before the first step, with both sides") {
  auto const base = options_for(2, 1);
  CHECK(run_with(base, base) == "none");
  struct Variant {
    char const* name;
    void (*change)(tacit::TrainOptions&);
    char const* shown;
  };
  for (Variant const& variant : std::vector<Variant>{
           {"seed", [](auto& o) { o.seed = 1; }, "seed: rank 0 has 3, rank 1 has 1"},
           {"epochs", [](auto& o) { o.epochs = 4; }, "epochs: rank 0 has 3, rank 1 has 4"},
           {"updates", [](auto& o) { o.limit.updates = 4; }, "limit.updates: rank 0 has unset, rank 1 has 4"},
           {"micro-batches", [](auto& o) { o.limit.micro_batches = 4; }, "limit.micro_batches: rank 0 has unset, rank 1 has 4"},
           {"samples", [](auto& o) { o.limit.samples = 4; }, "limit.samples: rank 0 has unset, rank 1 has 4"},
           {"duration", [](auto& o) { o.limit.duration = std::chrono::hours{1}; }, "limit.duration: rank 0 has 0, rank 1 has 3600000000000"},
           {"accumulation", [](auto& o) { o.gradient_accumulation = 2; }, "gradient_accumulation: rank 0 has 1, rank 1 has 2"},
           {"norm", [](auto& o) { o.clip.norm = 0.0; }, "clip.norm: rank 0 has 1.5, rank 1 has 0"},
           {"small difference", [](auto& o) { o.clip.norm = 1.5000000001; }, "rank 1 has 1.5000000001"},
           {"every epochs", [](auto& o) { o.evaluation.every_epochs = 2; }, "evaluation.every_epochs: rank 0 has 1, rank 1 has 2"},
           {"every updates", [](auto& o) { o.evaluation.every_updates = 2; }, "evaluation.every_updates: rank 0 has unset, rank 1 has 2"},
           {"log points", [](auto& o) { o.log_every = 7; }, "log_every: rank 0 has unset, rank 1 has 7"},
           {"batch size", [](auto& o) { o.per_device_batch_size = 3; }, "batch size of the training data: rank 0 has 2, rank 1 has 3"},
           {"eval batch size", [](auto& o) { o.eval_per_device_batch_size = 3; }, "batch size of the eval set: rank 0 has 2, rank 1 has 3"}}) {
    auto other = base;
    variant.change(other);
    std::string const error = run_with(base, other);
    CAPTURE(variant.name, error);
    CHECK(error.starts_with("TACIT-RX28"));
    CHECK(contains(error, variant.shown));
  }
}

namespace {
template <class Train>
std::string composed(Train const& train) {
  return error_of([&](fake::Rank rank) { train(rank, rank.number == 1); });
}
}  // namespace

TEST_CASE("F2: data, schedules and composition that differ between ranks are refused") {
  auto options = options_for(2, 1);
  options.eval_per_device_batch_size = tacit::unset;
  auto const trainer_with = [](fake::Rank rank, double lr, auto... callbacks) {
    return tacit::Trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{.lr = lr}, rank, CallbackPack{callbacks...}};
  };
  std::string const lengths = composed([&](fake::Rank rank, bool other) { trainer_with(rank, 0.1).train(fake::Line{other ? 12 : 20}, options); });
  CHECK(contains(lengths, "batches of an epoch of the training data: rank 0 has 5, rank 1 has 3"));
  // The same number of batches, of other sizes.
  std::string const samples = composed([&](fake::Rank rank, bool other) { trainer_with(rank, 0.1).train(fake::Line{other ? 19 : 20}, options); });
  CHECK(contains(samples, "samples of the training data: rank 0 has 20, rank 1 has 19"));
  std::string const eval = composed([&](fake::Rank rank, bool other) { trainer_with(rank, 0.1).train(fake::Line{8}, fake::Line{other ? 9 : 8}, options); });
  CHECK(contains(eval, "samples of the eval set: rank 0 has 8, rank 1 has 9"));
  std::string const alone = composed([&](fake::Rank rank, bool other) { trainer_with(rank, 0.1).evaluate(fake::Line{other ? 9 : 8}); });
  CHECK(contains(alone, "samples of the eval set: rank 0 has 8, rank 1 has 9"));
  std::string const calls = composed([&](fake::Rank rank, bool other) {
    auto trainer = trainer_with(rank, 0.1);
    if (other) {
      trainer.train(fake::Line{8}, options);
    } else {
      trainer.evaluate(fake::Line{8});
    }
  });
  CHECK(contains(calls, "call: rank 0 has evaluate, rank 1 has train"));
  std::string const loader_seed = composed([&](fake::Rank rank, bool other) {
    auto plain = options;
    plain.per_device_batch_size = tacit::unset;
    trainer_with(rank, 0.1).train(tacit::data::loader(fake::Line{8}, {.batch_size = 2, .shuffle = true, .seed = other ? 1 : 0}), plain);
  });
  CHECK(contains(loader_seed, "loader's seed of the training data: rank 0 has 0, rank 1 has 1"));
  std::string const ranges = composed([&](fake::Rank rank, bool other) {
    auto plain = options;
    plain.per_device_batch_size = tacit::unset;
    trainer_with(rank, 0.1).train(std::vector<fake::Batch>(other ? 6 : 4, fake::Batch{fake::Tensor{{1.0}}, fake::Tensor{{1.0}}}), plain);
  });
  CHECK(contains(ranges, "batches of an epoch of the training data: rank 0 has 2, rank 1 has 3"));
  std::string const rate = composed([&](fake::Rank rank, bool other) { trainer_with(rank, other ? 1e-7 : 2e-7).train(fake::Line{8}, options); });
  CHECK(contains(rate, "optimizer.lr: rank 0 has 2e-07, rank 1 has 1e-07"));
  std::string const schedules = composed([&](fake::Rank rank, bool other) {
    trainer_with(rank, 0.1).train(fake::Line{8}, options, tacit::lr(tacit::schedule::warmup(tacit::Updates{other ? 2 : 3}).then(tacit::schedule::cosine())));
  });
  CHECK(contains(schedules, "lr schedule: rank 0 has"));
  std::string const patience = composed([&](fake::Rank rank, bool other) {
    trainer_with(rank, 0.1, tacit::EarlyStopping<tag::eval_loss>{.patience = other ? 1 : 2}).train(fake::Line{8}, fake::Line{8}, options);
  });
  CHECK(contains(patience, ".patience: rank 0 has 2, rank 1 has 1"));
  std::string const limits = composed([&](fake::Rank rank, bool other) { trainer_with(rank, 0.1, tacit::LimitBatches{.train = other ? 1 : 2}).train(fake::Line{8}, options); });
  CHECK(contains(limits, "batches of an epoch of the training data: rank 0 has 2, rank 1 has 1"));
  std::string const session = composed([&](fake::Rank rank, bool other) {
    auto trainer = trainer_with(rank, 0.1);
    auto run = trainer.template session<fake::Batch>({.gradient_accumulation = other ? 2 : 1, .sink = tacit::Sink::none()});
    run.finish();
  });
  CHECK(contains(session, "gradient_accumulation: rank 0 has 1, rank 1 has 2"));
  for (std::string const& error : {lengths, samples, eval, alone, calls, loader_seed, ranges, rate, schedules, patience, limits, session}) {
    CAPTURE(error);
    CHECK(error.starts_with("TACIT-RX28"));
  }
}

namespace {

struct mine : tacit::Metric<"mine"> {};
struct speed : tacit::Metric<"speed", tacit::higher_is_better> {
  static constexpr bool is_volatile = true;
};
/// Fault U2: a number that each rank has of its own, and a watcher that acts on it.
struct RecordOwn {
  using records = tacit::records<mine>;
  double n = 0;
  void on(event::EvalEpochEnd const&, auto& context) { n += 1; context.record(mine{}, context.rank() == 0 ? 1.0 / n : n); }
};
template <class Event, class Tag>
struct RecordAt {
  using records = tacit::records<Tag>;
  void on(Event const&, auto& context) { context.record(Tag{}, 1.0 + context.rank()); }
};

}  // namespace

TEST_CASE("U2: a recorded number is rank 0's on all ranks, and watchers act alike") {
  for (bool improves_on_rank_0 : {true, false}) {
    std::vector<std::vector<double>> seen(3);
    fake::run_ranks(3, [&](fake::Rank rank) {
      auto model = std::make_shared<fake::Linear>();
      RecordOwn own{};
      if (!improves_on_rank_0) own.n = rank.number == 0 ? -100.0 : 0.0;  // 1/n falls
      tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, rank, CallbackPack{own, tacit::ReduceOnPlateau<mine>{.factor = 0.1, .patience = 1}, tacit::EarlyStopping<mine>{.patience = 4}}};
      auto const result = trainer.train(fake::Line{12}, fake::Line{6}, {.epochs = 6, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
      seen[static_cast<std::size_t>(rank.number)] = {model->weight.item(), model->bias.item(), trainer.view().optimizer().lr, result[mine{}], static_cast<double>(result.updates.value())};
    });
    CHECK(seen[1] == seen[0]);
    CHECK(seen[2] == seen[0]);
  }
}

TEST_CASE("U2: numbers of a step are refused on several processes, but volatile ones that nothing watches") {
  auto code_of = [](auto make_pack, int ranks) { return error_of([&](fake::Rank rank) {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, rank, make_pack()};
    trainer.train(fake::Line{5}, fake::Line{5}, {.epochs = 2, .per_device_batch_size = 1, .sink = tacit::Sink::none()});
  }, ranks).substr(0, 10); };
  CHECK(code_of([] { return CallbackPack{RecordAt<event::TrainStepEnd, mine>{}}; }, 2) == "TACIT-RU26");
  CHECK(code_of([] { return CallbackPack{RecordAt<event::EvalStepEnd, mine>{}}; }, 2) == "TACIT-RU26");
  CHECK(code_of([] { return CallbackPack{RecordAt<event::TrainStepEnd, mine>{}}; }, 1) == "none");
  CHECK(code_of([] { return CallbackPack{RecordAt<event::UpdateEnd, mine>{}}; }, 2) == "none");
  CHECK(code_of([] { return CallbackPack{RecordAt<event::TrainStepEnd, speed>{}}; }, 2) == "none");
  CHECK(code_of([] { return CallbackPack{RecordAt<event::TrainStepEnd, speed>{}, tacit::ReduceOnPlateau<speed>{}}; }, 2) == "TACIT-RU26");
}

namespace {

template <class Context>
concept talks_to_ranks = requires(Context& context, fake::Tensor const& tensor, std::span<double> numbers) {
  context.gather(tensor);
  context.reduce_sum(tensor);
  context.reduce_sum(1);
  context.reduce_sum(numbers);
  context.all_true(true);
};
template <class Context>
concept has_any = requires(Context& context, fake::Tensor const& tensor) { context.gather(tensor); } || requires(Context& context) { context.reduce_sum(1.0); } ||
                  requires(Context& context) { context.all_true(true); };

/// Fault U1: a confusion matrix by hand, rows of predictions of any number beside it.
struct Confusion {
  struct recall : tacit::Metric<"recall"> {};
  using records = tacit::records<recall>;
  std::vector<double>* out;
  fake::Tensor matrix_{};
  fake::Tensor rows_{};

  void on(event::EvalStepEnd const&, auto& context) {
    static_assert(!has_any<std::remove_reference_t<decltype(context)>>);
    if (!matrix_.defined()) matrix_ = fake::Tensor{std::vector<double>(4, 0.0)};
    std::vector<double> all = rows_.defined() ? rows_.values() : std::vector<double>{};
    for (double x : context.batch().input.values()) {
      matrix_->values[static_cast<std::size_t>(2 * (x >= 0.5) + (x >= 0.3))] += 1.0;
      all.push_back(x);
    }
    rows_ = fake::Tensor{std::move(all)};
  }
  void on(event::TrainLossComputed const&, auto& context) { static_assert(!has_any<std::remove_reference_t<decltype(context)>>); }
  void on(event::DataFetchEnd const&, auto& context) { static_assert(!has_any<std::remove_reference_t<decltype(context)>>); }
  void on(event::Aborted<tacit::stage::TrainStep> const&, auto& context) { static_assert(!has_any<std::remove_reference_t<decltype(context)>>); }
  void on(event::UpdateEnd const&, auto& context) { static_assert(talks_to_ranks<std::remove_reference_t<decltype(context)>>); }
  void on(event::TrainingRunStart const&, auto& context) { static_assert(talks_to_ranks<std::remove_reference_t<decltype(context)>>); }
  void on(event::EvalEpochEnd const&, auto& context) {
    static_assert(talks_to_ranks<std::remove_reference_t<decltype(context)>>);
    fake::Tensor const whole = context.reduce_sum(matrix_);
    fake::Tensor const rows = context.gather(rows_);
    double counts[2] = {1.0, static_cast<double>(rows_.defined() ? rows_.values().size() : 0)};
    context.reduce_sum(counts);
    *out = whole.values();
    out->push_back(static_cast<double>(rows.values().size()));
    double sum = 0.0;
    for (double x : rows.values()) sum += x;
    out->push_back(std::round(sum * 1e9));
    out->push_back(counts[1]);
    out->push_back(context.reduce_sum(rows_.defined() ? 1 : 0) >= 1.0 ? 1.0 : 0.0);
    out->push_back(context.all_true(rows.values().size() == 7) ? 1.0 : 0.0);
    out->push_back(context.all_true(context.rank() != context.world_size() - 1) ? 1.0 : 0.0);
    context.record(recall{}, whole.values()[3] / (whole.values()[2] + whole.values()[3]));
  }
};

}  // namespace

TEST_CASE("U1: a confusion matrix of one's own is exact on 1, 2, 3 and 8 ranks, some without a batch") {
  std::vector<double> one;
  {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{Confusion{&one}}};
    trainer.evaluate(fake::Line{7}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()});
  }
  for (int ranks : {1, 2, 3, 8}) {
    std::vector<std::vector<double>> seen(static_cast<std::size_t>(ranks));
    fake::run_ranks(ranks, [&](fake::Rank rank) {
      auto& mine_ = seen[static_cast<std::size_t>(rank.number)];
      tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, rank, CallbackPack{Confusion{&mine_}}};
      trainer.evaluate(fake::Line{7}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()});
    });
    for (auto const& rank : seen) CHECK(rank == one);
  }
}

namespace {

struct StepOut {
  fake::Tensor loss;
  double seen = 0.0;  // rows of all ranks
};
/// The loss is w^2 times the mean input of all ranks: every rank's step needs the others'.
auto across_step(std::vector<double>* seen) {
  return tacit::across_ranks([seen](fake::Linear& net, fake::Batch const& batch, auto& context) {
    fake::Tensor const all = context.gather(batch.input);
    auto const rows = static_cast<std::int64_t>(batch.input.values().size());
    std::int64_t const first = context.first_row(rows);
    double sum = 0.0;
    for (double x : all.values()) sum += x;
    for (std::size_t i = 0; i < batch.input.values().size(); ++i) {
      if (all.values().at(static_cast<std::size_t>(first) + i) != batch.input.values()[i]) throw std::logic_error{"these are not this rank's rows"};
    }
    double const count = context.reduce_sum(rows);
    if (count != static_cast<double>(all.values().size())) throw std::logic_error{"sum and gather differ"};
    if (!context.all_true(true)) throw std::logic_error{"all_true"};
    seen->push_back(count);
    double const mean = sum / count;
    return StepOut{(net.weight * net.weight) * fake::Tensor{{mean}}, count};
  });
}

}  // namespace

TEST_CASE("U1: a step that gathers over the ranks is that of one process, also where ranks have no batch, skip one or evaluate") {
  auto const run = [](int ranks, auto make_pack) {
    std::vector<std::vector<double>> outcomes(static_cast<std::size_t>(ranks));
    fake::run_ranks(ranks, [&](fake::Rank rank) {
      auto model = std::make_shared<fake::Linear>(0.5, 0.0);
      std::vector<double> seen;
      tacit::Trainer trainer{tacit::Task{model, fake::Sgd{.lr = 0.1}, across_step(&seen)}, rank, make_pack(rank.number)};
      auto const result = trainer.train(fake::Line{13}, fake::Line{7}, {.epochs = 2, .per_device_batch_size = 6 / ranks, .eval_per_device_batch_size = 6 / ranks, .sink = tacit::Sink::none()});
      outcomes[static_cast<std::size_t>(rank.number)] = {model->weight.item(), result[tag::train_loss{}], result[tag::eval_loss{}]};
    });
    return outcomes;
  };
  auto const none = [](int) { return CallbackPack{}; };
  auto const one = run(1, none)[0];
  for (int ranks : {2, 3}) {  // 13 = 6 + 6 + 1, 7 = 6 + 1: ranks but the first have no batch in the last steps
    for (auto const& rank : run(ranks, none)) {
      CAPTURE(ranks);
      for (std::size_t i = 0; i < 3; ++i) CHECK(close(rank[i], one[i]));
    }
  }
  // What rank 1 leaves out, the other ranks do not see.
  auto const skipped = run(2, [](int rank) { return CallbackPack{SkipOnRankOne{rank == 1 ? 1 : 0}}; });
  CHECK(skipped[0][0] == skipped[1][0]);
  CHECK(std::isfinite(skipped[0][0]));
}

namespace {

/// Weights that came on one rank alone, after the trainer was made.
void put(fake::Linear& model, double weight, double bias) {
  model.weight->values = {weight};
  model.bias->values = {bias};
}
struct PutAtStart {
  int rank;
  void on(event::TrainingRunStart const&, auto& context) {
    if (rank == 0) put(context.trainer().model(), 3.0, 0.25);
  }
};
/// What a callback copies at the run's start.
struct CopyAtStart {
  double* copy;
  void on(event::TrainingRunStart const&, auto& context) { *copy = context.trainer().model().weight.item(); }
};
/// Ends the run after the update on rank 0, before it on rank 1.
struct ThrowApart {
  int rank;
  bool* armed;
  void on(event::UpdateStart const& e, auto&) { fail_if(rank == 1 && e.update.value() == 1); }
  void on(event::UpdateEnd const& e, auto&) { fail_if(rank == 0 && e.update.value() == 1); }
  void fail_if(bool is_here) const {
    if (*armed && is_here) throw std::domain_error{"on purpose"};
  }
};

}  // namespace

TEST_CASE("a run begins with rank 0's model, whatever was put into it on one rank since the trainer was made") {
  struct Seen {
    double weight, bias, copy, eval_loss;
    bool operator==(Seen const&) const = default;
  };
  enum when { before, by_handler, between_runs, after_exception, in_session, in_evaluation };
  auto const run = [](int ranks, when at, bool freezes_bias) {
    std::vector<Seen> seen(static_cast<std::size_t>(ranks));
    fake::run_ranks(ranks, [&](fake::Rank rank) {
      auto model = std::make_shared<fake::Linear>(0.5, 0.0);
      model->bias->requires_grad = !freezes_bias;
      double copy = 0.0;
      bool armed = at == after_exception;
      tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, rank,
                             CallbackPack{PutAtStart{at == by_handler ? rank.number : 1}, CopyAtStart{&copy},
                                          ThrowApart{rank.number, &armed}}};
      auto const quiet = tacit::Sink::none();
      tacit::TrainOptions const options{
          .epochs = 1, .per_device_batch_size = 12 / ranks, .first_epoch = 0, .seed = 3, .sink = quiet};
      if (at == between_runs) trainer.train(fake::Line{24}, options);
      if (at == after_exception) {
        try {
          trainer.train(fake::Line{24}, options);
        } catch (std::domain_error const&) {
          armed = false;
        }
      }
      bool const is_put = at == before || at == between_runs || at == in_session || at == in_evaluation;
      if (is_put && rank.number == 0) put(*model, 2.0, 0.5);
      double eval_loss = trainer.rank();
      if (at == in_session) {
        auto session = trainer.template session<fake::Batch>({.sink = quiet});
        for (int step = 0; step < 3; ++step) session.step(fake::Line{2}.get_batch(std::vector<std::int64_t>{0, 1}));
        session.finish();
        eval_loss = 0.0;
      } else if (at == in_evaluation) {
        auto const result = trainer.evaluate(fake::Line{6}, {.per_device_batch_size = 6 / ranks, .sink = quiet});
        eval_loss = result[tag::eval_loss{}];
      } else {
        eval_loss = trainer.train(fake::Line{24}, options)[tag::train_loss{}];
      }
      if (at == by_handler) copy = 0.0;  // rank 0's handlers see what the other ranks get after them
      seen[static_cast<std::size_t>(rank.number)] = {model->weight.item(), model->bias.item(), copy, eval_loss};
    });
    return seen;
  };
  for (bool const freezes_bias : {false, true}) {
    for (when const at : {before, by_handler, between_runs, after_exception, in_session, in_evaluation}) {
      CAPTURE(at, freezes_bias);
      auto const two = run(2, at, freezes_bias);
      CHECK(two[0] == two[1]);
      if (at == after_exception) continue;  // one process meets it at one place
      auto const one = run(1, at, freezes_bias)[0];
      CHECK(close(two[1].weight, one.weight));
      CHECK(close(two[1].bias, one.bias));
      CHECK(close(two[1].copy, one.copy));
      CHECK(close(two[1].eval_loss, one.eval_loss));
    }
  }
}

TEST_CASE("averages are those of one model on all ranks, where weights come on one of them and after an exception") {
  auto const weights_of = [](int ranks, bool breaks, auto const& make_pack) {
    std::vector<std::pair<double, double>> weights(static_cast<std::size_t>(ranks));
    fake::run_ranks(ranks, [&](fake::Rank rank) {
      auto model = std::make_shared<fake::Linear>(0.5, 0.0);
      bool armed = breaks;
      tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, rank,
                             make_pack(rank.number, &armed)};
      tacit::TrainOptions const options{
          .epochs = 1, .per_device_batch_size = 12 / ranks, .seed = 3, .sink = tacit::Sink::none()};
      for (int run = 0; run < 2; ++run) {
        try {
          trainer.train(fake::Line{24}, options);
        } catch (std::domain_error const&) {
          armed = false;
        }
      }
      weights[static_cast<std::size_t>(rank.number)] = {model->weight.item(), model->bias.item()};
    });
    return weights;
  };
  tacit::Ema const average{.decay = 0.5, .leave_averaged = true};
  auto const loads_first = [&](int rank, bool* armed) {
    return CallbackPack{PutAtStart{rank}, average, ThrowApart{rank, armed}};
  };
  auto const loads_last = [&](int rank, bool* armed) {
    return CallbackPack{average, PutAtStart{rank}, ThrowApart{rank, armed}};
  };
  auto const loads_never = [&](int rank, bool* armed) {
    return CallbackPack{average, PutAtStart{1}, ThrowApart{rank, armed}};
  };
  auto const one = weights_of(1, false, loads_first)[0];
  auto const check = [&](std::vector<std::pair<double, double>> const& two) {
    CHECK(close(two[0].first, one.first));
    CHECK(close(two[0].second, one.second));
    CHECK(two[0] == two[1]);
  };
  check(weights_of(2, false, loads_first));
  check(weights_of(2, false, loads_last));
  auto const apart = weights_of(2, true, loads_never);
  CHECK(apart[0] == apart[1]);
}

TEST_CASE("ranks that have other parameters frozen are told apart") {
  std::string const error = error_of([](fake::Rank rank) {
    auto model = std::make_shared<fake::Linear>();
    tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{}, rank, CallbackPack{}};
    if (rank.number == 1) model->bias->requires_grad = false;
    trainer.evaluate(fake::Line{8}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()});
  });
  CAPTURE(error);
  CHECK(error.starts_with("TACIT-RX28"));
  CHECK(contains(error, "frozen parameters: rank 0 has 0, rank 1 has 1"));
}

TEST_CASE("TerminateOnNaN: a rank that has no batch at the log point keeps the update after its bad one from all") {
  bool const accumulates = GENERATE(false, true);
  auto const run = [&](bool is_bad, std::int64_t updates) {
    std::vector<std::vector<double>> parameters(2);
    std::vector<StopReason> reasons(2);
    fake::run_ranks(2, [&](fake::Rank rank) {
      // Rank 1 has batches 1, 3, 5 and 7; rank 0 alone has the ninth one, in the last update.
      std::vector<fake::Batch> batches;
      for (int i = 0; i < 9; ++i) {
        batches.push_back({fake::Tensor{{0.1 * i}}, fake::Tensor{{i == 7 && is_bad ? NAN : 1.0}}});
      }
      auto model = std::make_shared<fake::Linear>();
      tacit::Trainer trainer{model, fake::MeanSquaredError{}, fake::Sgd{.lr = 0.1}, rank,
                             CallbackPack{tacit::TerminateOnNaN{}}};
      tacit::TrainOptions options{.epochs = 1, .log_every = accumulates ? 3 : 5, .sink = tacit::Sink::none()};
      if (accumulates) options.gradient_accumulation = 2;
      if (updates > 0) options.limit.updates = updates;
      auto const result = trainer.train(batches, options);
      parameters[static_cast<std::size_t>(rank.number)] = {model->weight.item(), model->bias.item()};
      reasons[static_cast<std::size_t>(rank.number)] = result.reason;
    });
    CHECK(parameters[0] == parameters[1]);
    CHECK(reasons[0] == reasons[1]);
    return std::pair{parameters[0], reasons[0]};
  };
  auto const stopped = run(true, 0);
  CHECK(stopped.second == StopReason::non_finite);
  CHECK(stopped.first == run(false, accumulates ? 1 : 3).first);
}

TEST_CASE("RC89 names what waits for all ranks: here the steps") {
  std::string const error = error_of([](fake::Rank rank) {
    std::vector<double> seen;
    tacit::Trainer trainer{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, across_step(&seen)}, rank,
                           CallbackPack{tacit::AutoMicroBatch{}}};
    trainer.train(fake::Line{8}, {.epochs = 1, .per_device_batch_size = 2, .sink = tacit::Sink::none()});
  });
  CAPTURE(error);
  CHECK(error.starts_with("TACIT-RC89"));
  CHECK(contains(error, "steps of the task (across_ranks) wait for all ranks"));
  CHECK(contains(error, "a step that asks no other rank"));
  CHECK_FALSE(contains(error, "SyncBatchNorm"));
}

TEST_CASE("options of callbacks that act on all ranks are the same on all ranks, also behind adapters") {
  auto const error = [](auto const& make) {
    return composed([&](fake::Rank rank, bool other) {
      tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, rank,
                             CallbackPack{make(other)}};
      trainer.train(fake::Line{8}, fake::Line{8}, options_for(2, 1));
    });
  };
  auto const differs = [&](std::string const& found, std::string_view what) {
    CAPTURE(found);
    CHECK(found.starts_with("TACIT-RX28"));
    CHECK(contains(found, what));
  };
  differs(error([](bool other) { return tacit::Ema{.decay = other ? 0.5 : 0.75}; }),
          "decay: rank 0 has 0.75, rank 1 has 0.5");
  differs(error([](bool other) { return tacit::Swa{.leave_averaged = other}; }),
          "leave_averaged: rank 0 has false, rank 1 has true");
  differs(error([](bool other) { return tacit::TerminateOnNaN{.bad_updates_in_a_row = other ? 1 : 2}; }),
          "bad_updates_in_a_row: rank 0 has 2, rank 1 has 1");
  differs(error([](bool other) {
            return tacit::named<"average">(tacit::EveryN{.n = other ? 3 : 2, .inner = tacit::Ema{}});
          }),
          "n: rank 0 has 2, rank 1 has 3");
  CHECK(error([](bool) { return tacit::Ema{}; }) == "none");
}

}  // namespace ranks_tests
