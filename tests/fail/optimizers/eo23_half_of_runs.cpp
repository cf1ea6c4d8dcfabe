// expect: TACIT-EO23
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Mine {
  template <class Parameters>
  struct bound {
    static constexpr bool maskable = true;
    void step(Parameters&, tacit::update_input<typename Parameters::tensor_type> const&) {}
    void parameters_changed(Parameters&) {}
#ifdef FIX
    void run_begins(Parameters const&) {}
    void run_ends(Parameters const&) noexcept {}
#else
    void run_begins(Parameters const&) {}
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
