// expect: TACIT-ED01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Squares {
#ifdef FIX
  std::int64_t size() const { return 8; }
#else
  std::int64_t length() const { return 8; }
#endif
  fake::Batch get_batch(std::span<std::int64_t const> indices) const { return fake::Line{8}.get_batch(indices); }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
  fake::Line const data{8};
#ifdef FIX
  trainer.train(Squares{}, {.epochs = 1});
#else
  trainer.train(Squares{}, {.epochs = 1});
#endif
}
