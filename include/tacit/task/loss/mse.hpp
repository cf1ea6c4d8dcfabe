#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/mse_loss.h>

#include <sstream>
#include <utility>

#include "tacit/core/error.hpp"

namespace tacit::inline v0::loss {

/// Mean of the squared differences over all elements, as torch.nn.MSELoss.
struct Mse {
  /// Throws: DataError for unequal sizes, which LibTorch would broadcast, and for unequal types, which its gradient refuses.
  at::Tensor operator()(at::Tensor const& prediction, at::Tensor const& target) const {
    check(prediction, target);
    return at::mse_loss(prediction, target);
  }

  /// Throws: DataError for unequal sizes or types. Cost: looks at sizes and types alone, so the devices may differ.
  void check(at::Tensor const& prediction, at::Tensor const& target) const {
    if (prediction.sizes().equals(target.sizes())) {
      // Autocast computes in 16 bits, and the loss in float32.
      bool const is_cast = target.scalar_type() == at::kFloat && at::isReducedFloatingType(prediction.scalar_type());
      if (prediction.scalar_type() != target.scalar_type() && !is_cast) refuse_types(prediction, target);
      return;
    }
    std::ostringstream what;
    what << "the prediction has sizes " << prediction.sizes() << ", the target " << target.sizes();
    throw DataError{"TACIT-RD47", std::move(what).str(), "loss::Mse",
                    "give both the same sizes: squeeze(-1) the prediction or unsqueeze(-1) the target"};
  }

 private:
  [[noreturn]] static void refuse_types(at::Tensor const& prediction, at::Tensor const& target) {
    std::ostringstream what;
    what << "the prediction is of type " << prediction.scalar_type() << ", the target of type " << target.scalar_type();
    throw DataError{"TACIT-RD127", std::move(what).str(), "loss::Mse", "give both the same type: target.to(at::kFloat), or the precision Fp64"};
  }
};

}  // namespace tacit::inline v0::loss
