// expect: TACIT-ES05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Alone : tacit::SingleProcess {};
using Task = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;

int main() {
  Task task{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}};
  tacit::Trainer<Task, tacit::Cpu, tacit::Fp32, Alone, tacit::CallbackPack<>> trainer{
#ifdef FIX
      task, Alone{}
#else
      task, tacit::SingleProcess{}
#endif
  };
  trainer.train(fake::Line{8}, {.epochs = 1});
}
