// expect: TACIT-EC15
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  tacit::CallbackPack pack{tacit::LimitBatches{.train = 2}};
#else
  tacit::CallbackPack pack{tacit::OnMainProcess{tacit::LimitBatches{.train = 2}}};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, pack};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
