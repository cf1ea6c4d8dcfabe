// expect: TACIT-EM03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct hit_rate : tacit::Metric<"hit_rate", tacit::higher_is_better> {};
#ifdef FIX
struct other_rate : tacit::Metric<"other_rate"> {};
#else
struct other_rate : tacit::Metric<"hit_rate"> {};
#endif
struct TrackHits {
  using records = tacit::records<hit_rate, other_rate>;
  void on(tacit::event::TrainEpochEnd const&, auto& context) {
    context.record(hit_rate{}, 0.5);
    context.record(other_rate{}, 0.5);
  }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{TrackHits{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
