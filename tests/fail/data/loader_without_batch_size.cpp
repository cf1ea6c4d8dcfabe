// expect-text: no matching function for call to 'loader
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  auto batches = tacit::data::loader(fake::Line{8}, {.batch_size = 4, .shuffle = true});
#else
  auto batches = tacit::data::loader(fake::Line{8}, {.shuffle = true});
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  trainer.train(batches, {.epochs = 1});
}
