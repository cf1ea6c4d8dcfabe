// expect: TACIT-EC09
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// The event is the user's own and in no list, so the mistake is met where the event is emitted.
struct Spike {
  double loss;
};
struct Watch {
  void on(tacit::event::TrainStepEnd const&, auto& context) { context.emit(Spike{.loss = 1.0}); }
};
struct Alarm {
  void on(tacit::event::TrainEpochEnd const&, auto&) {}
#ifdef FIX
  void on(Spike const& spike, auto&) { last = spike.loss; }
#else
  void on(Spike& spike, auto&) { last = spike.loss; }
#endif
  double last = 0.0;
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}, Alarm{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
