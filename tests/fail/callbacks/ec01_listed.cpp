// expect: TACIT-EC01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Spike {
  double loss;
};
struct Alarm {
  using events = tacit::event::list<Spike>;
#ifdef FIX
  void on(Spike const&, auto&) {}
#else
  void on(Spike const&, auto) {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Alarm{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
