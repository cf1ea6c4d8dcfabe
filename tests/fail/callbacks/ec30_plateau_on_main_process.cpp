// expect: TACIT-EC30
#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  tacit::ReduceOnPlateau<tacit::tag::train_loss> plateau{};
#ifdef FIX
  tacit::CallbackPack pack{plateau};
#else
  tacit::CallbackPack pack{tacit::OnMainProcess{plateau}};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, fake::Rank{}, pack};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
