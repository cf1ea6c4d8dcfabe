// needs: libtorch
#include "tacit/data/transforms.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/rot90.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tacit/data/loader.hpp"
#include "tacit/data/split.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/data/views.hpp"
#include "tacit/task/loss/cross_entropy.hpp"

using tacit::EpochIndex;
using tacit::Random;
using tacit::data::Batch;
using tacit::data::TensorDataset;
namespace data = tacit::data;
namespace transform = tacit::data::transform;
using transform::Range;

namespace transforms_tests {
namespace {

/// Every value of every image is another one: 0, 1, 2, ...
at::Tensor counted(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w, at::ScalarType type = at::kFloat) {
  return at::arange(n * c * h * w, at::kLong).view({n, c, h, w}).to(type);
}

/// The same, between 0 and 1.
at::Tensor shaded(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) { return counted(n, c, h, w).mul(37).remainder(101).div(101); }

std::vector<Random> generators(std::int64_t count, std::uint64_t seed = 7) {
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < count; ++i) samples.push_back(i);
  return data::sample_generators(seed, EpochIndex{0}, samples);
}

at::Tensor run(auto const& transform, at::Tensor const& images, std::uint64_t seed = 7) {
  auto random = generators(images.size(0), seed);
  return transform(images, std::span{random});
}

std::string error_of(auto&& call) {
  try {
    call();
  } catch (tacit::Error const& error) {
    return error.code();
  }
  return "none";
}

/// Whole batch, single samples, uneven parts: the same bits for each sample. The given images stay as they were.
void check_splits(auto const& transform, at::Tensor const& images) {
  at::Tensor const before = images.clone();
  at::Tensor const whole = run(transform, images);
  CHECK(at::equal(images, before));
  CHECK(whole.scalar_type() == images.scalar_type());
  for (std::vector<std::int64_t> const& sizes : {std::vector<std::int64_t>{1, 1, 1, 1, 1, 1, 1, 1}, {3, 5}, {6, 2}}) {
    auto random = generators(images.size(0));
    std::vector<at::Tensor> parts;
    std::int64_t first = 0;
    for (std::int64_t const size : sizes) {
      parts.push_back(transform(images.narrow(0, first, size), std::span{random}.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size))));
      first += size;
    }
    REQUIRE(first == images.size(0));
    CHECK(at::equal(at::cat(parts), whole));
  }
  CHECK(at::equal(run(transform, images), whole));
}

}  // namespace

TEST_CASE("flips turn some images round and leave the others", "[transforms]") {
  at::Tensor const images = counted(64, 2, 3, 4);
  CHECK(at::equal(run(transform::HorizontalFlip{.probability = 1}, images), images.flip(3)));
  CHECK(at::equal(run(transform::VerticalFlip{.probability = 1}, images), images.flip(2)));
  CHECK(at::equal(run(transform::HorizontalFlip{.probability = 0}, images), images));
  for (bool const horizontal : {true, false}) {
    at::Tensor const result = horizontal ? run(transform::HorizontalFlip{}, images) : run(transform::VerticalFlip{}, images);
    auto random = generators(64);
    int turned = 0;
    for (std::int64_t i = 0; i < 64; ++i) {
      bool const expected = random[static_cast<std::size_t>(i)].uniform() < 0.5;
      turned += expected ? 1 : 0;
      REQUIRE(at::equal(result[i], expected ? images[i].flip(horizontal ? 2 : 1) : images[i]));
    }
    CHECK((turned > 16 && turned < 48));
  }
  CHECK_FALSE(at::equal(run(transform::HorizontalFlip{}, images, 1), run(transform::HorizontalFlip{}, images, 2)));
  at::Tensor const bytes = counted(8, 1, 3, 3, at::kByte);
  CHECK(at::equal(run(transform::HorizontalFlip{.probability = 1}, bytes), bytes.flip(3)));
}

