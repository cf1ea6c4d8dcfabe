// expect-text: deleted
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// fault T7: the trainer may be the last who holds the model.
auto make() {
  return tacit::Trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
}
int main() {
#ifdef FIX
  auto const trainer = make();
  auto& model = trainer.model();
#else
  auto& model = make().model();
#endif
  model.train(true);
}
