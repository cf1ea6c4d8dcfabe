// expect: TACIT-EP11
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Fp8 {
  using slot = tacit::slot::precision;
#ifdef FIX
  template <class Parameters>
  tacit::Fp32::bound<Parameters> bind(auto const&) const {
    return {};
  }
#else
  template <class Parameters>
  tacit::Fp32::bound<Parameters> bind() const {
    return {};
  }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Fp8{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
