// A task derived from `Supervised`: redeclare `forward`, `loss`, `train_step` or `eval_step`, and the defaults call what you
// declared. This one is a classifier of noisy pictures that adds noise in training, smooths its labels, and in evaluation
// averages the predictions for a picture and its mirror image.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <iostream>

// [task]
using Base = tacit::Supervised<torch::nn::SequentialImpl, tacit::loss::CrossEntropy, tacit::optim::AdamW>;

struct Classifier : Base {
  double noise = 0.5;

  // Called by train_step and eval_step, with what the batch holds as its input.
  at::Tensor forward(at::Tensor const& pictures, auto& context) {
    return model->forward(context.is_training() ? pictures + noise * torch::randn_like(pictures) : pictures);
  }

  // The loss that is recorded and differentiated.
  at::Tensor loss(at::Tensor const& prediction, at::Tensor const& target, auto& context) {
    auto const smooth = tacit::loss::CrossEntropy{.label_smoothing = 0.1};
    return context.is_training() ? smooth(prediction, target) : criterion(prediction, target);
  }

  // What callbacks see in evaluation; a struct with a `loss` and whatever else is of use.
  struct Evaluation {
    at::Tensor loss, prediction, disagreement;
  };
  Evaluation eval_step(tacit::data::Batch const& batch, auto& context) {
    auto const straight = forward(batch.input, context).softmax(1);
    auto const mirrored = forward(batch.input.flip({2}), context).softmax(1);
    auto const mean = (straight + mirrored) / 2;
    return {loss(mean.log(), batch.target, context), mean, straight.argmax(1) != mirrored.argmax(1)};
  }
};
// [/task]

struct disagreement : tacit::Metric<"disagreement"> {};

struct TrackDisagreement {
  using records = tacit::records<disagreement>;
  tacit::Mean share{};

  void on(tacit::event::EvalEpochStart const&, auto&) { share.reset(); }
  void on(tacit::event::EvalStepEnd const&, auto& context) { share.add(context.output().disagreement); }
  void on(tacit::event::EvalEpochEnd const&, auto& context) { context.record(disagreement{}, share); }
};

/// Pictures of 8 x 8 with a bright row (0), a bright column (1), or neither (2), under noise.
tacit::data::TensorDataset pictures(std::int64_t size) {
  auto const kind = torch::randint(3, {size});
  auto const images = 0.5 * torch::randn({size, 8, 8});
  auto const where = torch::randint(8, {size});
  for (std::int64_t i = 0; i < size; ++i) {
    auto const line = where[i].item<std::int64_t>();
    if (kind[i].item<std::int64_t>() == 0) images[i].select(0, line) += 1.0;
    if (kind[i].item<std::int64_t>() == 1) images[i].select(1, line) += 1.0;
  }
  return {images, kind};
}

int main() {
  torch::manual_seed(1);
  auto const train = pictures(1024);
  auto const valid = pictures(256);

  // [use]
  torch::nn::Sequential const model{torch::nn::Flatten(), torch::nn::Linear(64, 64), torch::nn::ReLU(), torch::nn::Linear(64, 3)};
  Classifier task{{.model = model.ptr(), .criterion = {}, .optimizer = {.lr = 0.01}}, 0.3};
  tacit::Trainer trainer{task, tacit::CallbackPack{TrackDisagreement{}}};
  auto const result = trainer.train(train, valid, {.epochs = 8, .per_device_batch_size = 32});
  // [/use]
  std::cout << trainer.describe();

  double const loss = result[tacit::tag::eval_loss{}];
  std::cout << "eval loss " << loss << ", the two views disagree on " << 100.0 * result[disagreement{}] << " % of the pictures\n";
  return loss < 0.6 && result[disagreement{}] > 0.0 && result[disagreement{}] < 0.3 ? 0 : 1;
}
