// expect: TACIT-EM12
// fault T6
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/train/trainer.hpp"

struct share : tacit::Metric<"share"> {
  static constexpr bool needs_evaluation = true;
};
struct Share {
  using records = tacit::records<share>;
  void on(tacit::event::EvalEpochEnd const&, auto& context) { context.record(share{}, 0.5); }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"clean">{},
#ifdef FIX
                         tacit::CallbackPack{tacit::on_eval_set<"clean">(Share{}), tacit::on_eval_set<"">(Share{})}};
#else
                         tacit::CallbackPack{tacit::named<"a">(Share{}), tacit::named<"b">(Share{})}};
#endif
}
