// expect: TACIT-EP78
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine {
  using slot = tacit::slot::device;
  template <class Parameters>
  struct bound : tacit::device_archetype::bound<Parameters> {
#ifdef FIX
    void release_memory() {}
#else
    void release_memory(int) {}
#endif
  };
  template <class Tensor>
  bound<Tensor> bind() const {
    return {};
  }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Mine{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
