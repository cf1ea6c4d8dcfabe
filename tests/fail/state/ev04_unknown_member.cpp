// expect: TACIT-EV04
#include "tacit/state/visit.hpp"

struct Window {
  std::vector<double> values;
#ifdef FIX
  static void visit_state(auto& self, auto&& visit) { visit("values", self.values); }
#endif
};
struct Average {
  Window window{};
  static void visit_state(auto& self, auto&& visit) { visit("window", self.window); }
};

int main() { return tacit::state_hash(Average{}) == 0 ? 1 : 0; }
