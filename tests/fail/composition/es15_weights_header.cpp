// expect: TACIT-ES15
#include "fake/tensor.hpp"
#include "tacit/state/weights.hpp"
#include "tacit/train/trainer.hpp"

// What a header such as state/torch/tensor.hpp says of a library's tensors, as far as saving needs it.
#ifdef FIX
template <>
struct tacit::state_tensor<fake::Tensor> {
  static bool defined(fake::Tensor const& tensor) { return tensor.defined(); }
  static safetensors::Dtype dtype(fake::Tensor const&) { return safetensors::Dtype::f64; }
  static safetensors::Shape shape(fake::Tensor const& tensor) { return {tensor.values().size()}; }
  static std::string identity(fake::Tensor const&) { return {}; }
  static void copy_to(fake::Tensor const&, std::span<std::byte>) {}
  static std::optional<std::span<std::byte const>> borrow(fake::Tensor const& tensor) {
    return std::as_bytes(std::span{tensor.values()});
  }
};
#endif

int main() {
  fake::Linear model;
  tacit::save_weights("model.safetensors", model);
}
