// expect: TACIT-EC17
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/train/trainer.hpp"

#ifdef FIX
#define NAME "ema"
#else
#define NAME "emma"
#endif

struct Watch {
  void on(tacit::event::EvalStepEnd const&, auto&) {}
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                         tacit::CallbackPack{tacit::Ema{}, tacit::on_eval_set<NAME>(Watch{})}};
  trainer.train(fake::Line{8}, fake::Line{8}, {.epochs = 1});
}
