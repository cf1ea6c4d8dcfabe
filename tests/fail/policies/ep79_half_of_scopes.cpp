// expect: TACIT-EP79
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine {
  using slot = tacit::slot::device;
  template <class Parameters>
  struct bound : tacit::device_archetype::bound<Parameters> {
    struct guard {
      guard() {}
      ~guard() {}
    };
    guard run_scope() { return {}; }
    void after_update() {}
#ifdef FIX
    guard forward_scope() { return {}; }
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
