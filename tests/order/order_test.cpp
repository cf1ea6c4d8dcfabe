#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/tensor.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/trace.hpp"
#include "tacit/train/trainer.hpp"

// The events of whole runs, line by line, against approved texts beside this file. Where a change of the order is meant, the
// text that the failing test prints becomes the new file.

namespace event = tacit::event;
using tacit::CallbackPack;

namespace order_tests {
namespace {

std::string approved(std::string const& name) {
  std::ifstream file{std::filesystem::path{__FILE__}.parent_path() / name, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

template <class... Callbacks>
std::string trace(std::int64_t samples, tacit::TrainOptions options, Callbacks... callbacks) {
  std::ostringstream text;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{tacit::Trace{.sink = text}, callbacks...}};
  options.sink = tacit::Sink::none();
  trainer.train(fake::Line{samples}, fake::Line{2}, options);
  return text.str();
}

/// The names in front of each line's fields.
std::vector<std::string> names(std::string const& text) {
  std::vector<std::string> result;
  std::istringstream stream{text};
  for (std::string line; std::getline(stream, line);) {
    line.erase(0, line.find_first_not_of(' '));
    result.push_back(line.substr(0, line.find(' ')));
  }
  return result;
}

}  // namespace

TEST_CASE("two epochs of three batches: accumulation, clipping, evaluation") {
  CHECK(trace(6, {.epochs = 2, .per_device_batch_size = 2, .gradient_accumulation = 2, .clip = {.norm = 1.0}}) == approved("two_epochs.txt"));
}

TEST_CASE("evaluations inside an epoch, and a limit in the middle of one") {
  CHECK(trace(8, {.epochs = 2, .limit = {.updates = 3}, .per_device_batch_size = 2, .evaluation = {.every_updates = 2}}) == approved("inside_evaluation.txt"));
}

TEST_CASE("two phases") {
  struct Output {
    fake::Tensor loss;
  };
  auto step = [](fake::Linear& net, fake::Batch const& batch, auto&) { return Output{fake::mean(net.forward(batch.input))}; };
  std::ostringstream text;
  tacit::Trainer trainer{tacit::Task{tacit::phase<"critic">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
                                     tacit::phase<"actor">(std::make_shared<fake::Linear>(), fake::Sgd{}, step)},
                         CallbackPack{tacit::Trace{.sink = text}}};
  trainer.train(fake::Line{6}, fake::Line{2}, {.epochs = 1, .per_device_batch_size = 2, .gradient_accumulation = 2, .sink = tacit::Sink::none()});
  CHECK(text.str() == approved("two_phases.txt"));
}

TEST_CASE("an evaluation on its own, and an early stop") {
  std::ostringstream text;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, CallbackPack{tacit::Trace{.sink = text}}};
  trainer.evaluate(fake::Line{3}, {.per_device_batch_size = 2, .sink = tacit::Sink::none()});
  CHECK(text.str() == approved("evaluation.txt"));
  CHECK(trace(2, {.epochs = 5, .per_device_batch_size = 2}, tacit::EarlyStopping<tacit::tag::eval_loss>{.threshold = 100.0}) == approved("early_stop.txt"));
}

TEST_CASE("the order of pytorch-accelerated is ours") {
  // Recorded from the original: one epoch of two micro-batches, accumulation 2, clipping, one eval batch. It clips each
  // micro-batch, we clip the whole gradient once; that hook of the first one has no counterpart.
  std::vector<std::string> const hooks{"on_training_run_start", "on_train_epoch_start",
                                       "on_train_step_start", "calculate_train_batch_loss", "on_train_step_end", "backward_step",
                                       "on_train_step_start", "calculate_train_batch_loss", "on_train_step_end", "backward_step", "_clip_gradients",
                                       "optimizer_step", "scheduler_step", "optimizer_zero_grad", "on_train_epoch_end",
                                       "on_eval_epoch_start", "on_eval_step_start", "calculate_eval_batch_loss", "on_eval_step_end", "on_eval_epoch_end",
                                       "on_training_run_epoch_end", "on_training_run_end"};
  // The first of our events that tells that the hook's work is done; "" where the next hook's event tells it too.
  std::vector<std::pair<std::string, std::string>> const table{{"on_training_run_start", "TrainingRunStart"},
                                                               {"on_train_epoch_start", "TrainEpochStart"},
                                                               {"on_train_step_start", "TrainStepStart"},
                                                               {"calculate_train_batch_loss", ""},
                                                               {"on_train_step_end", "TrainLossComputed"},
                                                               {"backward_step", "TrainStepEnd"},
                                                               {"_clip_gradients", "UpdateStart"},
                                                               {"optimizer_step", ""},
                                                               {"scheduler_step", ""},
                                                               {"optimizer_zero_grad", "UpdateEnd"},
                                                               {"on_train_epoch_end", "TrainEpochEnd"},
                                                               {"on_eval_epoch_start", "EvalEpochStart"},
                                                               {"on_eval_step_start", "EvalStepStart"},
                                                               {"calculate_eval_batch_loss", ""},
                                                               {"on_eval_step_end", "EvalStepEnd"},
                                                               {"on_eval_epoch_end", "EvalEpochEnd"},
                                                               {"on_training_run_epoch_end", "TrainingRunEpochEnd"},
                                                               {"on_training_run_end", "TrainingRunEnd"}};
  std::vector<std::string> expected;
  for (std::string const& hook : hooks) {
    auto const row = std::ranges::find(table, hook, &std::pair<std::string, std::string>::first);
    REQUIRE(row != table.end());
    if (!row->second.empty()) expected.push_back(row->second);
  }
  std::vector<std::string> ours = names(trace(4, {.epochs = 1, .per_device_batch_size = 2, .gradient_accumulation = 2, .clip = {.norm = 1.0}}));
  // The original has no event for these.
  std::erase_if(ours, [](std::string const& name) {
    return name == "InitEnd" || name == "TrainingRunEpochStart" || name == "DataFetchStart" || name == "DataFetchEnd";
  });
  CHECK(ours == expected);
}

}  // namespace order_tests
