// expect: TACIT-EM01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct hit_rate : tacit::Metric<"hit_rate", tacit::higher_is_better> {};
template <class Tag>
struct StopEarly {
  using watches = tacit::watches<Tag>;
  double best = 0.0;
  tacit::Flow on(tacit::event::TrainingRunEpochEnd const&, auto& context) {
    bool const better = Tag::direction::better(context.latest(Tag{}), best);
    return better ? tacit::Flow::proceed : tacit::Flow::stop_run;
  }
};

#ifdef FIX
struct TrackHits {
  using records = tacit::records<hit_rate>;
  void on(tacit::event::TrainEpochEnd const&, auto& context) { context.record(hit_rate{}, 0.5); }
};
#else
struct TrackHits {
  void on(tacit::event::TrainEpochEnd const&, auto&) {}
};
#endif

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{TrackHits{}, StopEarly<hit_rate>{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