TEST_CASE("crops are parts of the padded image at the drawn places", "[transforms]") {
  at::Tensor const images = counted(200, 2, 4, 5).add(1);
  for (auto const border : {transform::Border::constant, transform::Border::reflect, transform::Border::replicate}) {
    transform::RandomCrop const crop{.height = 3, .width = 4, .padding = 2, .fill = -5, .border = border};
    at::Tensor const result = run(crop, images);
    REQUIRE(result.sizes() == at::IntArrayRef{200, 2, 3, 4});
    auto random = generators(200);
    std::set<std::pair<std::int64_t, std::int64_t>> places;
    // The value of the padded image by its definition; rows and columns count from the image's own corner.
    auto const value = [&](std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
      bool const inside = y >= 0 && y < 4 && x >= 0 && x < 5;
      if (border == transform::Border::constant && !inside) return -5.0F;
      auto const fold = [&](std::int64_t at, std::int64_t size) {
        if (border == transform::Border::replicate) return std::min(std::max<std::int64_t>(at, 0), size - 1);
        if (at < 0) at = -at;
        return at >= size ? 2 * (size - 1) - at : at;
      };
      return static_cast<float>(((n * 2 + c) * 4 + fold(y, 4)) * 5 + fold(x, 5) + 1);
    };
    at::Tensor const plain = result.contiguous();
    auto const* const got = static_cast<float const*>(plain.const_data_ptr());
    bool same = true;
    for (std::int64_t n = 0; n < 200; ++n) {
      std::int64_t const top = random[static_cast<std::size_t>(n)].below(4 + 4 - 3 + 1);
      std::int64_t const left = random[static_cast<std::size_t>(n)].below(5 + 4 - 4 + 1);
      places.emplace(top, left);
      for (std::int64_t c = 0; c < 2; ++c) {
        for (std::int64_t y = 0; y < 3; ++y) {
          for (std::int64_t x = 0; x < 4; ++x) same = same && got[((n * 2 + c) * 3 + y) * 4 + x] == value(n, c, top + y - 2, left + x - 2);
        }
      }
    }
    CHECK(same);
    CHECK(places.size() == 36);
  }
  CHECK(at::equal(run(transform::RandomCrop{.height = 4, .width = 5}, images), images));
  CHECK(at::equal(run(transform::RandomCrop{.height = 2, .width = 2}, images.to(at::kByte)),
                  run(transform::RandomCrop{.height = 2, .width = 2}, images).to(at::kByte)));
}

TEST_CASE("the middle of an image is where torchvision has it", "[transforms]") {
  // int(round((size - crop) / 2)) of Python, for excesses 0 to 7
  std::vector<std::int64_t> const starts{0, 0, 1, 2, 2, 2, 3, 4};
  for (std::int64_t excess = 0; excess < 8; ++excess) {
    at::Tensor const images = counted(2, 1, 3 + excess, 4);
    std::int64_t const start = starts[static_cast<std::size_t>(excess)];
    CHECK(at::equal(transform::CenterCrop{.height = 3, .width = 2}(images), images.narrow(2, start, 3).narrow(3, 1, 2)));
  }
}

TEST_CASE("resizing", "[transforms]") {
  at::Tensor const images = counted(2, 3, 4, 6);
  transform::Resize const nearest{.height = 8, .width = 12, .interpolation = transform::Interpolation::nearest};
  CHECK(at::equal(nearest(images), images.repeat_interleave(2, 2).repeat_interleave(2, 3)));
  CHECK(at::equal(nearest(images.to(at::kByte)), nearest(images).to(at::kByte)));
  // Pixel x of 12 has its centre at (x + 0.5) / 2 - 0.5 of 6; the edge pixels go on beyond.
  at::Tensor const ramp = at::arange(6, at::kDouble).mul(2).view({1, 1, 1, 6}).expand({1, 1, 4, 6});
  at::Tensor const expected = at::arange(12, at::kDouble).add(0.5).div(2).sub(0.5).clamp(0, 5).mul(2).view({1, 1, 1, 12}).expand({1, 1, 8, 12});
  CHECK(at::allclose(transform::Resize{.height = 8, .width = 12, .antialias = false}(ramp), expected, 0, 1e-12));
  CHECK(at::allclose(transform::Resize{.height = 8, .width = 12}(ramp), expected, 0, 1e-12));
  // To the half: without antialias the mean of the two middle pixels; with it the triangle 1 3 3 1 over four.
  at::Tensor const step = at::tensor({0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0}).view({1, 1, 1, 8}).expand({1, 1, 2, 8}).to(at::kDouble);
  CHECK(at::allclose(transform::Resize{.height = 2, .width = 4, .antialias = false}(step)[0][0][0], at::tensor({0.0, 4.0, 0.0, 0.0}).to(at::kDouble)));
  CHECK(at::allclose(transform::Resize{.height = 2, .width = 4}(step)[0][0][0], at::tensor({0.0, 3.0, 1.0, 0.0}).to(at::kDouble)));
}

