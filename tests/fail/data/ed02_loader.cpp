// expect: TACIT-ED02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Squares {
  std::int64_t size() const { return 8; }
#ifdef FIX
  fake::Batch get_batch(std::span<std::int64_t const> indices) const { return fake::Line{8}.get_batch(indices); }
#else
  fake::Batch get_sample(std::int64_t index) const { return fake::Line{8}.get_batch({&index, 1}); }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#ifdef FIX
  trainer.train(tacit::data::loader(Squares{}, {.batch_size = 4}), {.epochs = 1});
#else
  trainer.train(tacit::data::loader(Squares{}, {.batch_size = 4}), {.epochs = 1});
#endif
}
