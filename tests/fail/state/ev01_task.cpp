// expect: TACIT-EV01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Save {
  static constexpr bool saves_state = true;
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};
struct Task : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  double smoothing = 0.1;
  fake::Tensor loss(fake::Tensor const& prediction, fake::Tensor const& target, auto&) {
    smoothing *= 0.5;
    return criterion(prediction, target);
  }
#ifdef FIX
  static void visit_state(auto& self, auto&& visit) { visit("smoothing", self.smoothing); }
#endif
};

int main() {
  tacit::Trainer trainer{Task{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{Save{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
