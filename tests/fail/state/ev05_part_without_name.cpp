// expect: TACIT-EV05
#include "tacit/state/state.hpp"

struct Counter {
#ifdef FIX
  static constexpr std::string_view state_name = "counter";
#endif
  int steps = 0;
  static void visit_state(auto& self, auto&& visit) { visit("steps", self.steps); }
};

int main() { return tacit::snapshot_state(Counter{}).text.empty() ? 1 : 0; }
