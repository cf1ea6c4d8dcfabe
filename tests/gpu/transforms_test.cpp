// needs: libtorch
#include <ATen/core/Tensor.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gpu/need_cuda.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/data/transforms.hpp"

// Last: LibTorch has a macro CHECK, too, and the later one counts.
#include <catch2/catch_test_macros.hpp>

namespace {

namespace data = tacit::data;
namespace transform = tacit::data::transform;

TEST_CASE("transforms on a GPU give what the CPU gives") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  at::Tensor const images = at::arange(8 * 3 * 10 * 12).mul(37).remainder(101).div(101.0).view({8, 3, 10, 12});
  std::vector<std::int64_t> const samples{0, 1, 2, 3, 4, 5, 6, 7};
  auto const same = [&](auto const& transform) {
    auto random = data::sample_generators(3, tacit::EpochIndex{0}, samples);
    at::Tensor const here = transform(images, std::span{random});
    random = data::sample_generators(3, tacit::EpochIndex{0}, samples);
    at::Tensor const there = transform(images.to(at::kCUDA), std::span{random});
    return there.is_cuda() && at::allclose(there.cpu(), here, 1e-4, 1e-5);
  };
  CHECK(same(transform::HorizontalFlip{}));
  CHECK(same(transform::VerticalFlip{}));
  CHECK(same(transform::RandomCrop{.height = 8, .width = 9, .padding = 2}));
  CHECK(same(transform::CenterCrop{.height = 8, .width = 9}));
  CHECK(same(transform::Resize{.height = 7, .width = 6}));
  CHECK(same(transform::Resize{.height = 20, .width = 24, .interpolation = transform::Interpolation::nearest}));
  CHECK(same(transform::Rotate{.degrees = transform::Range{-30, 30}, .fill = 0.5}));
  CHECK(same(transform::Normalize{.mean = {0.4, 0.5, 0.6}, .std = {0.2, 0.3, 0.4}}));
  CHECK(same(transform::ColorJitter{{0.6, 1.4}, {0.6, 1.4}, {0.6, 1.4}, {-0.1, 0.1}}));
  CHECK(same(transform::RandomErasing{}));
  CHECK(same(transform::ToFloat{}));

  at::Tensor const labels = at::arange(8).remainder(3);
  data::Batch const here{images, labels};
  data::Batch const there{images.to(at::kCUDA), labels.to(at::kCUDA)};
  auto const mixes = [&](auto const& mix) {
    auto random = data::sample_generators(3, tacit::EpochIndex{0}, samples);
    data::Batch const expected = mix(here, data::Batch{images.flip(0), labels.flip(0)}, std::span{random});
    random = data::sample_generators(3, tacit::EpochIndex{0}, samples);
    data::Batch const got = mix(there, data::Batch{there.input.flip(0), there.target.flip(0)}, std::span{random});
    return got.input.is_cuda() && at::allclose(got.input.cpu(), expected.input) && at::allclose(got.target.cpu(), expected.target);
  };
  CHECK(mixes(transform::MixUp{.classes = 3}));
  CHECK(mixes(transform::CutMix{.classes = 3}));
}

}  // namespace
