// expect: TACIT-EC40
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Count {
#ifdef FIX
  void on(tacit::event::TrainEpochEnd const&, auto&) { ++calls; }
#else
  void on(tacit::event::TrainEpochEnd const&, ...) { ++calls; }
  void on(...) { ++calls; }
#endif
  int calls = 0;
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                         tacit::CallbackPack{Count{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
