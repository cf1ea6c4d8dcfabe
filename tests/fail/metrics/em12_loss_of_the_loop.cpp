// expect: TACIT-EM12
// fault T6
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct mine : tacit::Metric<"mine"> {};
struct Watch {
#ifdef FIX
  using tag = mine;
#else
  using tag = tacit::tag::train_loss;
#endif
  using records = tacit::records<tag>;
  void on(tacit::event::TrainEpochEnd const&, auto& context) { context.record(tag{}, 1.0); }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
