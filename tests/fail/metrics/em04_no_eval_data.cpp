// expect: TACIT-EM04
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

template <class Tag>
struct StopEarly {
  using watches = tacit::watches<Tag>;
  double best = 0.0;
  tacit::Flow on(tacit::event::TrainingRunEpochEnd const&, auto& context) {
    bool const better = Tag::direction::better(context.latest(Tag{}), best);
    return better ? tacit::Flow::proceed : tacit::Flow::stop_run;
  }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{StopEarly<tacit::tag::eval_loss>{}}};
  fake::Line const data{8};
#ifdef FIX
  trainer.train(data, data, {.epochs = 1});
#else
  trainer.train(data, {.epochs = 1});
#endif
}
