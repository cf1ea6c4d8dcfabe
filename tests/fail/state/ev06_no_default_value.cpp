// expect: TACIT-EV06
#include "tacit/state/state.hpp"

struct Point {
#ifdef FIX
  int x = 0;
#else
  explicit Point(int start) : x{start} {}
  int x;
#endif
  static void visit_state(auto& self, auto&& visit) { visit("x", self.x); }
};
struct Path {
  static constexpr std::string_view state_name = "path";
  std::vector<Point> points{};
  static void visit_state(auto& self, auto&& visit) { visit("points", self.points); }
};

int main() {
  Path path;
  tacit::stage_state("", "state.json", {}, "state.safetensors", {}, path).commit();
}
