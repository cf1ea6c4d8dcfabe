// expect: TACIT-EM13
// fault T20
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

#ifdef FIX
struct mine : tacit::Metric<"mine"> {};
#else
struct mine : tacit::Metric<""> {};
#endif
struct Watch {
  using records = tacit::records<mine>;
  void on(tacit::event::TrainEpochEnd const&, auto& context) { context.record(mine{}, 1.0); }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
