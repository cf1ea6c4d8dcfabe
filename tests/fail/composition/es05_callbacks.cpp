// expect: TACIT-ES05
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Greet {
  void on(tacit::event::InitEnd const&, auto&) {}
};
using Task = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;

int main() {
  Task task{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}};
  tacit::Trainer<Task, tacit::Cpu, tacit::Fp32, tacit::SingleProcess, tacit::CallbackPack<Greet>> trainer{
#ifdef FIX
      task, tacit::CallbackPack{Greet{}}
#else
      task, tacit::CallbackPack{}
#endif
  };
  trainer.train(fake::Line{8}, {.epochs = 1});
}
