// expect-text: deleted
#include "fake/tensor.hpp"
#include "tacit/state/optimizer_state.hpp"

struct Bound {
  double rate = 0.1;
  static void visit_state(auto& self, auto&& visit) { visit("rate", self.rate); }
};

int main() {
  auto const model = std::make_shared<fake::Linear>();
  auto parameters = tacit::parameters_of(*model);
  Bound optimizer;
#ifdef FIX
  tacit::OptimizerState const state{optimizer, parameters};
#else
  tacit::OptimizerState const state{optimizer, tacit::parameters_of(*model)};
#endif
  static_cast<void>(state);
}