TEST_CASE("rotation", "[transforms]") {
  for (std::int64_t const size : {4, 5, 32}) {
    at::Tensor const images = counted(3, 2, size, size);
    for (std::int64_t const quarters : {-3, -1, 0, 1, 2, 3, 5}) {
      double const angle = 90.0 * static_cast<double>(quarters);
      for (auto const interpolation : {transform::Interpolation::nearest, transform::Interpolation::bilinear}) {
        at::Tensor const turned = run(transform::Rotate{.degrees = Range{angle, angle}, .interpolation = interpolation, .fill = 0.5}, images);
        at::Tensor const expected = at::rot90(images, quarters, {2, 3});
        if (interpolation == transform::Interpolation::nearest) {
          CHECK(at::equal(turned, expected));
        } else {
          CHECK(at::allclose(turned, expected, 1e-5, 1e-2));
        }
      }
    }
  }
  SECTION("an oblong image keeps its size, and half a turn is two flips") {
    at::Tensor const images = counted(2, 1, 4, 6);
    CHECK(at::equal(run(transform::Rotate{.degrees = Range{180, 180}, .interpolation = transform::Interpolation::nearest}, images), images.flip({2, 3})));
    // A quarter: row Y, column X (from the middle) comes from row X, column -Y; columns beyond the height are new.
    at::Tensor const turned = run(transform::Rotate{.degrees = Range{90, 90}, .interpolation = transform::Interpolation::nearest, .fill = -1}, images);
    at::Tensor const expected = at::full({2, 1, 4, 6}, -1.0);
    expected.narrow(3, 1, 4).copy_(at::rot90(images.narrow(3, 1, 4), 1, {2, 3}));
    CHECK(at::equal(turned, expected));
  }
  SECTION("any angle: a linear image turns into the turned linear function") {
    // f(x, y) = x at the middle's distances; bilinear interpolation is exact on it.
    at::Tensor const x = at::arange(9, at::kDouble).sub(4);
    at::Tensor const images = x.view({1, 1, 1, 9}).expand({4, 1, 9, 9}).contiguous();
    at::Tensor const turned = run(transform::Rotate{.degrees = Range{-60, 60}}, images);
    auto random = generators(4);
    for (std::int64_t n = 0; n < 4; ++n) {
      double const angle = random[static_cast<std::size_t>(n)].uniform(-60, 60) * std::acos(-1.0) / 180;
      at::Tensor const expected = x.view({1, 9}).mul(std::cos(angle)).sub(x.view({9, 1}).mul(std::sin(angle)));
      // The middle: all of it comes from within.
      CHECK(at::allclose(turned[n][0].narrow(0, 2, 5).narrow(1, 2, 5), expected.narrow(0, 2, 5).narrow(1, 2, 5), 0, 1e-12));
    }
  }
}

TEST_CASE("normalising and scaling", "[transforms]") {
  at::Tensor const images = counted(2, 3, 2, 2, at::kDouble);
  at::Tensor const result = transform::Normalize{.mean = {1, 2, 3}, .std = {2, 4, 0.5}}(images);
  std::vector<double> const mean{1, 2, 3}, std{2, 4, 0.5};
  for (std::int64_t c = 0; c < 3; ++c) {
    auto const at = static_cast<std::size_t>(c);
    CHECK(at::equal(result.select(1, c), images.select(1, c).sub(mean[at]).div(std[at])));
  }
  CHECK(at::equal(transform::Normalize{.mean = {1}, .std = {2}}(images), images.sub(1).div(2)));
  at::Tensor const bytes = counted(1, 1, 2, 2, at::kByte).add(252);
  CHECK(at::equal(transform::ToFloat{}(bytes), bytes.to(at::kFloat).div(255)));
  CHECK(transform::ToFloat{}(images).is_same(images));
}

TEST_CASE("colour jitter has torchvision's formulas in float64", "[transforms]") {
  struct Case {
    double brightness, contrast, saturation, hue;
    std::vector<double> expected;
  };
  std::vector<Case> const cases{
#include "transforms.inc"
  };
  REQUIRE(cases.size() == 10);
  at::Tensor image = at::zeros({1, 3, 2, 3}, at::kDouble);
  for (std::int64_t p = 0; p < 6; ++p) {
    for (std::int64_t c = 0; c < 3; ++c) {
      image[0][c][p / 3][p % 3] = p == 4 ? 0.0 : p == 5 ? 0.6 : static_cast<double>((7 * p + 5 * c + 3) % 11) / 10;
    }
  }
  for (Case const& one : cases) {
    transform::ColorJitter const jitter{.brightness = {one.brightness, one.brightness},
                                        .contrast = {one.contrast, one.contrast},
                                        .saturation = {one.saturation, one.saturation},
                                        .hue = {one.hue, one.hue}};
    at::Tensor const expected = at::tensor(one.expected, at::kDouble).view({1, 3, 2, 3});
    at::Tensor const got = run(jitter, image);
    INFO(one.brightness << ' ' << one.contrast << ' ' << one.saturation << ' ' << one.hue << '\n' << got << '\n' << expected);
    CHECK(at::allclose(got, expected, 0, 1e-12));
  }
  SECTION("factors are drawn for each image; grey images keep hue and saturation") {
    at::Tensor const grey = shaded(4, 1, 3, 3);
    auto random = generators(4);
    at::Tensor const result = run(transform::ColorJitter{.brightness = {0.5, 1.5}, .saturation = {0, 2}, .hue = {-0.5, 0.5}}, grey);
    for (std::int64_t n = 0; n < 4; ++n) {
      auto& one = random[static_cast<std::size_t>(n)];
      (void)one.uniform();
      CHECK(at::allclose(result[n], grey[n].mul(one.uniform(0.5, 1.5)).clamp(0, 1)));
    }
  }
  SECTION("some images only") {
    at::Tensor const images = shaded(64, 3, 2, 2);
    at::Tensor const result = run(transform::ColorJitter{.brightness = {0.5, 0.5}, .probability = 0.3}, images);
    auto random = generators(64);
    for (std::int64_t n = 0; n < 64; ++n) {
      bool const changed = random[static_cast<std::size_t>(n)].uniform() < 0.3;
      REQUIRE(at::equal(result[n], changed ? images[n].mul(0.5) : images[n]));
    }
  }
}

