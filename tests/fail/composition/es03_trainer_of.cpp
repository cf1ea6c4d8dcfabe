// expect: TACIT-ES03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

#ifdef FIX
using Trainer = tacit::trainer_of<fake::Linear, fake::MeanSquaredError, fake::Sgd, tacit::CallbackPack<>>;
#else
using Trainer = tacit::trainer_of<fake::Linear, fake::Sgd, tacit::CallbackPack<>>;
#endif

struct Experiment {
  std::unique_ptr<Trainer> trainer;
};
