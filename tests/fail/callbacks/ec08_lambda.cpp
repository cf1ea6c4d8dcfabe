// expect: TACIT-EC08
#include "fake/tensor.hpp"
#include "tacit/callbacks/lambda.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  auto stop = tacit::stateless([](tacit::event::UpdateEnd const&, auto&) { return tacit::Flow::stop_run; });
#else
  auto stop = tacit::stateless([](tacit::event::UpdateEnd const&, auto&) { return true; });
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{stop}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
