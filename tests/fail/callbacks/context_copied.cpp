// expect-text: deleted
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// A context ends with the call of its handler: it is not kept.
struct Watch {
#ifdef FIX
  void on(tacit::event::TrainEpochEnd const&, auto& context) { last = context.progress(); }
#else
  void on(tacit::event::TrainEpochEnd const&, auto& context) {
    auto copy = context;
    last = copy.progress();
  }
#endif
  tacit::Progress last{};
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                         tacit::CallbackPack{Watch{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
