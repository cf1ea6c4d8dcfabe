// expect: TACIT-EC10
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/train/trainer.hpp"

struct PrintNorm {
#ifdef FIX
  void on(tacit::event::UpdateEnd const&, auto&) {}
#else
  void on(tacit::event::UpdateEnd const&) {}
#endif
};

int main() {
  tacit::CallbackPack pack{tacit::named<"seldom">(tacit::EveryN{.n = 100, .inner = PrintNorm{}})};
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, pack};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
