// expect: TACIT-EV06
#include <optional>

#include "tacit/state/state.hpp"

// Local to the file and with an optional member: clang warned of a function that is not defined.
namespace {

struct Point {
#ifdef FIX
  int x = 0;
#else
  explicit Point(int start) : x{start} {}
  int x;
#endif
  std::optional<double> weight{};
  static void visit_state(auto& self, auto&& visit) {
    visit("x", self.x);
    visit("weight", self.weight);
  }
};
struct Path {
  static constexpr std::string_view state_name = "path";
  std::vector<Point> points{};
  static void visit_state(auto& self, auto&& visit) { visit("points", self.points); }
};

}  // namespace

int main() {
  Path path;
  tacit::SavedState const saved = tacit::snapshot_state(path);
  tacit::stage_state(saved.text, "state.json", {}, "state.safetensors", {}, path).commit();
}
