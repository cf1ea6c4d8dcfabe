// expect: TACIT-EC02
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Watch {
#ifdef FIX
  void on(tacit::event::TrainStepEnd const&, auto&) {}
#endif
};
using Trainer = tacit::trainer_of<fake::Linear, fake::MeanSquaredError, fake::Sgd, tacit::CallbackPack<Watch>>;

void train(Trainer& trainer, fake::Line const& data) { trainer.train(data, {.epochs = 1}); }
