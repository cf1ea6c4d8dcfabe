// Random transforms of images in batches: in the dataset that is trained on, and in a loop of one's own.

// expect: 12 steps on soft targets
// expect: the same for 0 and 2 workers: yes
// expect: by hand the same: yes

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <tacit/data/transformed.hpp>
#include <tacit/data/transforms.hpp>
#include <tacit/tacit.hpp>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <vector>

struct Classifier : torch::nn::Module {
  torch::nn::Linear scores{3 * 16 * 16, 10};
  Classifier() { register_module("scores", scores); }
  at::Tensor forward(at::Tensor const& images) { return scores->forward(images.flatten(1)); }
};

int main() {
  using namespace tacit;
  at::Tensor const images = at::arange(48 * 3 * 16 * 16).mul(37).remainder(256).view({48, 3, 16, 16}).to(at::kByte);
  at::Tensor const labels = at::arange(48).remainder(10);

  // [compose]
  namespace transform = data::transform;
  auto const augment = transform::Sequence{transform::RandomCrop{.height = 16, .width = 16, .padding = 2},
                                           transform::HorizontalFlip{},
                                           transform::ToFloat{},
                                           transform::Rotate{.degrees = transform::Range{-15, 15}},
                                           transform::ColorJitter{.brightness = {0.8, 1.2}, .hue = {-0.05, 0.05}},
                                           transform::Normalize{.mean = {0.5}, .std = {0.25}},
                                           transform::RandomErasing{.probability = 0.25}};
  data::TensorDataset const photos{images, labels};  // uint8
  auto const train = data::transformed(photos, augment);
  // [/compose]

  // [train]
  auto const mixed = data::mixed(train, transform::MixUp{.classes = 10, .alpha = 0.2});
  Trainer trainer{std::make_shared<Classifier>(), loss::CrossEntropy{}, optim::Sgd{.lr = 1e-3}, CallbackPack{}};
  auto const result = trainer.train(mixed, {.epochs = 2, .per_device_batch_size = 8, .seed = 1});
  // [/train]
  std::cout << result.updates.value() << " steps on soft targets\n";

  bool same = true;
  auto alone = data::loader(mixed, {.batch_size = 8, .seed = 1});
  auto ahead = data::loader(mixed, {.batch_size = 8, .seed = 1, .workers = 2});
  alone.start_epoch(1, EpochIndex{0});
  ahead.start_epoch(1, EpochIndex{0});
  std::optional<data::Batch> one, other;
  while (alone.next(one)) same = ahead.next(other) && at::equal(one->input, other->input) && at::equal(one->target, other->target) && same;
  std::cout << "the same for 0 and 2 workers: " << (same ? "yes" : "no") << '\n';

  // [by_hand]
  std::vector<std::int64_t> const samples{3, 1, 4};
  auto random = data::sample_generators(/*seed*/ 1, EpochIndex{0}, samples);
  data::Batch batch = photos.get_batch(samples);
  batch.input = augment(batch.input, std::span{random});
  // [/by_hand]
  auto again = data::sample_generators(1, EpochIndex{0}, samples);
  std::cout << "by hand the same: " << (at::equal(train.get_batch(samples, again).input, batch.input) ? "yes" : "no") << '\n';
}
