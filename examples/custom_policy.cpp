// A policy of one's own: a precision policy that multiplies the loss by a power of two before backward and divides the
// gradients by it afterwards, as half precision needs. In float32 it must change nothing: the weights agree to the last bit.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <iostream>
#include <string>

// [policy]
struct StaticScale {
  using slot = tacit::slot::precision;
  double factor = 1024.0;

  // What the trainer works with: made once the device is known, it may keep state.
  template <class Parameters>
  struct bound {
    using Tensor = typename Parameters::tensor_type;
    static constexpr bool casts = false;  // `cast` changes no dtype
    struct no_autocast {};

    double factor;

    Tensor const& cast(Tensor const& tensor) const { return tensor; }
    no_autocast autocast() const { return {}; }
    void backward(Tensor const& loss, double weight) const { tacit::tensor_traits<Tensor>::backward(loss, weight * factor); }
    Tensor const* unscale(Parameters& parameters) const {
      for (auto& parameter : parameters) {
        if (auto& gradient = parameter.model.mutable_grad(); gradient.defined()) gradient.div_(factor);
      }
      return nullptr;  // no mask: the update takes place
    }
    void after_update() const {}
    std::string name() const { return "float32, loss scaled by " + std::to_string(factor); }
  };

  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {factor};
  }
};
// [/policy]

// [check]
// Says what is missing; without it the trainer would.
static_assert(tacit::require_precision_policy<StaticScale, tacit::ParameterSet, tacit::Cpu::bound<at::Tensor>>());
// [/check]

torch::Tensor train(auto precision) {
  torch::manual_seed(1);
  auto const x = torch::randn({256, 4});
  tacit::data::TensorDataset const data{x, x.sum(1, true)};
  // [use]
  tacit::Trainer trainer{torch::nn::Linear(4, 1), tacit::loss::Mse{}, tacit::optim::Sgd{.lr = 0.1}, precision, tacit::CallbackPack{}};
  // [/use]
  std::cout << trainer.describe();
  auto const result = trainer.train(data, {.epochs = 2, .clip = {.norm = 0.5}});
  std::cout << trainer.plan().precision << ": loss " << result[tacit::tag::train_loss{}] << "\n";
  return trainer.model().weight.detach();
}

int main() {
  bool const same = torch::equal(train(tacit::Fp32{}), train(StaticScale{.factor = 1024.0}));
  std::cout << "the weights are " << (same ? "the same to the last bit" : "NOT the same") << "\n";
  return same ? 0 : 1;
}
