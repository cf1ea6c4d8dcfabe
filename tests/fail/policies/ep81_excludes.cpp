// expect: TACIT-EP81
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Tensor32 : tacit::Fp32 {
#ifdef FIX
  using excludes = tacit::list<tacit::Cpu>;
#else
  using excludes = tacit::Cpu;
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, fake::Gpu{}, Tensor32{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
