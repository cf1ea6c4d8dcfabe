// expect: TACIT-ET07
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Sounds {
  fake::Tensor wave;
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
#ifdef FIX
  auto session = trainer.session<fake::Batch>();
  session.step(fake::Line{2}.get_batch(std::vector<std::int64_t>{0, 1}));
#else
  auto session = trainer.session<Sounds>();
  session.step(Sounds{});
#endif
  session.finish();
}