TEST_CASE("erasing sets one rectangle of the drawn area and shape", "[transforms]") {
  at::Tensor const images = at::ones({400, 2, 20, 30});
  at::Tensor const result = run(transform::RandomErasing{.probability = 0.5, .scale = {0.1, 0.3}, .ratio = {0.5, 2}, .value = -1}, images);
  at::Tensor const erased = result.eq(-1);
  CHECK(at::equal(erased.select(1, 0), erased.select(1, 1)));
  CHECK(at::equal(result, images.masked_fill(erased, -1)));
  int changed = 0;
  for (std::int64_t n = 0; n < 400; ++n) {
    at::Tensor const mask = erased[n][0];
    auto const rows = mask.any(1).sum().item<std::int64_t>();
    auto const columns = mask.any(0).sum().item<std::int64_t>();
    auto const area = mask.sum().item<std::int64_t>();
    REQUIRE(area == rows * columns);  // a rectangle, whole
    if (area == 0) continue;
    ++changed;
    // Rounding to whole pixels moves each side by a half at most.
    double const h = static_cast<double>(rows), w = static_cast<double>(columns);
    REQUIRE(((h + 0.5) * (w + 0.5) >= 60 && (h - 0.5) * (w - 0.5) <= 180));
    REQUIRE(((h + 0.5) / (w - 0.5) >= 0.5 && (h - 0.5) / (w + 0.5) <= 2));
  }
  CHECK((changed > 150 && changed < 250));
  CHECK(at::equal(run(transform::RandomErasing{.probability = 1, .scale = {1, 1}, .ratio = {1, 1}}, images), images));  // never fits
}

TEST_CASE("mixup blends images and targets in one share", "[transforms]") {
  std::int64_t const n = 4000;
  Batch const batch{at::ones({n, 1, 1, 1}), at::zeros({n}, at::kLong)};
  Batch const partners{at::zeros({n, 1, 1, 1}), at::full({n}, 2, at::kLong)};
  for (double const alpha : {0.2, 1.0, 3.0}) {
    auto random = generators(n);
    Batch const mixed = transform::MixUp{.classes = 3, .alpha = alpha}(batch, partners, random);
    at::Tensor const share = mixed.input.flatten();
    REQUIRE(mixed.target.sizes() == at::IntArrayRef{n, 3});
    CHECK(at::allclose(mixed.target.select(1, 0), share));
    CHECK(at::allclose(mixed.target.select(1, 2), share.neg().add(1), 1e-5, 1e-6));
    CHECK(at::equal(mixed.target.select(1, 1), at::zeros({n})));
    // Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
    CHECK(std::abs(share.mean().item<double>() - 0.5) < 0.03);
    double const variance = 1 / (4 * (2 * alpha + 1));
    CHECK(std::abs(share.var().item<double>() / variance - 1) < 0.08);
    CHECK((share.min().item<double>() >= 0 && share.max().item<double>() <= 1));
  }
  SECTION("the uniform case has the uniform distribution") {
    auto random = generators(n);
    at::Tensor const sorted = std::get<0>(transform::MixUp{.classes = 3}(batch, partners, random).input.flatten().sort());
    at::Tensor const expected = at::arange(n, at::kFloat).add(0.5).div(static_cast<double>(n));
    CHECK(sorted.sub(expected).abs().max().item<double>() < 0.03);  // Kolmogorov-Smirnov at 4000: 0.03 is p < 0.002
  }
  SECTION("a tiny alpha neither underflows nor blends") {
    auto random = generators(n);
    at::Tensor const share = transform::MixUp{.classes = 3, .alpha = 1e-4}(batch, partners, random).input.flatten();
    CHECK(share.isfinite().all().item<bool>());
    CHECK(share.mul(share.neg().add(1)).max().item<double>() < 0.26);
    CHECK(std::abs(share.mean().item<double>() - 0.5) < 0.03);
  }
  SECTION("not all are mixed; soft targets stay; the loss takes them") {
    auto random = generators(n);
    Batch const half = transform::MixUp{.classes = 3, .probability = 0.25}(batch, partners, random);
    auto const untouched = half.input.eq(1).sum().item<std::int64_t>();
    CHECK((untouched > 2800 && untouched < 3200));
    auto again = generators(n);
    Batch const twice = transform::MixUp{.classes = 3}(half, half, again);
    CHECK(at::allclose(twice.target, half.target, 1e-5, 1e-6));
    tacit::loss::CrossEntropy const loss{};
    at::Tensor const scores = at::arange(3 * n, at::kFloat).remainder(7).view({n, 3});
    loss.check(scores, half.target);
    at::Tensor const expected = half.target.mul(scores.log_softmax(1)).sum(1).mean().neg();
    CHECK(at::allclose(loss(scores, half.target), expected));
    CHECK(batch.input.eq(1).all().item<bool>());  // the given batch stays as it was
    CHECK(batch.target.scalar_type() == at::kLong);
  }
}

