// expect: TACIT-EC31
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/train/trainer.hpp"

struct CountUpdates {
  int updates = 0;
  void on(tacit::event::UpdateEnd const&, auto&) { ++updates; }
};

int main() {
#ifdef FIX
  CountUpdates count;
  tacit::CallbackPack pack{tacit::EveryN{.n = 2, .inner = std::ref(count)}};
#else
  auto every = tacit::EveryN{.n = 2, .inner = CountUpdates{}};
  tacit::CallbackPack pack{std::ref(every)};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, std::move(pack)};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
