// expect: TACIT-ET30
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Spike {};

struct Mine : tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd> {
  fake::Tensor loss(fake::Tensor const& prediction, fake::Tensor const& target, [[maybe_unused]] auto& context) {
#ifndef FIX
    context.emit(Spike{});
#endif
    return criterion(prediction, target);
  }
};

int main() {
  tacit::Trainer trainer{Mine{{std::make_shared<fake::Linear>(), {}, {}}}, tacit::CallbackPack{}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
