// expect: TACIT-EP72
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine {
  using slot = tacit::slot::distribution;
  template <class Parameters>
  struct bound : tacit::distribution_archetype::bound<Parameters> {
#ifdef FIX
    struct guard {
      guard() {}
      ~guard() {}
    };
    bool needs_every_rank() const { return false; }
    guard absent() { return {}; }
#else
    bool needs_every_rank() const { return false; }
#endif
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Mine{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
