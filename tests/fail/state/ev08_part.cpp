// expect: TACIT-EV08
#include "tacit/state/state.hpp"

struct Line {
  static constexpr std::string_view state_name = "line";
  double slope = 0.0;
  double inverse = 0.0;
  static void visit_state(auto& self, auto&& visit) { visit("slope", self.slope); }
#ifdef FIX
  static void state_loaded(auto& self) noexcept { self.inverse = 1.0 / self.slope; }
#else
  static void state_loaded(auto& self) { self.inverse = 1.0 / self.slope; }
#endif
};

int main() { return tacit::snapshot_state(Line{}).text.empty() ? 1 : 0; }
