// expect: TACIT-EV06
#include <optional>

#include "tacit/state/state.hpp"

namespace {

struct Point {
#ifdef FIX
  int x = 0;
  std::optional<double> weight{};
#else
  explicit Point(int start) : x{start} {}
  int x;
  std::optional<double> weight{};
#endif
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
