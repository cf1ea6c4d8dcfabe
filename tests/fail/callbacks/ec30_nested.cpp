// expect: TACIT-EC30
#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  auto named = tacit::named<"average">(tacit::EveryN{.n = 2, .inner = tacit::Ema{}});
#ifdef FIX
  tacit::CallbackPack pack{named};
#else
  tacit::CallbackPack pack{tacit::OnMainProcess{named}};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, fake::Rank{}, pack};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
