// expect: TACIT-EM03
// fault T6
#include "fake/tensor.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
#ifdef FIX
                         tacit::CallbackPack{tacit::Ema{}}};
#else
                         tacit::CallbackPack{tacit::named<"fast">(tacit::Ema{.decay = 0.9}), tacit::named<"slow">(tacit::Ema{})}};
#endif
}
