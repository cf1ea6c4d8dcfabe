// expect: TACIT-ES01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

namespace my {
struct scheduler_slot;
}
struct Cosine {
#ifdef FIX
  using slot = tacit::slot::callbacks;
#else
  using slot = my::scheduler_slot;
#endif
};

int main() {
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}, Cosine{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
