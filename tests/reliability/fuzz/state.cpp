// State files: a part with a member of every kind is staged from them. What is refused leaves the part as it was.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "reliability/fuzz/mutate.hpp"
#include "tacit/state/state.hpp"

namespace {

struct Inner {
  std::int8_t small = 1;
  std::optional<float> maybe{};

  static void visit_state(auto& self, auto&& visit) {
    visit("small", self.small);
    visit("maybe", self.maybe);
  }
};
struct Part {
  static constexpr std::string_view state_name = "p";
  static constexpr int state_version = 2;
  std::uint64_t steps = 7;
  std::string text = "\xff";
  tacit::Updates updates{3};
  std::vector<Inner> inners{};
  std::map<std::string, std::vector<bool>> table{};
  std::tuple<int, double> both{};
  std::array<std::uint8_t, 2> two{};
  Inner inner{};

  static void visit_state(auto& self, auto&& visit) {
    visit("steps", self.steps);
    visit("text", self.text);
    visit("updates", self.updates);
    visit("inners", self.inners);
    visit("table", self.table);
    visit("both", self.both);
    visit("two", self.two);
    visit("inner", self.inner);
  }
  static void migrate_state(std::uint64_t, tacit::StateMembers& members) {
    if (members.has("count")) members.rename("count", "steps");
    members.set("two", std::array<std::uint8_t, 2>{1, 2});
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static std::string const tensors = tacit::safetensors::serialize({});
  static std::uint64_t const untouched = tacit::state_hash(Part{});
  Part part;
  try {
    tacit::stage_state({reinterpret_cast<char const*>(data), size}, "state.json", std::as_bytes(std::span{tensors}), "state.safetensors", {.allow_added = {"p.inner"}}, part).commit();
    Part again;
    tacit::SavedState const saved = tacit::snapshot_state(part);
    tacit::stage_state(saved.text, "again", std::as_bytes(std::span{tensors}), "tensors", {}, again).commit();
    if (tacit::state_hash(again) != tacit::state_hash(part)) std::abort();
  } catch (tacit::StateError const&) {
    if (tacit::state_hash(part) != untouched) std::abort();
  }
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return give_back(mutated_json({reinterpret_cast<char const*>(data), size}, max_size, seed), data, max_size);
}
