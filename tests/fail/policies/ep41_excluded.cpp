// expect: TACIT-EP41
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Tensor32 : tacit::Fp32 {
  using excludes = tacit::list<tacit::Cpu>;
};

int main() {
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, fake::Gpu{}, Tensor32{}, tacit::CallbackPack{}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::Cpu{}, Tensor32{}, tacit::CallbackPack{}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
