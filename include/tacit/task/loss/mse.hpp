#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/mse_loss.h>

#include <sstream>
#include <utility>

#include "tacit/core/error.hpp"

namespace tacit::inline v0::loss {

/// Mean of the squared differences over all elements, as torch.nn.MSELoss.
struct Mse {
  /// Throws: DataError for unequal sizes, which LibTorch would broadcast.
  at::Tensor operator()(at::Tensor const& prediction, at::Tensor const& target) const {
    check(prediction, target);
    return at::mse_loss(prediction, target);
  }

  /// Throws: DataError for unequal sizes. Cost: looks at sizes alone, so the devices may differ.
  void check(at::Tensor const& prediction, at::Tensor const& target) const {
    if (prediction.sizes().equals(target.sizes())) return;
    std::ostringstream what;
    what << "the prediction has sizes " << prediction.sizes() << ", the target " << target.sizes();
    throw DataError{"TACIT-RD47", std::move(what).str(), "loss::Mse",
                    "give both the same sizes: squeeze(-1) the prediction or unsqueeze(-1) the target"};
  }
};

}  // namespace tacit::inline v0::loss
