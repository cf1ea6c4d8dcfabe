// expect: TACIT-EO06
#include "fake/tensor.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/train/trainer.hpp"

// An optimizer whose rate has another name.
struct Own {
  struct bound {
    static constexpr bool maskable = false;
#ifdef FIX
    double lr = 0.1;
#else
    double rate = 0.1;
#endif
    void step(auto&, tacit::update_input<fake::Tensor> const&) {}
    void parameters_changed(auto&) {}
  };
  template <class Parameters>
  bound bind(Parameters&) const {
    return {};
  }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, Own{},
                         tacit::CallbackPack{tacit::ReduceOnPlateau<tacit::tag::train_loss>{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
