// expect: TACIT-ES02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Greet {
  void on(tacit::event::InitEnd const&, auto&) {}
};
struct Part {
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};

int main() {
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Greet{}, Part{}}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{Greet{}}, tacit::CallbackPack{Part{}}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
