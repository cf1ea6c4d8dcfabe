#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tacit/policy/device/host_threads.hpp"

namespace tacit::inline v0::detail {

/// The inputs of a call that LibTorch reports. Its own accessor throws in a program that is built without NDEBUG, for
/// it reads a flag that the library, which is built with it, never sets. The access check does not apply to the
/// arguments of an explicit instantiation.
struct inputs_of_call {
  using type = c10::ArrayRef<const c10::IValue> at::RecordFunction::*;
  friend constexpr type member_of(inputs_of_call);
};
template <class Tag, typename Tag::type Member>
struct reveal {
  friend constexpr typename Tag::type member_of(Tag) { return Member; }
};
template struct reveal<inputs_of_call, &at::RecordFunction::inputs_>;

class OperatorWork;
/// The one that lives: LibTorch hands its callbacks nothing of the caller's, and one run at a time is in a process.
inline OperatorWork* operator_work = nullptr;

/// Tells the work of every operator that this thread calls while it lives, until the listener has heard enough.
///
/// LibTorch calls it back; it computes nothing, and reads shapes only. Once it is done nobody is called.
class OperatorWork {
 public:
  explicit OperatorWork(WorkListener listener) : listener_{listener}, outer_{std::exchange(operator_work, this)} {
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback{&started, &ended}.needsInputs(true).needsOutputs(true).scopes(
            {at::RecordScope::FUNCTION}));
  }
  OperatorWork(OperatorWork const&) = delete;
  OperatorWork& operator=(OperatorWork const&) = delete;
  ~OperatorWork() {
    stop();
    operator_work = outer_;
  }

 private:
  /// What is known of an operator before it runs: multiply-adds for each element of its result.
  struct Known : at::ObserverContext {
    double each = ThreadRule::element_work;
  };

  /// Null in threads to which LibTorch hands the callbacks of this one.
  static OperatorWork* current() {
    bool const is_heard = operator_work != nullptr && operator_work->thread_ == std::this_thread::get_id() &&
                          operator_work->handle_ != at::INVALID_CALLBACK_HANDLE;
    return is_heard ? operator_work : nullptr;
  }

  static std::unique_ptr<at::ObserverContext> started(at::RecordFunction const& call) {
    if (current() == nullptr) return nullptr;
    auto known = std::make_unique<Known>();
    if (double const products = products_of(call.name(), call.*member_of(inputs_of_call{})); products > 0.0)
      known->each = products;
    return known;
  }
  static void ended(at::RecordFunction const& call, at::ObserverContext* context) {
    OperatorWork* const watch = current();
    if (watch == nullptr || context == nullptr) return;
    double elements = 0.0;
    for (c10::IValue const& output : call.outputs()) {
      if (output.isTensor() && output.toTensor().defined() && is_new(call, output.toTensor()))
        elements += static_cast<double>(output.toTensor().numel());
    }
    if (!watch->listener_.add(watch->listener_.self, elements * static_cast<Known*>(context)->each)) watch->stop();
  }

  /// A view costs nothing, whatever its size; an operator in place or one that makes a tensor does.
  static bool is_new(at::RecordFunction const& call, at::Tensor const& output) {
    return !output.is_view() || std::string_view{call.name()}.ends_with('_');
  }

  /// Multiply-adds for each element of the result of a product or a convolution; 0 for other operators.
  static double products_of(std::string_view name, c10::ArrayRef<c10::IValue const> inputs) {
    auto const tensor = [&](std::size_t at) -> at::Tensor const* {
      return at < inputs.size() && inputs[at].isTensor() && inputs[at].toTensor().defined() ? &inputs[at].toTensor()
                                                                                            : nullptr;
    };
    auto const inner = [&](std::size_t at) {
      at::Tensor const* const left = tensor(at);
      return left != nullptr && left->dim() > 0 ? static_cast<double>(left->size(-1)) : 0.0;
    };
    if (name == "aten::addmm" || name == "aten::baddbmm" || name == "aten::addmv" || name == "aten::_addmm_activation")
      return inner(1);
    if (name == "aten::mm" || name == "aten::bmm" || name == "aten::mv" || name == "aten::mkldnn_linear")
      return inner(0);
    if (name == "aten::convolution") {
      at::Tensor const* const weight = tensor(1);
      return weight != nullptr && weight->size(0) > 0
                 ? static_cast<double>(weight->numel()) / static_cast<double>(weight->size(0))
                 : 0.0;
    }
    if (name == "aten::mkldnn_rnn_layer") {
      at::Tensor const* const inward = tensor(1);
      at::Tensor const* const again = tensor(2);
      return inward != nullptr && again != nullptr && again->dim() > 0 && again->size(-1) > 0
                 ? static_cast<double>(inward->numel() + again->numel()) / static_cast<double>(again->size(-1))
                 : 0.0;
    }
    if (name.starts_with("aten::_scaled_dot_product")) {
      at::Tensor const* const key = tensor(1);
      return key != nullptr && key->dim() > 1 ? 2.0 * static_cast<double>(key->size(-2)) : 0.0;
    }
    return 0.0;
  }

  void stop() {
    if (handle_ != at::INVALID_CALLBACK_HANDLE) at::removeCallback(std::exchange(handle_, at::INVALID_CALLBACK_HANDLE));
  }

  WorkListener listener_;
  OperatorWork* outer_;
  std::thread::id thread_ = std::this_thread::get_id();
  at::CallbackHandle handle_ = at::INVALID_CALLBACK_HANDLE;
};

}  // namespace tacit::inline v0::detail
