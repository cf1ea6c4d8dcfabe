// expect: TACIT-ES01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Greet {
  void on(tacit::event::InitEnd const&, auto&) {}
};

int main() {
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Greet{}}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Greet{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