TEST_CASE("cutmix pastes a rectangle and mixes targets by its area", "[transforms]") {
  std::int64_t const n = 1000;
  Batch const batch{at::ones({n, 2, 10, 12}), at::zeros({n}, at::kLong)};
  Batch const partners{at::zeros({n, 2, 10, 12}), at::ones({n}, at::kLong)};
  auto random = generators(n);
  Batch const mixed = transform::CutMix{.classes = 2}(batch, partners, random);
  CHECK(at::allclose(mixed.input.mean({1, 2, 3}), mixed.target.select(1, 0), 1e-5, 1e-6));
  CHECK(at::allclose(mixed.target.sum(1), at::ones({n})));
  at::Tensor const pasted = mixed.input.select(1, 0).eq(0);
  at::Tensor const rows = pasted.any(2).sum(1);
  at::Tensor const columns = pasted.any(1).sum(1);
  CHECK(at::equal(rows.mul(columns), pasted.sum({1, 2})));
  CHECK(pasted.any(2).any(1).sum().item<std::int64_t>() > 800);
  auto again = generators(n);
  Batch const none = transform::CutMix{.classes = 2, .probability = 0}(batch, partners, again);
  CHECK(at::equal(none.input, batch.input));
  Batch const bytes{batch.input.to(at::kByte), batch.target};
  auto third = generators(n);
  CHECK(transform::CutMix{.classes = 2}(bytes, bytes, third).target.scalar_type() == at::kFloat);
}

TEST_CASE("what happens to a sample does not depend on its batch", "[transforms]") {
  at::Tensor const images = shaded(8, 3, 8, 10);
  check_splits(transform::HorizontalFlip{}, images);
  check_splits(transform::VerticalFlip{}, images);
  check_splits(transform::RandomCrop{.height = 6, .width = 5, .padding = 1}, images);
  check_splits(transform::CenterCrop{.height = 4, .width = 5}, images);
  check_splits(transform::Resize{.height = 5, .width = 7}, images);
  check_splits(transform::Rotate{.degrees = Range{-30, 30}, .fill = 0.5}, images);
  check_splits(transform::Normalize{.mean = {0.5, 0.4, 0.3}, .std = {0.2, 0.3, 0.4}}, images);
  check_splits(transform::ColorJitter{{0.6, 1.4}, {0.6, 1.4}, {0.6, 1.4}, {-0.1, 0.1}, 0.8}, images);
  check_splits(transform::RandomErasing{}, images);
  check_splits(transform::Sequence{transform::RandomCrop{.height = 6, .width = 5}, transform::HorizontalFlip{}, transform::RandomErasing{}}, images);
}

