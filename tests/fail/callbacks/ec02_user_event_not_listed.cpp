// expect: TACIT-EC02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Spike {
  double loss;
};
struct Alarm {
#ifdef FIX
  using events = tacit::event::list<Spike>;
#endif
  void on(Spike const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Alarm{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
