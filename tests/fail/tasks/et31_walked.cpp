// expect: TACIT-ET31
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Named : fake::Batch {
  int name = 0;
#ifdef FIX
  void for_each_tensor(auto const& visit) { visit(input), visit(target); }
  void for_each_tensor(auto const& visit) const { visit(input), visit(target); }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, fake::Gpu{}, tacit::CallbackPack{}};
  trainer.train(std::vector<Named>(3), {.epochs = 1});
}