TEST_CASE("transforms in order, through a loader", "[transforms]") {
  std::int64_t const n = 24;
  TensorDataset const images{shaded(n, 3, 8, 8), at::arange(n, at::kLong).remainder(5)};
  auto const augment = transform::Sequence{transform::RandomCrop{.height = 8, .width = 8, .padding = 2}, transform::HorizontalFlip{},
                                           transform::ColorJitter{.brightness = {0.5, 1.5}}};
  auto const mixed = data::mixed(data::transformed(images, augment), transform::MixUp{.classes = 5});
  static_assert(tacit::dataset<decltype(mixed)> && tacit::batch_dataset<decltype(mixed)>);

  // Sample by sample, whatever cuts the epoch into batches.
  auto const collect = [&](auto const& dataset, data::LoaderOptions const& options, std::int64_t epoch, int world) {
    auto loader = data::loader(dataset, options);
    std::vector<at::Tensor> inputs, targets;
    std::vector<data::Batch> steps;
    for (int rank = 0; rank < world; ++rank) {
      loader.start_epoch(11, EpochIndex{epoch}, rank, world);
      std::optional<Batch> batch;
      std::size_t step = 0;
      while (loader.next(batch)) {
        if (steps.size() <= step) steps.push_back({});
        if (!batch) continue;
        auto& whole = steps[step++];
        whole = whole.input.defined() ? Batch{at::cat({whole.input, batch->input}), at::cat({whole.target, batch->target})} : *batch;
      }
    }
    for (Batch const& one : steps) {
      inputs.push_back(one.input);
      targets.push_back(one.target);
    }
    return Batch{at::cat(inputs), at::cat(targets)};
  };
  Batch const one = collect(mixed, {.batch_size = n}, 0, 1);
  for (data::LoaderOptions const& options : {data::LoaderOptions{.batch_size = 1}, data::LoaderOptions{.batch_size = 5},
                                             data::LoaderOptions{.batch_size = 7, .workers = 3}}) {
    Batch const other = collect(mixed, options, 0, 1);
    CHECK(at::equal(other.input, one.input));
    CHECK(at::equal(other.target, one.target));
  }
  CHECK(at::equal(collect(mixed, {.batch_size = 4}, 0, 3).input, one.input));
  CHECK_FALSE(at::equal(collect(mixed, {.batch_size = 4}, 1, 1).input, one.input));
  Batch const shuffled = collect(mixed, {.batch_size = 4, .shuffle = true}, 0, 1);
  CHECK_FALSE(at::equal(shuffled.input, one.input));
  CHECK(at::equal(std::get<0>(shuffled.input.sum({1, 2, 3}).sort()), std::get<0>(one.input.sum({1, 2, 3}).sort())));

  SECTION("the loader's generators are those of sample_generators") {
    auto random = data::sample_generators(11, EpochIndex{0}, std::vector<std::int64_t>{0, 1, 2});
    at::Tensor const expected = augment(images.inputs().narrow(0, 0, 3), std::span{random});
    CHECK(at::equal(collect(data::transformed(images, augment), {.batch_size = 8}, 0, 1).input.narrow(0, 0, 3), expected));
  }
  SECTION("a part, or a view, of a transformed dataset has its samples") {
    Batch const whole = collect(data::transformed(images, augment), {.batch_size = 8}, 0, 1);
    auto const taken = data::transformed(images, augment) | data::views::drop(6) | data::views::take(10);
    CHECK(at::equal(collect(taken, {.batch_size = 3}, 0, 1).input, whole.input.narrow(0, 6, 10)));
    auto const [first, second] = data::split(data::transformed(images, augment), {20, 4}, 3);
    Batch const part = collect(second, {.batch_size = 3}, 0, 1);
    for (std::int64_t i = 0; i < 4; ++i) CHECK(at::equal(part.input[i], whole.input[second.indices()[static_cast<std::size_t>(i)]]));
    // Nested views, asked without a loader.
    std::vector<std::int64_t> const asked{1, 0};
    auto random = data::sample_generators(11, EpochIndex{0}, std::vector<std::int64_t>{7, 6});
    CHECK(at::equal(taken.get_batch(asked, random).input, at::cat({whole.input.narrow(0, 7, 1), whole.input.narrow(0, 6, 1)})));
  }
  SECTION("a dataset that is split before counts its own samples") {
    auto const [first, second] = data::split(TensorDataset{images}, {20, 4}, 3);
    Batch const part = collect(data::transformed(second, augment), {.batch_size = 3}, 0, 1);
    auto random = generators(4, 11);
    std::vector<std::int64_t> rows(second.indices().begin(), second.indices().end());
    CHECK(at::equal(part.input, augment(images.get_batch(rows).input, std::span{random})));
  }
}

namespace {
struct Sample {
  at::Tensor image;
  std::int64_t label;
};
struct Drawn {
  std::int64_t size() const { return 6; }
  Sample get(std::int64_t index, Random& random) const { return {at::full({1, 2, 2}, random.uniform()), index}; }
};
struct Whole {
  Batch operator()(Batch batch, std::span<Random> random) const {
    for (Random& one : random) (void)one();
    return {batch.input.neg(), batch.target.add(1)};
  }
};
}  // namespace

