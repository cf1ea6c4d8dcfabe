// expect: TACIT-EM02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct hit_rate : tacit::Metric<"hit_rate", tacit::higher_is_better> {};

struct Show {
#ifdef FIX
  void on(tacit::event::TrainEpochEnd const&, auto& context) { last = context.latest(tacit::tag::train_loss{}); }
#else
  void on(tacit::event::TrainEpochEnd const&, auto& context) { last = context.latest(hit_rate{}); }
#endif
  double last = 0.0;
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Show{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
