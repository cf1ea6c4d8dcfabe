#pragma once

#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/task/parameter_set.hpp"

namespace tacit::inline v0::detail {

/// The values of the parameters before an update whose optimizer computes the loss again between its steps.
template <class Tensor>
class ParametersBefore {
  using traits = tensor_traits<Tensor>;

 public:
  explicit ParametersBefore(basic_parameter_set<Tensor>& parameters) {
    for (auto& parameter : parameters) before_.push_back(traits::clone(parameter.master));
  }
  void restore(basic_parameter_set<Tensor>& parameters) const {
    std::vector<Tensor> now = masters(parameters);
    traits::copy_(now, before_);
  }
  /// Cost: reads one number of the device.
  static bool are_finite(basic_parameter_set<Tensor>& parameters) {
    std::vector<Tensor> const now = masters(parameters);
    return now.empty() || traits::read(traits::first_non_finite(now)) == 0.0;
  }

 private:
  static std::vector<Tensor> masters(basic_parameter_set<Tensor>& parameters) {
    std::vector<Tensor> result;
    for (auto& parameter : parameters) result.push_back(parameter.master);
    return result;
  }

  std::vector<Tensor> before_;
};

}  // namespace tacit::inline v0::detail