TEST_CASE("views that pass no generators on refuse random datasets", "[transforms]") {
  TensorDataset const plain{shaded(3, 1, 2, 2), at::arange(3, at::kLong)};
  auto const random = data::transformed(plain, transform::HorizontalFlip{});
  auto const mapped = random | data::views::map([](Batch const& batch) { return batch; });
  static_assert(!tacit::dataset<decltype(mapped)>);
  static_assert(!tacit::dataset<decltype(data::views::zip(random, plain))>);
  static_assert(!tacit::dataset<decltype(data::views::concatenate(random, random))>);
  CHECK(mapped.size() == 3);
  auto const whole = data::transformed(plain | data::views::map([](Batch const& batch) { return Batch{batch.input.neg(), batch.target}; }),
                                       transform::HorizontalFlip{.probability = 1});
  auto generator = generators(2);
  CHECK(at::equal(whole.get_batch(std::vector<std::int64_t>{2, 0}, generator).input[0], plain.inputs()[2].flip(2).neg()));
}

TEST_CASE("datasets of samples, and transforms of one's own", "[transforms]") {
  auto const brighter = [](at::Tensor const& images, std::span<Random> random) {
    std::vector<double> factors;
    for (Random& one : random) factors.push_back(one.uniform());
    return images.add(at::tensor(factors).to(images.scalar_type()).view({-1, 1, 1, 1}));
  };
  auto loader = data::loader(data::transformed(Drawn{}, brighter), {.batch_size = 4, .workers = 2});
  std::int64_t row = 0;
  for (auto& [images, labels] : loader.epoch(3, EpochIndex{1})) {
    for (std::int64_t i = 0; i < images.size(0); ++i, ++row) {
      Random random{data::sample_stream(3, EpochIndex{1}, tacit::SampleIndex{row})};
      double const own = random.uniform();
      CHECK(std::abs(images[i].max().item<double>() - (own + random.uniform())) < 1e-6);  // one stream, dataset first
      CHECK(labels[i].item<std::int64_t>() == row);
    }
  }
  CHECK(row == 6);
  TensorDataset const plain{shaded(3, 1, 2, 2), at::arange(3, at::kLong)};
  std::vector<std::int64_t> const all{0, 1, 2};
  auto random = generators(3);
  Batch const batch = data::transformed(plain, transform::Sequence{transform::HorizontalFlip{.probability = 1}, Whole{}}).get_batch(all, random);
  CHECK(at::equal(batch.input, plain.inputs().flip(3).neg()));
  CHECK(at::equal(batch.target, plain.targets().add(1)));
}

