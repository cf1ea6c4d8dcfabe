// expect: TACIT-EC03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct LogLine {
  std::string file;
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
#ifdef FIX
  tacit::CallbackPack pack{LogLine{.file = "a"}, tacit::named<"second">(LogLine{.file = "b"})};
#else
  tacit::CallbackPack pack{LogLine{.file = "a"}, LogLine{.file = "b"}};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, pack};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
