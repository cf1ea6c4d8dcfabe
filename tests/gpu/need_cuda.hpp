#pragma once

#include <dlfcn.h>

#include <string>

#include "tacit/policy/device/cuda_library.hpp"

/// What the GPU tests share.
namespace gpu {

/// Empty where the tests can run; else why they cannot.
inline std::string missing() {
  tacit::detail::CudaProblem const problem = tacit::detail::prepare_cuda();
  return problem.code.empty() ? std::string{} : "no CUDA device: " + problem.what;
}

/// While it lives, LibTorch throws wherever the host would wait for the device (c10's sync-debug mode).
///
/// The mode is a variable of an inline function in a header that needs the CUDA toolkit, so it is found by its symbol.
class WaitingIsAnError {
 public:
  /// False where this LibTorch keeps the mode elsewhere.
  static bool is_possible() { return mode() != nullptr; }

  WaitingIsAnError() { *mode() = error; }
  WaitingIsAnError(WaitingIsAnError const&) = delete;
  WaitingIsAnError& operator=(WaitingIsAnError const&) = delete;
  ~WaitingIsAnError() { *mode() = off; }

 private:
  static constexpr int off = 0;
  static constexpr int error = 2;
  static int* mode() {
    return static_cast<int*>(::dlsym(RTLD_DEFAULT, "_ZZN3c104cuda13warning_stateEvE14warning_state_"));
  }
};

}  // namespace gpu
