// expect: TACIT-EM04
#include "fake/tensor.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/train/trainer.hpp"

struct hit_rate : tacit::Metric<"hit_rate", tacit::higher_is_better> {
  static constexpr bool needs_evaluation = true;
};
struct Hits {
  using records = tacit::records<hit_rate>;
  void on(tacit::event::EvalEpochEnd const&, auto& context) { context.record(hit_rate{}, 0.5); }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                         tacit::CallbackPack{Hits{}, tacit::EarlyStopping<hit_rate>{.patience = 2}}};
#ifdef FIX
  trainer.train(fake::Line{8}, fake::Line{8}, {.epochs = 1});
#else
  trainer.train(fake::Line{8}, {.epochs = 1});
#endif
}
