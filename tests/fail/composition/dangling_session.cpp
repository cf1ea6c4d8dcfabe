// expect-text: deleted
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// fault T7: the session would outlive its trainer.
auto make() {
  return tacit::Trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{}};
}
int main() {
#ifdef FIX
  auto trainer = make();
  auto session = trainer.session<fake::Batch>();
#else
  auto session = make().session<fake::Batch>();
#endif
  session.step(fake::Batch{});
}
