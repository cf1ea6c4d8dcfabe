// expect: TACIT-EC02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

void print_norm() {}
struct PrintNorm {
  void on(tacit::event::UpdateEnd const&, auto&) { print_norm(); }
};

int main() {
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{PrintNorm{}}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{&print_norm}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
