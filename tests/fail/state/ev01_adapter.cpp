// expect: TACIT-EV01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Save {
  static constexpr bool saves_state = true;
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};
template <class Inner>
struct EverySecond {
  using inner_type = Inner;
  [[no_unique_address]] Inner inner{};
  bool now = false;
  template <class Event, class Context>
    requires tacit::handles<Inner, Event, Context>
  void on(Event const& event, Context& context) {
    now = !now;
    if (now) inner.on(event, context);
  }
#ifdef FIX
  static void visit_state(auto& self, auto&& visit) { visit("now", self.now); }
#endif
};
struct Greet {
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{tacit::named<"greet">(EverySecond<Greet>{}), Save{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
