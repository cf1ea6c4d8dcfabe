// expect: TACIT-EC08
#include "fake/tensor.hpp"
#include "tacit/callbacks/any_callback.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  tacit::AnyCallback count{"count", [](tacit::AnyEvent const&, tacit::AnyContext&) {}};
#else
  tacit::AnyCallback count{"count", [](tacit::AnyEvent const&, tacit::AnyContext&) { return 1; }};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{std::move(count)}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
