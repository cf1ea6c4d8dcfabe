// Data without a trainer: a dataset of samples with random transforms of their own, workers, padding, samplers, a range
// of unknown length, and going on in mid-epoch.

// expect: the same batches: yes
// expect: padded to 4 x [0-9]+
// expect: classes [0-9]+ and [0-9]+
// expect: a stream of 3 batches
// expect: went on at batch 3 of 8: yes

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <tacit/tacit.hpp>

#include <cstdint>
#include <iostream>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

// [dataset]
struct Sample {
  at::Tensor image;
  std::int64_t label;
};

struct Images {
  std::int64_t count = 32;

  std::int64_t size() const { return count; }
  Sample get(std::int64_t index, tacit::Random& random) const {
    auto const image = at::full({1, 4, 4}, static_cast<double>(index));
    return {random.chance(0.5) ? image.neg() : image, index % 10 == 0 ? 1 : 0};
  }
};
// [/dataset]

// [sentences]
struct Sentence {
  tacit::data::Ragged<at::Tensor> tokens;
  std::int64_t label;
};

struct Sentences {
  std::vector<std::int64_t> lengths{3, 11, 4, 10, 2, 12, 5, 9};

  std::int64_t size() const { return static_cast<std::int64_t>(lengths.size()); }
  Sentence get(std::int64_t index) const { return {{at::full({lengths[static_cast<std::size_t>(index)]}, index)}, index % 2}; }
};
// [/sentences]

int main() {
  using namespace tacit;
  std::uint64_t const seed = 42;

  // [loader]
  auto batches = data::loader(Images{}, {.batch_size = 4, .shuffle = true, .workers = 2});
  for (std::int64_t e = 0; e < 2; ++e) {
    for (auto& [images, labels] : batches.epoch(seed, EpochIndex{e})) {
      // images: [4, 1, 4, 4], labels: [4], int64
      (void)images, (void)labels;
    }
  }
  // [/loader]

  auto alone = data::loader(Images{}, {.batch_size = 4, .shuffle = true});
  alone.start_epoch(seed, EpochIndex{1});
  std::optional<std::pair<at::Tensor, at::Tensor>> one;
  bool same = true;
  for (auto& batch : batches.epoch(seed, EpochIndex{1})) same = alone.next(one) && at::equal(batch.first, one->first) && same;
  std::cout << "the same batches: " << (same ? "yes" : "no") << '\n';

  // [padding]
  Sentences const sentences;
  auto bucketed = data::loader(sentences, {.batch_size = 4}, data::DefaultCollate{.padding = -1},
                               data::BucketedSampler{.lengths = sentences.lengths});
  for (auto& [tokens, labels] : bucketed.epoch(seed, EpochIndex{0})) {
    // tokens.values: [4, longest], tokens.lengths: [4]
    std::cout << "padded to " << labels.size(0) << " x " << tokens.values.size(1) << '\n';
  }
  // [/padding]

  // [balanced]
  std::vector<std::int64_t> labels(32);
  for (std::size_t i = 0; i < labels.size(); i += 10) labels[i] = 1;
  auto balanced = data::loader(Images{}, {.batch_size = 4}, data::ClassBalancedSampler{.labels = labels});
  // [/balanced]
  std::int64_t rare = 0;
  for (auto& batch : balanced.epoch(seed, EpochIndex{0})) rare += batch.second.sum().item<std::int64_t>();
  std::cout << "classes " << 32 - rare << " and " << rare << '\n';

  // [stream]
  std::vector<std::string> lines{"a", "b", "c", "d", "e"};  // whatever range-for accepts
  auto stream = data::batches_of(lines, {.batch_size = 2}, [](std::span<std::string> samples) {
    std::string joined;
    for (std::string const& sample : samples) joined += sample;
    return joined;
  });
  std::int64_t count = 0;
  for (auto& text : stream.epoch(seed, EpochIndex{0})) count += text.empty() ? 0 : 1;
  // [/stream]
  std::cout << "a stream of " << count << " batches\n";

  // [resume]
  batches.start_epoch(seed, EpochIndex{1});
  for (int i = 0; i < 3; ++i) batches.next(one);
  std::int64_t const saved = batches.position();
  auto resumed = data::loader(Images{}, {.batch_size = 4, .shuffle = true});  // another process, without workers
  resumed.start_epoch(seed, EpochIndex{1});
  resumed.seek(saved);
  // [/resume]
  std::optional<std::pair<at::Tensor, at::Tensor>> other;
  bool const equal = batches.next(one) && resumed.next(other) && at::equal(one->first, other->first);
  std::cout << "went on at batch " << saved << " of " << resumed.size() << ": " << (equal ? "yes" : "no") << '\n';
}
