#pragma once

#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <dlfcn.h>
#include <link.h>

#include <string>
#include <string_view>

/// LibTorch's CUDA half, loaded when a program asks for it: no CUDA header is needed to compile this, nor a CUDA
/// library to link it.
namespace tacit::inline v0::detail {

/// Why CUDA cannot be used; no code: it can.
struct CudaProblem {
  std::string_view code{};
  std::string what{};
  std::string_view fix{};
};

/// Where CUDA's two libraries come from. The tests have another.
struct CudaLibrary {
  /// The driver's library, which stays loaded; null where the machine has none.
  static void* driver() { return ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL); }

  /// Loads libtorch_cuda.so into this process, from where the linker looks or from beside LibTorch's other libraries.
  /// Gives what the dynamic linker had to say against it; empty: it is loaded.
  static std::string load() {
    if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) return {};
    std::string reason = last_error();
    if (void* const neighbour = ::dlopen("libtorch_cpu.so", RTLD_NOW | RTLD_NOLOAD)) {
      ::link_map* map = nullptr;
      std::string path;
      if (::dlinfo(neighbour, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr) path = map->l_name;
      ::dlclose(neighbour);
      path.erase(path.find_last_of('/') + 1);
      if (!path.empty()) {
        if (::dlopen((path + "libtorch_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return {};
        reason = last_error();
      }
    }
    return reason;
  }

 private:
  static std::string last_error() {
    char const* const error = ::dlerror();
    return error == nullptr ? "no reason is given" : error;
  }
};

/// Readies CUDA as far as it can be readied.
///
/// LibTorch remembers its first answer to "is there CUDA?", so nothing here asks it before the library is loaded, and a
/// program that asked earlier (`torch::manual_seed` does) must link the library instead.
/// Cost: half a second and more where the library must be loaded, once; next to nothing without a driver.
template <class Library = CudaLibrary>
CudaProblem prepare_cuda(Library const& library = {}) {
  if (!c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA)) {
    if (library.driver() == nullptr) {
      return {"TACIT-RC70", "there is no NVIDIA driver on this machine (libcuda.so.1 is not found)",
              "install the driver, or train on Cpu"};
    }
    if (std::string const reason = library.load(); !reason.empty()) {
      return {"TACIT-RC71", "LibTorch's CUDA library cannot be loaded (" + reason + ")",
              "link tacit::libtorch_cuda of a LibTorch built with CUDA, or train on Cpu"};
    }
    if (!c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA)) {
      return {"TACIT-RC71", "libtorch_cuda.so was loaded, but it serves another LibTorch than this program's",
              "keep one LibTorch in the library path, or train on Cpu"};
    }
  }
  if (c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA)->deviceCount() < 1) {
    return {"TACIT-RC73", "no CUDA device is visible",
            "see whether nvidia-smi lists one and what CUDA_VISIBLE_DEVICES says, or train on Cpu"};
  }
  if (!at::detail::getCUDAHooks().hasCUDA()) {
    return {"TACIT-RC72",
            "LibTorch was asked for CUDA before its CUDA library was loaded, and remembers that there was none",
            "link tacit::libtorch_cuda, or make the trainer before the first call such as torch::manual_seed or "
            "torch::cuda::is_available"};
  }
  return {};
}

inline int cuda_device_count() { return c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA)->deviceCount(); }

/// The device's name as its maker gives it, asked of the driver; empty where it does not tell.
/// Requires: CUDA is ready.
inline std::string cuda_device_name(int index) {
  void* const driver = CudaLibrary::driver();
  if (driver == nullptr) return {};
  auto* const get_device = reinterpret_cast<int (*)(int*, int)>(::dlsym(driver, "cuDeviceGet"));
  auto* const get_name = reinterpret_cast<int (*)(char*, int, int)>(::dlsym(driver, "cuDeviceGetName"));
  int device = 0;
  char name[256] = {};
  bool const told = get_device != nullptr && get_name != nullptr && get_device(&device, index) == 0 &&
                    get_name(name, static_cast<int>(sizeof name) - 1, device) == 0;
  return told ? std::string{name} : std::string{};
}

}  // namespace tacit::inline v0::detail
