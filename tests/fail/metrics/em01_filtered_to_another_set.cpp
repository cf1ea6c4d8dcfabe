// expect: TACIT-EM01
// fault T5
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/train/trainer.hpp"

struct share : tacit::Metric<"share"> {
  static constexpr bool needs_evaluation = true;
};
struct Share {
  using records = tacit::records<share>;
  void on(tacit::event::EvalEpochEnd const&, auto& context) { context.record(share{}, 0.5); }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"clean", "noisy">{},
#ifdef FIX
                         tacit::CallbackPack{tacit::on_eval_set<"noisy">(Share{}), tacit::EarlyStopping<tacit::on<"noisy", share>>{}}};
#else
                         tacit::CallbackPack{tacit::on_eval_set<"clean">(Share{}), tacit::EarlyStopping<tacit::on<"noisy", share>>{}}};
#endif
}
