#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;
using tacit::Flow;
using tacit::StopReason;

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

TEST_CASE("ranks agree on a stop that one of them wishes") {
  auto const outcomes = train_on(2, 24, options_for(2, 1), [](int rank) { return CallbackPack{StopOnRankOne{rank}}; });
  CHECK(outcomes[0].updates == outcomes[1].updates);
  CHECK(outcomes[0].reason == StopReason::callback);
  CHECK(outcomes[1].reason == StopReason::callback);
  CHECK(outcomes[0].weight == outcomes[1].weight);
  CHECK(outcomes[0].updates <= tacit::Updates{4});
}

TEST_CASE("a rank that masks an update masks it on all ranks, and nothing of it happens") {  // 1Q-18
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
