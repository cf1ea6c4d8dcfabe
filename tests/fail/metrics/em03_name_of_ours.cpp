// expect: TACIT-EM03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

#ifdef FIX
struct my_loss : tacit::Metric<"smooth_train_loss"> {};
#else
struct my_loss : tacit::Metric<"train_loss"> {};
#endif
struct Smooth {
  using records = tacit::records<my_loss>;
  void on(tacit::event::TrainEpochEnd const&, auto& context) { context.record(my_loss{}, 0.5); }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Smooth{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
