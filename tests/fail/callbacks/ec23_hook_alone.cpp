// expect: TACIT-EC23
// fault U4
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
#ifdef FIX
  void on(tacit::event::TrainLossComputed const&, auto&) {}
#else
  template <class Event, class Context>
  static void on_train_step_end(Event const&, Context&) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
