// expect: TACIT-ET06
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
#ifdef FIX
  using overrides = tacit::list<tacit::override::forward>;
#else
  using overrides = tacit::override::forward;
#endif
  fake::Tensor forward(fake::Tensor const& input, auto&) { return model->forward(input); }
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
