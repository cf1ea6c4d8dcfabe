// expect: TACIT-ES05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct AbsoluteError {
  fake::Tensor operator()(fake::Tensor const& prediction, fake::Tensor const& target) const { return fake::mean(prediction - target); }
};
using Task = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;

int main() {
  tacit::Trainer<Task, tacit::Cpu, tacit::Fp32, tacit::SingleProcess, tacit::CallbackPack<>> trainer{
#ifdef FIX
      std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}
#else
      std::make_shared<fake::Linear>(), AbsoluteError{}, fake::Sgd{}
#endif
  };
  trainer.train(fake::Line{8}, {.epochs = 1});
}
