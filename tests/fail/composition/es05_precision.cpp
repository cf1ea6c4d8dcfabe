// expect: TACIT-ES05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Half : tacit::Fp32 {};
using Task = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;

int main() {
  Task task{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}};
  tacit::Trainer<Task, tacit::Cpu, Half, tacit::SingleProcess, tacit::CallbackPack<>> trainer{
#ifdef FIX
      task, Half{}
#else
      task, tacit::Fp32{}
#endif
  };
  trainer.train(fake::Line{8}, {.epochs = 1});
}
