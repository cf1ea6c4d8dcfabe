// What can be saved can be loaded: the limits of readers are checked by writers. Faults C4 and T15.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "tacit/metric/history.hpp"
#include "tacit/state/state.hpp"

namespace {

template <class Body>
std::string code_of(Body const& body) {
  try {
    body();
    return "accepted";
  } catch (tacit::Error const& error) {
    return error.code();
  }
}
/// Saves a part in memory and loads it into another.
template <class Part>
void round_trip(Part const& from, Part& into) {
  tacit::SavedState const saved = tacit::snapshot_state(from);
  tacit::stage_state(saved.text, "state.json", std::as_bytes(std::span{saved.layout.head}), "state.safetensors", {}, into).commit();
}

struct Numbers {
  static constexpr std::string_view state_name = "numbers";
  std::vector<double> values{};

  static void visit_state(auto& self, auto&& visit) { visit("values", self.values); }
};

/// A chain of any length.
struct Node {
  static constexpr std::string_view state_name = "node";
  int number = 0;
  std::vector<Node> next{};

  static void visit_state(auto& self, auto&& visit) {
    visit("number", self.number);
    visit("next", self.next);
  }
};
Node chain(int length) {
  Node node{length, {}};
  for (int i = 1; i < length; ++i) {
    Node outer{length - i, {}};
    outer.next.push_back(std::move(node));
    node = std::move(outer);
  }
  return node;
}

struct Empty {};
struct Base {
  int not_counted = 0;
};
struct Forgetful {
  static constexpr std::string_view state_name = "forgetful";
  double slope = 0.0;
  std::optional<std::string> note{};
  double offset = 0.0;

  static void visit_state(auto& self, auto&& visit) {
    visit("slope", self.slope);
    visit("note", self.note);
  }
};
struct Partial : Base {
  static constexpr std::string_view state_name = "partial";
  static constexpr bool partial_state = true;
  double slope = 0.0;
  double scratch = 0.0;

  static void visit_state(auto& self, auto&& visit) { visit("slope", self.slope); }
};
struct Whole : Base {
  static constexpr std::string_view state_name = "whole";
  [[no_unique_address]] Empty nothing{};
  double slope = 0.0;
  double rate = 0.5;  // configuration

  static void visit_state(auto& self, auto&& visit) { visit("slope", self.slope); }
  static void visit_config(auto& self, auto&& visit) { visit("rate", self.rate); }
};
class Private {
 public:
  static constexpr std::string_view state_name = "private";
  static void visit_state(auto& self, auto&& visit) { visit("slope", self.slope_); }

 private:
  double slope_ = 0.0;
  [[maybe_unused]] double cache_ = 0.0;
};

static_assert(tacit::detail::field_count<Forgetful>() == 3);
static_assert(tacit::detail::field_count<Whole>() == 2);
static_assert(tacit::detail::field_count<Numbers>() == 1);
static_assert(tacit::detail::field_count<Private>() == 0);

}  // namespace

TEST_CASE("C4: a history of 620 000 entries comes back", "[long]") {
  tacit::History history;
  history.begin_run();
  for (int update = 0; update < 620'000; ++update) history.record("loss", false, false, tacit::EpochIndex{0}, tacit::Updates{update}, 0.5 * update);
  tacit::History again;
  round_trip(history, again);
  REQUIRE(again.columns().size() == 1);
  REQUIRE(again.columns()[0].entries.size() == 620'000);
  CHECK(again.columns()[0].entries.back().value == 0.5 * 619'999);
  CHECK(tacit::state_hash(again) == tacit::state_hash(history));
}

TEST_CASE("C4: more than 8 000 000 numbers come back", "[long]") {
  Numbers const numbers{std::vector<double>(8'000'001, 0.5)};
  Numbers again;
  round_trip(numbers, again);
  CHECK(again.values == numbers.values);
}

TEST_CASE("C4: what is nested too deep to be read is not saved") {
  int deepest = 0;
  for (int length = 1; length < 100; ++length) {
    Node const node = chain(length);
    std::string const saved = code_of([&] { (void)tacit::snapshot_state(node); });
    if (saved != "accepted") {
      CHECK(saved == "TACIT-RS41");
      break;
    }
    deepest = length;
    Node again;
    REQUIRE_NOTHROW(round_trip(node, again));
    REQUIRE(tacit::state_hash(again) == tacit::state_hash(node));
  }
  CHECK(deepest >= 15);
  CHECK(deepest < 30);
  CHECK(code_of([] { (void)tacit::snapshot_state(chain(5000)); }) == "TACIT-RS41");
}

TEST_CASE("C4: a manifest or an index that would be too long to be read is not written") {
  CHECK(code_of([] { tacit::detail::check_can_be_read(std::string(100'000'001, 'x'), "checkpoint-0000000001"); }) == "TACIT-RS47");
  std::string const long_name(60'000'000, 'n');
  std::vector<tacit::safetensors::TensorView> const views{{long_name + "a", tacit::safetensors::Dtype::u8, {1}, std::as_bytes(std::span{long_name}.first(1))},
                                                          {long_name + "b", tacit::safetensors::Dtype::u8, {1}, std::as_bytes(std::span{long_name}.first(1))}};
  CHECK(code_of([&] { (void)tacit::safetensors::shard(views, 1); }) == "TACIT-RS47");
}

TEST_CASE("T15: a visitor that forgets a member of an aggregate is told so when it is to be saved") {
  CHECK(code_of([] { (void)tacit::snapshot_state(Forgetful{}); }) == "TACIT-RS44");
  try {
    (void)tacit::snapshot_state(Forgetful{});
  } catch (tacit::StateError const& error) {
    CHECK(std::string{error.what()}.find("forgetful: has 3 members, its visitor shows 2") != std::string::npos);
  }
  CHECK(code_of([] { (void)tacit::snapshot_state(Partial{}, Whole{}, Private{}, Numbers{}); }) == "accepted");
}
