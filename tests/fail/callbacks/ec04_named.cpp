// expect: TACIT-EC04
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Recorder {
  Recorder() = default;
  Recorder(Recorder const&) = delete;
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
#ifdef FIX
  Recorder recorder;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{tacit::named<"mine">(std::ref(recorder))}};
#else
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{tacit::named<"mine">(Recorder{})}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1});
}
