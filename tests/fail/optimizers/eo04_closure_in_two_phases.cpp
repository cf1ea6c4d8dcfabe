// expect: TACIT-EO04
#include <utility>

#include "fake/tensor.hpp"
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
struct Loss {
  fake::Tensor loss;
};

int main() {
  auto step = [](fake::Linear& model, fake::Batch const& batch, auto&) { return Loss{fake::MeanSquaredError{}(model.forward(batch.input), batch.target)}; };
  auto model = std::make_shared<fake::Linear>();
#ifdef FIX
  tacit::Task task{model, Search{}, step, step};
#else
  tacit::Task task{tacit::phase<"a">(model, Search{}, step, step), tacit::phase<"b">(std::make_shared<fake::Linear>(), fake::Sgd{}, step, step)};
#endif
  tacit::Trainer trainer{std::move(task), tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
