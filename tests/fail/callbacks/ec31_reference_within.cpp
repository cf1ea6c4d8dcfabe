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
  auto name = tacit::named<"count">(std::ref(count));
  tacit::CallbackPack pack{tacit::OnMainProcess{name}};
#else
  auto name = tacit::named<"count">(CountUpdates{});
  tacit::CallbackPack pack{tacit::OnMainProcess{std::ref(name)}};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, std::move(pack)};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
