// expect: TACIT-EC01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

template <class Inner>
struct Twice {
  using inner_type = Inner;
  Inner inner{};
  template <class Event, class Context>
    requires tacit::handles<Inner, Event, Context>
  void on(Event const& event, Context& context) {
    inner.on(event, context);
    inner.on(event, context);
  }
};
struct Watch {
#ifdef FIX
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#else
  void on(tacit::event::TrainStepEnd const&, auto) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Twice<Watch>{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
