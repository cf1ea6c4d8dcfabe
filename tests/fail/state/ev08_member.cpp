// expect: TACIT-EV08
#include "tacit/state/state.hpp"

struct Slope {
  double value = 0.0;
  double inverse = 0.0;
  static void visit_state(auto& self, auto&& visit) { visit("value", self.value); }
#ifdef FIX
  static void state_loaded(auto& self) noexcept { self.inverse = 1.0 / self.value; }
#else
  static void state_loaded(auto& self) { self.inverse = 1.0 / self.value; }
#endif
};
struct Line {
  static constexpr std::string_view state_name = "line";
  Slope slope{};
  static void visit_state(auto& self, auto&& visit) { visit("slope", self.slope); }
};

int main() {
  Line line{};
  tacit::stage_state("", "state.json", {}, "state.safetensors", {}, line).commit();
}
