// expect: TACIT-EP41
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// A backend that averages no gradients on the host.
struct Fabric {
  using slot = tacit::slot::distribution;
  template <class Device>
#ifdef FIX
  static constexpr bool serves = Device::is_host;
#else
  static constexpr bool serves = !Device::is_host;
#endif
  template <class Parameters, class Device>
  requires(serves<Device>) tacit::distribution_archetype::bound<Parameters> bind(Device const&)
  const { return {}; }
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, Fabric{},
                         tacit::CallbackPack{}};
}
