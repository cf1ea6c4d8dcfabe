#pragma once

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

/// The models that the benchmarks train.
namespace models {

struct Data {
  torch::Tensor inputs;
  torch::Tensor targets;
};

/// Fashion-MNIST where it is installed, else noise of its size: times do not depend on it.
inline Data images(std::int64_t samples) {
  if (std::filesystem::is_directory(tacit::data::fashion_mnist_directory)) {
    auto const all = tacit::data::fashion_mnist();
    std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min<std::int64_t>(samples, 60'000)));
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::int64_t>(i);
    auto const batch = all.get_batch(indices);
    return {batch.input, batch.target};
  }
  return {torch::rand({samples, 1, 28, 28}), torch::randint(10, {samples}, torch::kLong)};
}

// Each model with its data, its loss by hand and by the library, its batch, and the samples of an epoch.

/// The quickstart's: 784-128-64-10.
struct Mlp : torch::nn::Module {
  static constexpr char const* title = "mlp";
  static constexpr std::int64_t batch = 32;
  static constexpr std::int64_t samples = 5'000;
  using library_loss = tacit::loss::CrossEntropy;
  static Data data(std::int64_t count) { return images(count); }
  static torch::Tensor loss(torch::Tensor const& y, torch::Tensor const& target) {
    return torch::cross_entropy_loss(y, target);
  }

  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 128))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(128, 64))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(64, 10))};

  torch::Tensor forward(torch::Tensor const& x) { return third(torch::relu(second(torch::relu(first(x.flatten(1)))))); }
};

struct Cnn : torch::nn::Module {
  static constexpr char const* title = "cnn";
  static constexpr std::int64_t batch = 32;
  static constexpr std::int64_t samples = 1'600;
  using library_loss = tacit::loss::CrossEntropy;
  static Data data(std::int64_t count) { return images(count); }
  static torch::Tensor loss(torch::Tensor const& y, torch::Tensor const& target) {
    return torch::cross_entropy_loss(y, target);
  }

  torch::nn::Conv2d first{register_module("first", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 16, 3).padding(1)))};
  torch::nn::BatchNorm2d norm{register_module("norm", torch::nn::BatchNorm2d(16))};
  torch::nn::Conv2d second{
      register_module("second", torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 32, 3).padding(1)))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(32 * 7 * 7, 10))};

  torch::Tensor forward(torch::Tensor const& x) {
    torch::Tensor h = torch::max_pool2d(torch::relu(norm(first(x))), 2);
    h = torch::max_pool2d(torch::relu(second(h)), 2);
    return third(h.flatten(1));
  }
};

struct BlockImpl : torch::nn::Module {
  torch::nn::LayerNorm before{register_module("before", torch::nn::LayerNorm(torch::nn::LayerNormOptions({64})))};
  torch::nn::Linear mix{register_module("mix", torch::nn::Linear(64, 192))};
  torch::nn::Linear out{register_module("out", torch::nn::Linear(64, 64))};
  torch::nn::LayerNorm between{register_module("between", torch::nn::LayerNorm(torch::nn::LayerNormOptions({64})))};
  torch::nn::Linear up{register_module("up", torch::nn::Linear(64, 256))};
  torch::nn::Linear down{register_module("down", torch::nn::Linear(256, 64))};

  torch::Tensor forward(torch::Tensor const& x) {
    std::int64_t const rows = x.size(0);
    std::int64_t const length = x.size(1);
    auto const parts = mix(before(x)).view({rows, length, 3, 2, 32}).permute({2, 0, 3, 1, 4});
    torch::Tensor const seen =
        at::scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, 0.0, /*is_causal=*/true);
    torch::Tensor const h = x + out(seen.transpose(1, 2).reshape({rows, length, 64}));
    return h + down(torch::gelu(up(between(h))));
  }
};
TORCH_MODULE(Block);

/// Characters: 2 blocks of width 64, windows of 64.
struct Gpt : torch::nn::Module {
  static constexpr char const* title = "gpt";
  static constexpr std::int64_t batch = 8;
  static constexpr std::int64_t samples = 320;
  using library_loss = tacit::loss::CrossEntropy;
  static Data data(std::int64_t count) {
    auto const tokens = torch::randint(65, {count, 65}, torch::kLong);
    return {tokens.slice(1, 0, 64).contiguous(), tokens.slice(1, 1, 65).contiguous()};
  }
  static torch::Tensor loss(torch::Tensor const& y, torch::Tensor const& target) {
    return torch::cross_entropy_loss(y, target);
  }

  torch::nn::Embedding token{register_module("token", torch::nn::Embedding(65, 64))};
  torch::nn::Embedding place{register_module("place", torch::nn::Embedding(64, 64))};
  Block first{register_module("first", Block())};
  Block second{register_module("second", Block())};
  torch::nn::LayerNorm norm{register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({64})))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(64, 65))};

  torch::Tensor forward(torch::Tensor const& x) {
    torch::Tensor const h = token(x) + place(torch::arange(x.size(1)));
    return head(norm(second(first(h)))).transpose(1, 2);
  }
};

/// y = w x: nothing but what a step costs anyway.
struct One : torch::nn::Module {
  static constexpr char const* title = "one";
  static constexpr std::int64_t batch = 32;
  static constexpr std::int64_t samples = 32'000;
  using library_loss = tacit::loss::Mse;
  static Data data(std::int64_t count) {
    auto const x = torch::randn({count, 1});
    return {x, 2.0 * x};
  }
  static torch::Tensor loss(torch::Tensor const& y, torch::Tensor const& target) { return torch::mse_loss(y, target); }

  torch::Tensor weight{register_parameter("weight", torch::zeros({1}))};

  torch::Tensor forward(torch::Tensor const& x) { return x * weight; }
};

}  // namespace models
