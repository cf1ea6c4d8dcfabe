#include <catch2/catch_test_macros.hpp>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

using namespace tacit;

namespace printed_tests {
namespace {

std::string text_of(auto const& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

struct Print {
  void on(event::TrainEpochEnd const& event, auto& context) {
    *out << "epoch " << event.epoch << " of " << context.plan().epochs << ", limit " << context.plan().updates_per_epoch
         << '\n';
  }
  std::ostringstream* out;
};

}  // namespace

TEST_CASE("U6: counts, places and reasons are written to a stream") {
  CHECK(text_of(Epochs{3}) == "3");
  CHECK(text_of(Samples{0}) == "0");
  CHECK(text_of(Updates{std::numeric_limits<std::int64_t>::max()}) == "9223372036854775807");
  CHECK(text_of(Updates{unset}) == "unset");
  CHECK(text_of(EpochIndex{7}) == "7");
  CHECK(text_of(StopReason::limit) == "limit reached");
  CHECK(text_of(Flow::end_epoch) == "end epoch");
  std::ostringstream out;
  (out << std::setw(4) << Epochs{12}) << '|' << MicroBatchIndex{0};
  CHECK(out.str() == "  12|0");
}

TEST_CASE("U6: a callback writes what the event and the plan say; results are written whole") {
  std::ostringstream out;
  Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{Print{&out}}};
  auto const result = trainer.train(fake::Line{8}, {.epochs = 2, .per_device_batch_size = 4});
  CHECK(out.str() == "epoch 0 of 2, limit 2\nepoch 1 of 2, limit 2\n");
  CHECK(text_of(result).starts_with("completed after 2 epochs, 4 updates: train_loss "));
  CHECK(text_of(trainer.evaluate(fake::Line{8})).starts_with("eval_loss "));
}

}  // namespace printed_tests
