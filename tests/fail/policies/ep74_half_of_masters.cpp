// expect: TACIT-EP74
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine {
  using slot = tacit::slot::precision;
  template <class Parameters>
  struct bound : tacit::precision_archetype::bound<Parameters> {
#ifdef FIX
    void prepare_parameters(Parameters&) {}
    void write_back(Parameters&) {}
#else
    void prepare_parameters(Parameters&) {}
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
