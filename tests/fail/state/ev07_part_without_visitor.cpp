// expect: TACIT-EV07
// fault T15: the part has a name
#include "tacit/state/state.hpp"

struct Line {
  static constexpr std::string_view state_name = "line";
  double slope = 0.0;
#ifdef FIX
  static void visit_state(auto& self, auto&& visit) { visit("slope", self.slope); }
#endif
};

int main() {
  Line line;
  tacit::CheckpointWriter writer{"x"};
  tacit::save_state(writer, 1, {}, line, tacit::named_part("other", line));
  tacit::load_state(tacit::Checkpoint{"x"}, {}, line);
}
