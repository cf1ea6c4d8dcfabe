// expect: TACIT-EP70
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine {
  using slot = tacit::slot::distribution;
  template <class Parameters>
  struct bound : tacit::distribution_archetype::bound<Parameters> {
#ifdef FIX
    void begin_forward(Parameters&, auto&) {}
    void during_backward(Parameters&, auto const&, auto const& backward) { backward(); }
#else
    void begin_forward(Parameters&, auto&) {}
    void during_backwards(Parameters&, auto const&, auto const& backward) { backward(); }
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
