// expect: TACIT-EO02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Descent {
  double lr = 0.1;

  struct bound {
    static constexpr bool maskable = true;
    void step(auto&, tacit::update_input<fake::Tensor> const&) {}
#ifdef FIX
    void parameters_changed(auto&) {}
#endif
  };
  template <class Parameters>
  bound bind(Parameters&) const {
    return {};
  }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, Descent{.lr = 0.5}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
