// expect: TACIT-ES07
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Remind {
  tacit::required<int> every;
  void on(tacit::event::UpdateEnd const&, auto&) {}
};
using Task = tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>;

int main() {
  Task task{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}};
#ifdef FIX
  tacit::Trainer<Task, tacit::Cpu, tacit::Fp32, tacit::SingleProcess, tacit::CallbackPack<Remind>> trainer{task, tacit::CallbackPack{Remind{.every = 10}}};
#else
  tacit::Trainer<Task, tacit::Cpu, tacit::Fp32, tacit::SingleProcess, tacit::CallbackPack<Remind>> trainer{task};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
