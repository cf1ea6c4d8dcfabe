// expect: TACIT-EC02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// No event has a member `prediction`, so nothing ever calls this handler.
struct Watch {
  template <class Event>
#ifdef FIX
    requires requires(Event const& event) { event.step; }
#else
    requires requires(Event const& event) { event.prediction; }
#endif
  void on(Event const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Watch{}}};
  trainer.evaluate(fake::Line{8});
}
