// expect: TACIT-EM05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct TrackHits {
#ifdef FIX
  struct hits : tacit::Metric<"hits"> {};
#else
  struct hits {};
#endif
  using records = tacit::records<hits>;
  void on(tacit::event::TrainEpochEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{TrackHits{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
