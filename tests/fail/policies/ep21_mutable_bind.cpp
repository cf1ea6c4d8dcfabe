// expect: TACIT-EP21
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Ring {
  using slot = tacit::slot::distribution;
#ifdef FIX
  template <class Parameters>
  tacit::SingleProcess::bound<Parameters> bind(auto const&) const {
    return {};
  }
#else
  template <class Parameters>
  tacit::SingleProcess::bound<Parameters> bind(auto const&) {
    return {};
  }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Ring{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
