// expect: TACIT-EO20
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine {
  template <class Parameters>
  struct bound {
    static constexpr bool maskable = true;
    double lr = 0.1;
#ifdef FIX
    void step(Parameters&, tacit::update_input<typename Parameters::tensor_type> const&) {}
#else
    static constexpr bool takes_closure = true;
    void step(Parameters&, tacit::update_input<typename Parameters::tensor_type> const&) {}
#endif
    void parameters_changed(Parameters&) {}
  };
  template <class Parameters>
  bound<Parameters> bind(Parameters&) const {
    return {};
  }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, Mine{}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
