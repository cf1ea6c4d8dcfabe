#pragma once

#include "tacit/concepts/tensor.hpp"

namespace tacit::inline v0::detail {

/// Whether the coming update is skipped: known on the host, or only by a flag on the device (a scalar, not 0 if so).
template <tensor Tensor>
class UpdateSkip {
  using traits = tensor_traits<Tensor>;

 public:
  void skip() noexcept { by_host_ = true; }
  /// Does not wait for the device.
  void skip_if(Tensor const& flag) {
    if (!traits::defined(flag_)) flag_ = traits::flag_like(0.0, flag);
    traits::max_(flag_, flag);
  }
  bool by_host() const noexcept { return by_host_; }
  bool has_flag() const noexcept { return traits::defined(flag_); }

  /// The whole request as a flag beside `like`, for a reduction over the ranks.
  Tensor& as_flag(Tensor const& like) {
    if (!has_flag()) flag_ = traits::flag_like(0.0, like);
    if (by_host_) traits::max_(flag_, traits::flag_like(1.0, like));
    by_host_ = false;
    return flag_;
  }

  /// The request of a phase, whose gradients may be found infinite besides; null where nothing can skip its update.
  /// The other phases do not see what was found in this one.
  Tensor const* flag(Tensor const* found_infinite) {
    if (!has_flag()) return found_infinite;
    if (found_infinite == nullptr) return &flag_;
    of_phase_ = traits::flag_like(0.0, flag_);
    traits::max_(of_phase_, flag_);
    traits::max_(of_phase_, *found_infinite);
    return &of_phase_;
  }
  /// The same where only the flag is read: a skip by the host is a flag of 1.
  Tensor const* device_flag(Tensor const* found_infinite, Tensor const& like) {
    if (!by_host_) return flag(found_infinite);
    of_phase_ = traits::flag_like(1.0, like);
    return &of_phase_;
  }

  void reset() {
    by_host_ = false;
    if (has_flag()) flag_ = Tensor{};
  }

 private:
  bool by_host_ = false;
  Tensor flag_{};
  Tensor of_phase_{};
};

}  // namespace tacit::inline v0::detail
