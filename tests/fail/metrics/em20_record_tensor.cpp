// expect: TACIT-EM20
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct hits : tacit::Metric<"hits", tacit::higher_is_better> {};

struct Hits {
  using records = tacit::records<hits>;
#ifdef FIX
  void on(tacit::event::TrainStepEnd const&, auto& context) {
    if (context.log_point() != nullptr) context.record(hits{}, context.loss());
  }
#else
  void on(tacit::event::TrainStepEnd const&, auto& context) {
    if (context.log_point() != nullptr) context.record(hits{}, context.output().loss);
  }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                         tacit::CallbackPack{Hits{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
