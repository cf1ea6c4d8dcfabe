// expect: TACIT-EP01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Tpu {
  using slot = tacit::slot::device;
#ifdef FIX
  template <class Tensor>
  tacit::Cpu::bound<Tensor> bind() const {
    return {};
  }
#else
  template <class Tensor>
  void bind() const {}
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Tpu{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
