// expect: TACIT-EM01
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
#ifdef FIX
  tacit::CallbackPack pack{StopEarly<tacit::on<"clean", tacit::tag::eval_loss>>{}};
#else
  tacit::CallbackPack pack{StopEarly<tacit::on<"clear", tacit::tag::eval_loss>>{}};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"clean">{}, pack};
  fake::Line const clean{4};
  trainer.train(fake::Line{8}, fake::Line{4}, {.epochs = 1}, tacit::eval_data<"clean">(clean));
}
