// expect: TACIT-EV02
// fault T15: the visitor is there and has another form
#include "tacit/state/state.hpp"

struct Line {
  static constexpr std::string_view state_name = "line";
  double slope = 0.0;
#ifdef FIX
  static void visit_state(auto& self, auto&& visit) { visit("slope", self.slope); }
#else
  void visit_state(auto&& visit) { visit("slope", slope); }
#endif
};

int main() { return tacit::snapshot_state(Line{}).text.empty() ? 1 : 0; }
