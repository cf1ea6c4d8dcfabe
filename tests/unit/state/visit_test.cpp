#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/tensor.hpp"
#include "laws/visitor_laws.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/default_callbacks.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/lambda.hpp"
#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/callbacks/trace.hpp"
#include "tacit/metric/accuracy.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/train/trainer.hpp"

namespace visit_tests {
namespace {

using laws::Broken;
Broken const none;

fake::Tensor make_tensor(double value) { return fake::Tensor{std::vector<double>{value}}; }

template <class Make>
Broken state_laws(Make const& make, std::size_t left_out = 0) {
  return laws::check_state(make, make_tensor, left_out);
}
template <class Make>
Broken config_laws(Make const& make, std::size_t left_out = 0) {
  return laws::check_config(make, make_tensor, left_out);
}

template <class T>
std::string printed(T const& part) {
  tacit::PrintingVisitor visitor;
  T::visit_state(part, visitor);
  return visitor.text();
}
/// The hash of one value.
template <class T>
std::uint64_t hash_of(T const& value) {
  tacit::HashingVisitor visitor;
  visitor("value", value);
  return visitor.hash();
}

tacit::History some_history() {
  tacit::History history;
  history.begin_run();
  history.record(tacit::tag::train_loss{}, tacit::EpochIndex{0}, tacit::Updates{5}, 0.5);
  history.record(tacit::tag::train_loss{}, tacit::EpochIndex{1}, tacit::Updates{10}, 0.25);
  history.record(tacit::tag::accuracy{}, tacit::EpochIndex{1}, tacit::Updates{10}, 0.75);
  history.end_run(tacit::StopReason::limit, tacit::Updates{10});
  history.begin_run();
  history.note_error("a callback threw");
  return history;
}

template <class Callback>
using CompositionOf = tacit::Composition<tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>, tacit::Cpu, tacit::Fp32, tacit::SingleProcess,
                                         tacit::CallbackPack<Callback>>;
template <class Callback>
auto bound(Callback callback) {
  return tacit::detail::bound_callback_t<Callback, CompositionOf<Callback>>{std::move(callback)};
}

}  // namespace

TEST_CASE("visitors of our own parts keep the laws") {
  CHECK(state_laws(some_history) == none);
  CHECK(state_laws([] { return tacit::History{}; }) == none);
  CHECK(state_laws([] { return tacit::HistoryEntry{0, tacit::EpochIndex{1}, tacit::Updates{2}, 0.5}; }) == none);
  CHECK(state_laws([] { return tacit::HistoryColumn{"loss", false, true, {}}; }) == none);
  CHECK(state_laws([] { return tacit::HistoryRun{tacit::StopReason::completed, true, tacit::Updates{3}, "none"}; }) == none);
  CHECK(state_laws([] { return tacit::basic_mean<fake::Tensor>{}; }) == none);
  CHECK(state_laws([] {
          tacit::basic_mean<fake::Tensor> mean;
          mean.add(make_tensor(2.0), 3.0);
          return mean;
        }) == none);
  CHECK(config_laws([] { return tacit::RunPlan{}; }) == none);
  CHECK(config_laws([] { return tacit::RunPlan{.epochs = 3, .clip_norm = 1.0, .seed = 7, .device = "cpu"}; }) == none);
}

TEST_CASE("visitors of shipped callbacks keep the laws") {
  using tacit::tag::eval_loss;
  CHECK(state_laws([] { return bound(tacit::TerminateOnNaN{}); }) == none);
  CHECK(state_laws([] { return bound(tacit::metric::Accuracy{}); }) == none);
  CHECK(config_laws([] { return tacit::EarlyStopping<eval_loss>{.patience = 3}; }) == none);
  CHECK(config_laws([] { return bound(tacit::EarlyStopping<eval_loss>{.patience = 3}); }) == none);
  CHECK(state_laws([] { return bound(tacit::EarlyStopping<eval_loss>{.patience = 3}); }) == none);
  CHECK(config_laws([] { return tacit::LimitBatches{.train = 3}; }) == none);
  CHECK(config_laws([] { return bound(tacit::LimitBatches{.train = 3}); }) == none);
  CHECK(config_laws([] { return tacit::Trace{}; }, 1) == none);  // where to write is no configuration
  CHECK(config_laws([] { return tacit::PrintProgress{}; }) == none);
  CHECK(config_laws([] { return tacit::LogMetrics{}; }) == none);
  CHECK(state_laws([] { return tacit::stateful([](tacit::event::UpdateEnd const&, auto&, int& n) { ++n; }, 4); }) == none);
  CHECK(config_laws([] { return bound(tacit::EveryN{.n = 3, .inner = tacit::LimitBatches{.train = 3}}); }) == none);
  CHECK(state_laws([] { return bound(tacit::EveryN{.n = 3, .inner = tacit::TerminateOnNaN{}}); }) == none);
  CHECK(state_laws([] { return bound(tacit::named<"mine">(tacit::TerminateOnNaN{})); }) == none);
}

// --- the laws find what they are for ---

namespace {

struct Forgets {
  int seen = 0;
  int forgotten = 0;
  static void visit_state(auto& self, auto&& visit) { visit("seen", self.seen); }
};
struct Twice {
  int a = 0;
  int b = 0;
  static void visit_state(auto& self, auto&& visit) {
    visit("a", self.a);
    visit("a", self.b);
  }
};
struct OtherWhenConst {
  int a = 0;
  int b = 0;
  static void visit_state(OtherWhenConst& self, auto&& visit) {
    visit("a", self.a);
    visit("b", self.b);
  }
  static void visit_state(OtherWhenConst const& self, auto&& visit) {
    visit("b", self.b);
    visit("a", self.a);
  }
};
struct ShowsAnother {
  int a = 0;
  int b = 0;
  static void visit_state(auto& self, auto&& visit) {
    if constexpr (std::is_const_v<std::remove_reference_t<decltype(self)>>) {
      visit("a", self.a);
      visit("b", self.a);
    } else {
      visit("a", self.a);
      visit("b", self.b);
    }
  }
};
struct Half {
  int kept = 0;
  int every = 10;
  static void visit_state(auto& self, auto&& visit) { visit("kept", self.kept); }
  static void visit_config(auto& self, auto&& visit) { visit("every", self.every); }
};
struct Random {
  int a = 0;
  static void visit_state(auto& self, auto&& visit) { visit("a", self.a); }
};

bool contains(Broken const& broken, std::string_view text) {
  return std::ranges::any_of(broken, [text](std::string const& law) { return law.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("the laws of visitors bite") {
  CHECK(contains(state_laws([] { return Forgets{}; }), "every member is visited: 2 members, 1 keys"));
  CHECK(contains(state_laws([] { return Twice{}; }), "every key is there once"));
  CHECK(contains(state_laws([] { return OtherWhenConst{}; }), "the same keys in the same order"));
  CHECK(contains(state_laws([] { return ShowsAnother{}; }), "the hash tells a change of 'b'"));
  int calls = 0;
  CHECK(contains(state_laws([&calls] { return Random{++calls}; }), "equal parts have equal hashes"));
  CHECK(state_laws([] { return Half{}; }) == none);
  CHECK(config_laws([] { return Half{}; }) == none);
}

// --- the form ---

namespace {

struct NotStatic {
  int a = 0;
  void visit_state(auto&& visit) { visit("a", a); }
};
struct MutableOnly {
  int a = 0;
  static void visit_state(MutableOnly& self, auto&& visit) { visit("a", self.a); }
};
class Hidden {
  static void visit_state(auto&, auto&&) {}
};
static_assert(tacit::visitable_state<Half> && tacit::visitable_config<Half> && !tacit::visitable_config<Forgets> && !tacit::visitable_state<int>);
static_assert(!tacit::visitable_state<NotStatic> && !tacit::visitable_state<MutableOnly> && !tacit::visitable_state<Hidden>);
static_assert(tacit::detail::names_visit_state<NotStatic> && tacit::detail::names_visit_state<Hidden> && !tacit::detail::names_visit_config<NotStatic>);

using Closure = decltype([](int x) { return x; });
struct lambda_in_name {
  void operator()() const {}
};
static_assert(tacit::detail::is_closure_v<Closure> && !tacit::detail::is_closure_v<lambda_in_name> && !tacit::detail::is_closure_v<int>);

}  // namespace

// --- printing ---

namespace {

struct Inner {
  double x = 0.5;
  static void visit_state(auto& self, auto&& visit) { visit("x", self.x); }
};
struct Setting {
  bool on = true;
  static void visit_config(auto& self, auto&& visit) { visit("on", self.on); }
};
enum class Color { red, green };
struct Nothing {};
struct Outer {
  int whole = -3;
  bool flag = false;
  Color color = Color::green;
  std::string text = "a \"b\"";
  tacit::Updates updates = 7;
  tacit::Samples samples = tacit::unset;
  tacit::EpochIndex epoch{2};
  std::vector<double> list{1.0, 2.0};
  std::optional<int> some = 4;
  std::optional<int> no{};
  std::chrono::seconds time{90};
  fake::Tensor tensor{std::vector<double>{1.0, 2.0, 3.0}};
  fake::Tensor undefined{};
  Inner inner{};
  Setting setting{};
  static void visit_state(auto& self, auto&& visit) {
    visit("whole", self.whole);
    visit("flag", self.flag);
    visit("color", self.color);
    visit("text", self.text);
    visit("updates", self.updates);
    visit("samples", self.samples);
    visit("epoch", self.epoch);
    visit("list", self.list);
    visit("some", self.some);
    visit("no", self.no);
    visit("time", self.time);
    visit("tensor", self.tensor);
    visit("undefined", self.undefined);
    visit("inner", self.inner);
    visit("setting", self.setting);
  }
};

}  // namespace

TEST_CASE("every kind of member is printed and hashed") {
  CHECK(printed(Outer{}) ==
        "whole = -3\nflag = false\ncolor = 1\ntext = \"a \"b\"\"\nupdates = 7\nsamples = unset\nepoch = 2\nlist = [2]\nsome = 4\nno = none\ntime = 90\n"
        "tensor = tensor of 3\nundefined = tensor, undefined\ninner.x = 0.500000\nsetting.on = true\n");
  CHECK(state_laws([] { return Outer{}; }) == none);
}

TEST_CASE("a hash tells keys, values and their borders apart") {
  auto const hash = [](auto const&... pair) {
    tacit::HashingVisitor visitor;
    (visitor(pair.first, pair.second), ...);
    return visitor.hash();
  };
  using Pair = std::pair<std::string_view, std::string>;
  CHECK(hash(Pair{"a", "b"}) == hash(Pair{"a", "b"}));
  CHECK(hash(Pair{"a", "b"}) != hash(Pair{"b", "a"}));
  CHECK(hash(Pair{"ab", "c"}) != hash(Pair{"a", "bc"}));
  CHECK(hash(Pair{"a", ""}, Pair{"b", ""}) != hash(Pair{"b", ""}, Pair{"a", ""}));
  CHECK(hash_of(0.0) != hash_of(-0.0));
  CHECK(hash_of(std::numeric_limits<double>::quiet_NaN()) == hash_of(std::numeric_limits<double>::quiet_NaN()));
  CHECK(hash_of(std::vector<int>{}) != hash_of(std::vector<int>{0}));
  CHECK(hash_of(std::vector<std::vector<int>>{{1}, {}}) != hash_of(std::vector<std::vector<int>>{{}, {1}}));
  CHECK(hash_of(std::optional<int>{}) != hash_of(std::optional<int>{0}));
  CHECK(hash_of(std::pair{1, 2}) != hash_of(std::pair{2, 1}));
  CHECK(hash_of(std::tuple{1, std::string{"a"}}) == hash_of(std::tuple{1, std::string{"a"}}));
  CHECK(hash_of(std::vector<bool>{true, false}) != hash_of(std::vector<bool>{false, true}));
  CHECK(hash_of(tacit::Updates{tacit::unset}) != hash_of(tacit::Updates{0}));
  CHECK(hash_of(fake::Tensor{}) != hash_of(fake::Tensor{std::vector<double>{}}));
  CHECK(hash_of(Nothing{}) == hash_of(Nothing{}));
}

TEST_CASE("lambdas with captures are known for what they are") {
  int captured = 3;
  auto const closure = [captured] { return captured; };
  auto const generic = [&captured](auto const& x) { return x + captured; };
  CHECK(tacit::detail::is_closure_v<std::remove_const_t<decltype(closure)>>);
  CHECK(tacit::detail::is_closure_v<std::remove_const_t<decltype(generic)>>);
  CHECK_FALSE(tacit::detail::is_closure_v<decltype(tacit::stateless(closure))>);
  auto const inner = [](auto const& x) { return [x] { return x; }; };
  CHECK(tacit::detail::is_closure_v<decltype(inner(1))>);
  struct Local {
    int operator()() const { return 0; }
  };
  auto const local = [] {
    struct InLambda {};
    return InLambda{};
  };
  CHECK_FALSE(tacit::detail::is_closure_v<Local>);
  CHECK_FALSE(tacit::detail::is_closure_v<decltype(local())>);
  CHECK(closure() + generic(1) + inner(1)() + Local{}() == 8);
}

TEST_CASE("what differs from run to run is saved but not hashed") {
  auto history = [](double rate) {
    tacit::History result = some_history();
    result.record(tacit::tag::samples_per_second{}, tacit::EpochIndex{1}, tacit::Updates{10}, rate);
    return result;
  };
  CHECK(tacit::state_hash(history(100.0)) == tacit::state_hash(history(200.0)));
  CHECK(tacit::state_hash(history(100.0)) == tacit::state_hash(some_history()));
  CHECK(printed(history(100.0)) == "columns = [3]\nruns = [2]\n");
}

}  // namespace visit_tests
