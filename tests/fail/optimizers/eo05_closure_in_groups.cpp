// expect: TACIT-EO05
#include <utility>

#include "fake/tensor.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/lookahead.hpp"
#include "tacit/train/trainer.hpp"

struct Search {
  double lr = 0.1;

  struct bound {
    static constexpr bool maskable = false;
    static constexpr bool takes_closure = true;
    template <class Closure>
    void step(auto&, Closure const& closure) {
      (void)closure()->values;
    }
    void parameters_changed(auto&) {}
  };
  template <class Parameters>
  bound bind(Parameters&) const {
    return {};
  }
};

int main() {
#ifdef FIX
  tacit::optim::Lookahead<Search> optimizer{};
#else
  tacit::optim::Lookahead<tacit::optim::Groups<Search>> optimizer{};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, optimizer, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
