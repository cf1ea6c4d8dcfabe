#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <vector>

/// What tests of runs over LibTorch share.
namespace torch_support {

inline at::Tensor flat(torch::nn::Module const& model) {
  std::vector<at::Tensor> all;
  for (auto const& p : model.parameters()) all.push_back(p.detach().flatten());
  return torch::cat(all);
}
/// |a - b| / |b|.
inline double distance(at::Tensor const& a, at::Tensor const& b) { return ((a - b).norm() / b.norm()).item<double>(); }

}  // namespace torch_support
