// expect: TACIT-EM03
// fault T6
#include "fake/tensor.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/train/trainer.hpp"

int main() {
#ifdef FIX
  using sets = tacit::eval_sets<"clean">;
#else
  using sets = tacit::eval_sets<"ema">;
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, sets{}, tacit::CallbackPack{tacit::Ema{}}};
}
