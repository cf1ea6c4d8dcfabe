// expect: TACIT-ES05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

using Task = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;

int main() {
  Task task{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}};
#ifdef FIX
  tacit::Trainer<Task, fake::Gpu, tacit::Fp32, tacit::SingleProcess, tacit::CallbackPack<>> trainer{task, fake::Gpu{}};
#else
  tacit::Trainer<Task, fake::Gpu, tacit::Fp32, tacit::SingleProcess, tacit::CallbackPack<>> trainer{task, tacit::Cpu{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