TEST_CASE("bad options and bad images are refused by number", "[transforms]") {
  at::Tensor const images = shaded(2, 3, 4, 4);
  double const nan = std::numeric_limits<double>::quiet_NaN();
  auto const refused = [&](auto const& transform) { return error_of([&] { run(transform, images); }); };
  auto const refused_for = [&](auto const& transform, at::Tensor const& given) {
    auto random = generators(2);
    return error_of([&] { transform(given, std::span{random}); });
  };
  at::Tensor const black = at::zeros({2, 3, 4, 4}, at::kByte);  // kind E: a value that bytes cannot have would be cut
  for (double const value : {0.5, -1.0, 256.0, nan}) {
    CHECK(refused_for(transform::RandomErasing{.value = value}, black) == "TACIT-RD138");
    CHECK(refused_for(transform::RandomCrop{.height = 4, .width = 4, .padding = 1, .fill = value}, black) == "TACIT-RD138");
  }
  CHECK(refused_for(transform::RandomErasing{.value = 255}, black) == "none");
  CHECK(refused(transform::HorizontalFlip{.probability = 1.5}) == "TACIT-RD94");
  CHECK(refused(transform::VerticalFlip{.probability = nan}) == "TACIT-RD94");
  CHECK(refused(transform::Rotate{.degrees = Range{10, -10}}) == "TACIT-RD94");
  CHECK(refused(transform::ColorJitter{.brightness = {-1, 1}}) == "TACIT-RD94");
  CHECK(refused(transform::ColorJitter{.contrast = {2, 1}}) == "TACIT-RD94");
  CHECK(refused(transform::ColorJitter{.saturation = {0, nan}}) == "TACIT-RD94");
  CHECK(refused(transform::ColorJitter{.hue = {-0.6, 0}}) == "TACIT-RD94");
  CHECK(refused(transform::ColorJitter{.probability = -0.1}) == "TACIT-RD94");
  CHECK(refused(transform::RandomErasing{.probability = 2}) == "TACIT-RD94");
  CHECK(refused(transform::RandomErasing{.scale = {0, 1.1}}) == "TACIT-RD94");
  CHECK(refused(transform::RandomErasing{.ratio = {0, 1}}) == "TACIT-RD94");
  CHECK(refused(transform::RandomCrop{.height = 0, .width = 1}) == "TACIT-RD95");
  CHECK(refused(transform::RandomCrop{.height = 1, .width = tacit::unset}) == "TACIT-RD95");
  CHECK(refused(transform::CenterCrop{.height = 0, .width = 1}) == "TACIT-RD95");
  CHECK(refused(transform::Resize{.height = 1, .width = 0}) == "TACIT-RD95");
  CHECK(refused(transform::RandomCrop{.height = 5, .width = 4}) == "TACIT-RD93");
  CHECK(refused(transform::RandomCrop{.height = 4, .width = 7, .padding = 1}) == "TACIT-RD93");
  CHECK(refused(transform::CenterCrop{.height = 4, .width = 5}) == "TACIT-RD93");
  CHECK(refused(transform::Normalize{}) == "TACIT-RD96");
  CHECK(refused(transform::Normalize{.mean = {1, 2}, .std = {1}}) == "TACIT-RD96");
  CHECK(refused(transform::Normalize{.mean = {1, 2}, .std = {1, 1}}) == "TACIT-RD96");
  CHECK(refused(transform::Normalize{.mean = {1}, .std = {0}}) == "TACIT-RD96");
  CHECK(refused(transform::Normalize{.mean = {nan}, .std = {1}}) == "TACIT-RD96");
  CHECK(refused_for(transform::ColorJitter{}, shaded(2, 4, 2, 2)) == "TACIT-RD97");
  CHECK(refused_for(transform::HorizontalFlip{}, at::Tensor{}) == "TACIT-RD91");
  CHECK(refused_for(transform::HorizontalFlip{}, images[0]) == "TACIT-RD91");
  CHECK(refused_for(transform::CenterCrop{.height = 1, .width = 1}, images[0]) == "TACIT-RD91");
  CHECK(refused_for(transform::HorizontalFlip{}, shaded(3, 3, 2, 2)) == "TACIT-RD99");
  at::Tensor const bytes = images.mul(255).to(at::kByte);
  CHECK(refused_for(transform::Resize{.height = 2, .width = 2}, bytes) == "TACIT-RD92");
  CHECK(refused_for(transform::Rotate{.degrees = Range{0, 1}}, bytes) == "TACIT-RD92");
  CHECK(refused_for(transform::Normalize{.mean = {0}, .std = {1}}, bytes) == "TACIT-RD92");
  CHECK(refused_for(transform::ColorJitter{}, bytes) == "TACIT-RD92");
  CHECK(refused_for(transform::ToFloat{}, images.to(at::kInt)) == "TACIT-RD92");

  Batch const batch{images, at::zeros({2}, at::kLong)};
  auto const mix = [&](auto const& transform, Batch const& own, Batch const& partners) {
    auto random = generators(2);
    return error_of([&] { transform(own, partners, std::span{random}); });
  };
  using transform::CutMix, transform::MixUp;
  CHECK(mix(MixUp{.classes = 0}, batch, batch) == "TACIT-RD95");
  CHECK(mix(CutMix{.classes = tacit::unset}, batch, batch) == "TACIT-RD95");
  CHECK(mix(MixUp{.classes = 2, .alpha = 0}, batch, batch) == "TACIT-RD94");
  CHECK(mix(CutMix{.classes = 2, .alpha = nan}, batch, batch) == "TACIT-RD94");
  CHECK(mix(MixUp{.classes = 2, .probability = 2}, batch, batch) == "TACIT-RD94");
  CHECK(mix(MixUp{.classes = 2}, {bytes, batch.target}, {bytes, batch.target}) == "TACIT-RD92");
  CHECK(mix(CutMix{.classes = 2}, batch, {images.narrow(3, 0, 2), batch.target}) == "TACIT-RD98");
  CHECK(mix(MixUp{.classes = 2}, {images, at::full({2}, 2, at::kLong)}, batch) == "TACIT-RD98");
  CHECK(mix(MixUp{.classes = 2}, batch, {images, at::full({2}, -1, at::kLong)}) == "TACIT-RD98");
  CHECK(mix(MixUp{.classes = 2}, {images, at::zeros({2}, at::kFloat)}, batch) == "TACIT-RD98");
  CHECK(mix(MixUp{.classes = 2}, {images, at::zeros({2, 3}, at::kFloat)}, batch) == "TACIT-RD98");

  // A dataset says so before its first batch.
  TensorDataset const dataset{images, batch.target};
  CHECK(error_of([&] { data::transformed(dataset, transform::Sequence{transform::HorizontalFlip{}, transform::Normalize{}}); }) == "TACIT-RD96");
  CHECK(error_of([&] { data::mixed(dataset, MixUp{.classes = 0}); }) == "TACIT-RD95");
}

}  // namespace transforms_tests
