#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include <catch2/catch_test_macros.hpp>

#include "support.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/any_callback.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/callbacks/auto_threads.hpp"
#include "tacit/callbacks/default_callbacks.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/callbacks/keep_frozen_norms.hpp"
#include "tacit/callbacks/lambda.hpp"
#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/callbacks/swa.hpp"
#include "tacit/callbacks/trace.hpp"
#include "tacit/metric/accuracy.hpp"
#include "tacit/state/visit.hpp"

// What holds for every shipped callback: it lists its events, its state can be visited, and it stands beside one that saves.

namespace event = tacit::event;
namespace tag = tacit::tag;
using tacit::CallbackPack;
using namespace support;

namespace visitors_tests {
namespace {

template <class... Callbacks>
using CompositionOf = tacit::Composition<tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>, tacit::Cpu, tacit::Fp32, tacit::SingleProcess,
                                         CallbackPack<Callbacks...>>;
template <class Callback>
using Bound = tacit::detail::bound_callback_t<Callback, CompositionOf<Callback>>;

template <class Callback>
constexpr bool is_in_order = requires { typename Callback::events; typename Bound<Callback>::events; } &&
                             (tacit::visitable_state<Bound<Callback>> || tacit::visitable_config<Bound<Callback>>) && std::is_move_constructible_v<Callback> &&
                             (std::is_aggregate_v<Callback> || std::same_as<Callback, tacit::AnyCallback>);
static_assert(is_in_order<tacit::TerminateOnNaN>);
static_assert(is_in_order<tacit::PrintProgress>);
static_assert(is_in_order<tacit::ProgressBar>);
static_assert(is_in_order<tacit::LogMetrics>);
static_assert(is_in_order<tacit::EarlyStopping<tag::eval_loss>>);
static_assert(is_in_order<tacit::LimitBatches>);
static_assert(is_in_order<tacit::AutoMicroBatch>);
static_assert(is_in_order<tacit::AutoThreads>);
static_assert(is_in_order<tacit::ReduceOnPlateau<tag::eval_loss>>);
static_assert(is_in_order<tacit::Ema>);
static_assert(is_in_order<tacit::Swa>);
static_assert(is_in_order<tacit::KeepFrozenNorms>);
static_assert(is_in_order<tacit::Trace>);
static_assert(is_in_order<tacit::AnyCallback>);
static_assert(is_in_order<tacit::metric::Accuracy>);
static_assert(tacit::visitable_state<Bound<tacit::TerminateOnNaN>>);
static_assert(tacit::visitable_state<Bound<tacit::metric::Accuracy>>);
static_assert(std::is_empty_v<tacit::PrintProgress> && std::is_empty_v<tacit::LogMetrics>);

struct Saves {
  static constexpr bool saves_state = true;
  void on(event::TrainingRunEnd const&, auto&) {}
};

struct NoPrediction {
  fake::Tensor loss;
};

}  // namespace

TEST_CASE("all of them stand in a pack that saves") {
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return NoPrediction{fake::mean(net.forward(batch.input))}; };
  tacit::Trainer one{tacit::Task{std::make_shared<fake::Linear>(), fake::Sgd{}, step},
                     CallbackPack{tacit::default_callbacks, Saves{}, tacit::EarlyStopping<tag::eval_loss>{.patience = 3}, tacit::LimitBatches{}, tacit::AutoMicroBatch{}, tacit::AutoThreads{},
                                  tacit::Ema{}, tacit::Swa{},
                                  tacit::Trace{.sink = tacit::Sink::none()}, tacit::AnyCallback{"a", [](tacit::AnyEvent const&, tacit::AnyContext&) {}},
                                  tacit::EveryN{.n = 2, .inner = tacit::named<"t">(tacit::Trace{.sink = tacit::Sink::none()})},
                                  tacit::stateless([](event::UpdateEnd const&, auto&) {}), tacit::stateful([](event::UpdateEnd const&, auto&, int& n) { ++n; }, 0)}};
  CHECK(one.train(batches(2), batches(1), {.epochs = 1, .sink = tacit::Sink::none()}).updates == tacit::Updates{2});
}

TEST_CASE("configuration and state are printed by their names") {
  auto config = []<class Callback>(Callback const& callback) {
    tacit::PrintingVisitor visitor;
    Bound<Callback> const bound{callback};
    Bound<Callback>::visit_config(bound, visitor);
    return visitor.text();
  };
  CHECK(config(tacit::EarlyStopping<tag::eval_loss>{.patience = 3}) == "patience = 3\nthreshold = 0.010000\nreset_on_train = true\n");
  CHECK(config(tacit::Ema{.decay = 0.5}) == "decay = 0.500000\nwarmup = true\nevaluate_every = 1\nleave_averaged = false\n");
  CHECK(config(tacit::Swa{.start = 2}) == "start = 2\nevery = 1\nevaluates = true\nleave_averaged = true\n");
  CHECK(config(tacit::LimitBatches{.train = 2}) == "train = 2\neval = unset\n");
  CHECK(config(tacit::EveryN{.n = 7, .inner = tacit::LimitBatches{.eval = 1}}) == "n = 7\ntrain = unset\neval = 1\n");
}

TEST_CASE("state is hashed member by member") {
  Bound<tacit::TerminateOnNaN> nan_state{tacit::TerminateOnNaN{}};
  tacit::PrintingVisitor visitor;
  Bound<tacit::TerminateOnNaN>::visit_state(nan_state, visitor);
  CHECK(visitor.text() == "found = false\nflag = tensor, undefined\nflagged = tensor, undefined\nsince = [0]\n"
                          "first = tensor, undefined\nlast_bad = -2\nhost_in_a_row = 0\nin_a_row = tensor, undefined\nskipped = tensor, undefined\ntold = 0\nwindow = -2\n");
  CHECK(tacit::state_hash(nan_state) == tacit::state_hash(Bound<tacit::TerminateOnNaN>{tacit::TerminateOnNaN{}}));
  Bound<tacit::metric::Accuracy> accuracy{tacit::metric::Accuracy{}};
  auto const before = tacit::state_hash(accuracy);
  Bound<tacit::metric::Accuracy>::visit_state(accuracy, [](std::string_view, auto& mean) { mean.add(0.5, 3.0); });
  CHECK(tacit::state_hash(accuracy) != before);
}

}  // namespace visitors_tests
