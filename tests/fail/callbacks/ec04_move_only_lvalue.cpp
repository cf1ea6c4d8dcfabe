// expect: TACIT-EC04
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Recorder {
  std::unique_ptr<int> count = std::make_unique<int>(0);
  void on(tacit::event::UpdateEnd const&, auto&) { ++*count; }
};

int main() {
  Recorder recorder;
#ifdef FIX
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{std::move(recorder)}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{recorder}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
