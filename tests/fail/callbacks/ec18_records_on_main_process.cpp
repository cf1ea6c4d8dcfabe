// expect: TACIT-EC18
#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/train/trainer.hpp"

struct size_on_disk : tacit::Metric<"size_on_disk"> {};
struct RecordSize {
  using records = tacit::records<size_on_disk>;
  void on(tacit::event::TrainEpochEnd const&, auto& context) { context.record(size_on_disk{}, 1.0); }
};

int main() {
#ifdef FIX
  tacit::CallbackPack pack{RecordSize{}};
#else
  tacit::CallbackPack pack{tacit::OnMainProcess{RecordSize{}}};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, fake::Rank{}, pack};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
