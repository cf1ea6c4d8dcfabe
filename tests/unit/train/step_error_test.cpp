#include <catch2/catch_test_macros.hpp>
#include <stdexcept>
#include <string>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

using namespace tacit;

namespace step_error_tests {
namespace {

template <class Thrown>
std::string what_of(std::string const& first, auto const& call) {
  try {
    call();
  } catch (Thrown const& error) {
    CHECK(typeid(error) == typeid(Thrown));
    CHECK(std::string{error.what()}.starts_with(first));
    return error.what();
  }
  return "nothing was thrown";
}

struct Out {
  fake::Tensor loss;
};

template <class Thrown>
auto failing(std::int64_t batch) {
  return [batch](fake::Linear& net, fake::Batch const& given, auto& context) {
    if (context.progress().step.value() == batch) throw Thrown{"sizes do not match"};
    return Out{fake::MeanSquaredError{}(net.forward(given.input), given.target)};
  };
}

}  // namespace

TEST_CASE("U7: an error of the tensor library in a step says where, and keeps its type") {
  Trainer trainer{Task{std::make_shared<fake::Linear>(), fake::Sgd{}, failing<fake::Error>(1)}, CallbackPack{}};
  std::string const text = what_of<fake::Error>(
      "sizes do not match", [&] { trainer.train(fake::Line{8}, {.epochs = 2, .per_device_batch_size = 4}); });
  CHECK(text.ends_with("in the step, epoch 0, batch 1; shapes of the batch: [4] [4]"));
  CHECK(trainer.history().runs().back().error.find("epoch 0, batch 1") != std::string::npos);
}

TEST_CASE("U7: in an evaluation, too") {
  Trainer trainer{Task{std::make_shared<fake::Linear>(), fake::Sgd{}, failing<fake::Error>(0)}, CallbackPack{}};
  std::string const text = what_of<fake::Error>("sizes do not match", [&] { trainer.evaluate(fake::Line{8}); });
  CHECK(text.find("in the evaluation's step, epoch 0; shapes of the batch: [8] [8]") != std::string::npos);
}

TEST_CASE("U7: the phase is named") {
  auto step = [](fake::Linear& net, fake::Batch const& given, auto&) {
    return Out{fake::MeanSquaredError{}(net.forward(given.input), given.target)};
  };
  Trainer trainer{Task{phase<"first">(std::make_shared<fake::Linear>(), fake::Sgd{}, step),
                       phase<"second">(std::make_shared<fake::Linear>(), fake::Sgd{}, failing<fake::Error>(0))},
                  CallbackPack{}};
  std::string const text =
      what_of<fake::Error>("sizes do not match", [&] { trainer.train(fake::Line{8}, {.epochs = 1}); });
  CHECK(text.find("in the step of phase second, epoch 0, batch 0;") != std::string::npos);
}

TEST_CASE("U7: another exception is as it was thrown") {
  Trainer trainer{Task{std::make_shared<fake::Linear>(), fake::Sgd{}, failing<std::runtime_error>(0)}, CallbackPack{}};
  CHECK(what_of<std::runtime_error>("sizes", [&] { trainer.train(fake::Line{8}, {.epochs = 1}); }) ==
        "sizes do not match");
}

}  // namespace step_error_tests
