// expect: TACIT-EV03
#include "fake/tensor.hpp"
#include "tacit/callbacks/lambda.hpp"
#include "tacit/train/trainer.hpp"

struct Save {
  static constexpr bool saves_state = true;
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};

int main() {
  auto loss = [weight = 0.5](fake::Tensor const& prediction, fake::Tensor const& target) {
    return fake::mean((prediction - target) * fake::Tensor{{weight}});
  };
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), tacit::stateless(loss), fake::Sgd{}, tacit::CallbackPack{Save{}}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), loss, fake::Sgd{}, tacit::CallbackPack{Save{}}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
