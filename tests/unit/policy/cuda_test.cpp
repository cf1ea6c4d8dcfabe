// needs: libtorch
// What Cuda does where there is no GPU: every reason is told apart, by a pretended library.

#include "tacit/policy/device/cuda.hpp"

#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <memory>
#include <string>

#include "gpu/small_problem.hpp"
#include "tacit/policy/device/auto_device.hpp"

// Last: LibTorch has a macro CHECK, too, and the later one counts.
#include <catch2/catch_test_macros.hpp>

namespace cuda_tests {
namespace {

using tacit::detail::CudaProblem;
using tacit::detail::prepare_cuda;

int visible_devices = 0;
bool hooks_say_yes = false;

struct PretendedGuard final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  c10::DeviceIndex deviceCount() const noexcept override { return static_cast<c10::DeviceIndex>(visible_devices); }
};
PretendedGuard const guard;

struct PretendedHooks final : at::CUDAHooksInterface {
  bool hasCUDA() const override { return hooks_say_yes; }
};

auto& registered_guard() {
  return c10::impl::device_guard_impl_registry[static_cast<std::size_t>(c10::DeviceType::CUDA)];
}

/// The state of a process; put back at the end.
class Pretended {
 public:
  Pretended() = default;
  Pretended(Pretended const&) = delete;
  Pretended& operator=(Pretended const&) = delete;
  ~Pretended() {
    registered_guard().store(nullptr);
    visible_devices = 0;
    hooks_say_yes = false;
  }
};

struct Library {
  bool has_driver = true;
  std::string error{};
  bool registers = true;
  void const* driver() const { return has_driver ? this : nullptr; }
  std::string load() const {
    if (error.empty() && registers) registered_guard().store(&guard);
    return error;
  }
};

/// On a machine with a driver the true library may be loaded by other tests of this process.
bool machine_may_have_cuda() {
  return tacit::detail::CudaLibrary::driver() != nullptr || registered_guard().load() != nullptr;
}

/// Lets LibTorch ask PretendedHooks; false if it was asked before, for it keeps its first answer.
bool pretended_hooks_answer() {
  at::CUDAHooksRegistry()->SetTerminate(false);
  if (!at::CUDAHooksRegistry()->Has("CUDAHooks")) {
    at::CUDAHooksRegistry()->Register("CUDAHooks",
                                      [](at::CUDAHooksArgs const&) -> std::unique_ptr<at::CUDAHooksInterface> {
                                        return std::make_unique<PretendedHooks>();
                                      });
  }
  return dynamic_cast<PretendedHooks const*>(&at::detail::getCUDAHooks()) != nullptr;
}

TEST_CASE("each reason against CUDA has its number, its words and a way out") {
  if (machine_may_have_cuda()) SKIP("this machine has an NVIDIA driver: nothing is pretended");
  pretended_hooks_answer();
  Pretended const pretended;

  CudaProblem problem = prepare_cuda(Library{.has_driver = false});
  CHECK(problem.code == "TACIT-RC70");
  CHECK(problem.fix == "install the driver, or train on Cpu");

  problem = prepare_cuda(Library{.error = "libcublas.so.13: cannot open shared object file"});
  CHECK(problem.code == "TACIT-RC71");
  CHECK(problem.what == "LibTorch's CUDA library cannot be loaded (libcublas.so.13: cannot open shared object file)");

  problem = prepare_cuda(Library{.registers = false});
  CHECK(problem.code == "TACIT-RC71");
  CHECK(problem.what.find("another LibTorch") != std::string::npos);

  problem = prepare_cuda(Library{});
  CHECK(problem.code == "TACIT-RC73");
  CHECK(problem.fix.find("CUDA_VISIBLE_DEVICES") != std::string::npos);

  visible_devices = 2;
  problem = prepare_cuda(Library{.has_driver = false});  // loaded by now
  CHECK(problem.code == "TACIT-RC72");
  CHECK(problem.fix.find("tacit::libtorch_cuda") != std::string::npos);
}

TEST_CASE("a trainer for a GPU that is not there says so") {
  if (machine_may_have_cuda()) SKIP("this machine has an NVIDIA driver");
  for (int i = 0; i < 2; ++i) {
    try {
      small::train(tacit::Cuda{});
      FAIL("trained");
    } catch (tacit::ConfigError const& error) {
      CHECK(error.code() == "TACIT-RC70");
      CHECK(error.where() == "Cuda");
    }
  }
  CHECK_THROWS_AS(small::train(tacit::AutoDevice{.choice = "cuda:1"}), tacit::ConfigError);
}

TEST_CASE("auto goes on without it and says why") {
  if (machine_may_have_cuda()) SKIP("this machine has an NVIDIA driver");
  auto const device = tacit::AutoDevice{}.bind<at::Tensor>();
  CHECK(device.name() == "cpu");
  CHECK(device.reason() == "there is no NVIDIA driver on this machine (libcuda.so.1 is not found)");
  CHECK(device.host_reads_free());
  CHECK(tacit::AutoDevice{.choice = "cpu"}.bind<at::Tensor>().reason() == "asked for");
}

TEST_CASE("devices are counted, and one that is not there is an error") {
  if (machine_may_have_cuda()) SKIP("this machine has an NVIDIA driver");
  if (!pretended_hooks_answer()) SKIP("LibTorch was asked for CUDA earlier in this process; run this file by itself");
  Pretended const pretended;
  visible_devices = 2;
  hooks_say_yes = true;
  registered_guard().store(&guard);

  auto const device = tacit::Cuda{}.bind<at::Tensor>();
  CHECK((device.device() == c10::Device{c10::DeviceType::CUDA, 0}));
  CHECK(device.name() == "cuda:0");  // no driver tells the model
  CHECK_FALSE(device.host_reads_free());
  CHECK_FALSE(device.to(at::Tensor{}).defined());
  CHECK(tacit::Cuda{.index = 1}.bind<at::Tensor>().name() == "cuda:1");
  auto const chosen = tacit::AutoDevice{}.bind<at::Tensor>();
  CHECK(chosen.name() == "cuda:0");
  CHECK(chosen.reason() == "a CUDA device is visible");
  CHECK_FALSE(chosen.host_reads_free());
  CHECK(tacit::AutoDevice{.choice = "cuda:1"}.bind<at::Tensor>().name() == "cuda:1");
  CHECK(tacit::AutoDevice{.choice = "cpu"}.bind<at::Tensor>().name() == "cpu");
  try {
    tacit::Cuda{.index = 2}.bind<at::Tensor>();
    FAIL("bound");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC74");
    CHECK(error.problem() == "there is no CUDA device 2, only 2 visible, counted from 0");
  }
  CHECK_THROWS_AS(tacit::AutoDevice{.choice = "cuda:2"}.bind<at::Tensor>(), tacit::ConfigError);
  CHECK_THROWS_AS(tacit::Cuda{.index = 1000}.bind<at::Tensor>(), tacit::ConfigError);
}

TEST_CASE("an index is a count, and a text gives one") {
  CHECK(tacit::Cuda{}.index == tacit::unset);
  CHECK(tacit::Cuda::parse("cuda").index == tacit::unset);
  CHECK(tacit::Cuda::parse("cuda:3").index == tacit::CudaIndex{3});
  CHECK_THROWS_AS(tacit::Cuda::parse("cuda:x"), tacit::ConfigError);
  try {
    static_cast<void>(tacit::Cuda{.index = -1});
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.problem() == "-1 is not a number of a CUDA device");
  }
}

}  // namespace

}  // namespace cuda_tests
