// expect: TACIT-ET24
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  fake::Tensor weights{};
  auto forward(fake::Tensor const& input, auto&) { return model->forward(input); }
#ifdef FIX
  void visit_tensors(auto const& visit) { visit(weights); }
#else
  void visit_tensors() {}
#endif
};

int main() {
  tacit::Trainer trainer{Mine{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
