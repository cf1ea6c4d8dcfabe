// expect: TACIT-EC20
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  tacit::CallbackPack pack{tacit::named<"micro">(tacit::AutoMicroBatch{})};
#else
  tacit::CallbackPack pack{tacit::OnMainProcess{tacit::AutoMicroBatch{}}};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, pack};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
