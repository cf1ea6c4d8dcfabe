// expect: TACIT-EC03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct LogLine {
  std::string file;
  void on(tacit::event::UpdateEnd const&, auto&) {}
};

int main() {
  LogLine a{.file = "a"};
  LogLine b{.file = "b"};
#ifdef FIX
  tacit::CallbackPack pack{std::ref(a), tacit::named<"b">(std::ref(b))};
#else
  tacit::CallbackPack pack{std::ref(a), std::ref(b)};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, pack};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
