// expect: TACIT-EO22
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine {
  template <class Parameters>
  struct bound {
    static constexpr bool maskable = true;
    void step(Parameters&, tacit::update_input<typename Parameters::tensor_type> const&) {}
    void parameters_changed(Parameters&) {}
#ifdef FIX
    void state_loaded() noexcept {}
#else
    void state_loaded() {}
#endif
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
