// expect: TACIT-EV01
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Save {
  static constexpr bool saves_state = true;
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};
struct Numbered : fake::Gpu {
  int index = 0;
#ifdef FIX
  static void visit_config(auto& self, auto&& visit) { visit("index", self.index); }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Numbered{}, tacit::CallbackPack{Save{}}};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
