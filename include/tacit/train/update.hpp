#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/precision_policy.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/handles.hpp"
#include "tacit/train/agreement.hpp"
#include "tacit/train/closure_guard.hpp"
#include "tacit/train/options.hpp"

namespace tacit::inline v0::detail {

/// An optimizer that computes the loss again, several times in one update.
template <class CoreT>
inline constexpr bool computes_loss_again = steps_with_closure<typename CoreT::template Phase<0>::optimizer_type&, typename CoreT::parameters_type>;

/// A callback that has updates of an optimizer with a closure taken back where a later loss, gradient or parameter is
/// not finite, as TerminateOnNaN. It handles the loss or the start of updates: only then may updates be skipped.
template <class Callback>
concept takes_back_updates = requires { requires innermost_t<Callback>::takes_back_updates; };
template <class... C>
consteval bool any_takes_back_updates(list<C...>) {
  return (takes_back_updates<C> || ...);
}

/// From the gradients of a closed window to new parameters: unscaled, divided by the window's weight, clipped, stepped.
template <class CoreT, class WindowT>
class Updater {
  using tensor_type = typename CoreT::tensor_type;
  using traits = tensor_traits<tensor_type>;
  static constexpr bool on_device = WindowT::on_device;

 public:
  Updater(CoreT& core, WindowT& window, Clip const& clip) : core_{core}, window_{window}, clip_{clip} {
    if constexpr (counts_skipped) {
      core.precision().discard();
      skipped_before_ = core.precision().skipped(core.log_point());
    }
  }

  Updater(Updater const&) = delete;
  Updater& operator=(Updater const&) = delete;
  ~Updater() { end(); }

  /// After the handlers of the run's start, which may have loaded weights.
  void begin() {
    share_models(core_);
    if constexpr (CoreT::keeps_masters) {
      core_.prepare_masters();
      share_masters(core_);
    }
    if constexpr (CoreT::optimizers_keep_weights) {
      core_.for_each_keeping_weights([](auto& optimizer, auto& parameters) { optimizer.run_begins(parameters); });
      has_begun_ = true;
    }
  }
  /// Before the handlers of the run's end, which may load weights.
  void end() noexcept {
    if constexpr (CoreT::optimizers_keep_weights) {
      if (!std::exchange(has_begun_, false)) return;
      core_.for_each_keeping_weights([](auto& optimizer, auto& parameters) { optimizer.run_ends(parameters); });
    }
  }

  /// The update to come among those that the precision did not skip: what schedules count.
  UpdateIndex applied_index() const {
    std::int64_t const updates = core_.progress().updates.value();
    if constexpr (counts_skipped) {
      return UpdateIndex{updates - (core_.precision().skipped(core_.log_point()) - skipped_before_)};
    } else {
      return UpdateIndex{updates};
    }
  }

  template <std::size_t I>
  void finish_gradients() {
    found_infinite_ = core_.precision().unscale(core_.template phase<I>().parameters);
    scale_and_clip<I>();
  }
  template <std::size_t I>
  void scale_and_clip() {
    auto& parameters = core_.template phase<I>().parameters;
    if (window_.has_device_weights()) {
      scale_by_device_weight<I>();
    } else if (double const scale = window_.gradient_scale(I); scale != 1.0) {
      with_gradients(parameters, [scale](auto& list) { traits::scale_(list, scale); });
    }
    if (clip_.norm > 0.0) {
      core_.set_gradient_norm(tensor_type{});  // not that of another phase, where this one has no gradient
      with_gradients(parameters, [this](auto& list) { core_.set_gradient_norm(traits::clip_norm_(list, clip_.norm)); });
    } else if (clip_.value > 0.0) {
      with_gradients(parameters, [this](auto& list) { traits::clip_value_(list, clip_.value); });
    }
  }

  /// One step of the optimizer, unless the update is skipped. `loss_again` is for optimizers with a closure.
  /// `MaySkip`: handlers may skip updates.
  template <std::size_t I, bool MaySkip, class LossAgain>
  void step(LossAgain const& loss_again) {
    if (MaySkip && core_.skip().by_host()) return;
    auto& phase = core_.template phase<I>();
    using optimizer_type = typename CoreT::template Phase<I>::optimizer_type;
    tensor_type const* const skip = MaySkip ? core_.skip().flag(found_infinite_) : found_infinite_;
    if constexpr (computes_loss_again<CoreT>) {
      if (skip == nullptr || traits::read(*skip) == 0.0) step_with_closure<MaySkip>(phase, loss_again);
    } else if constexpr (optimizer_type::maskable) {
      phase.optimizer.step(phase.parameters, update_input<tensor_type>{skip});
    } else if (skip == nullptr || traits::read(*skip) == 0.0) {
      phase.optimizer.step(phase.parameters, update_input<tensor_type>{});
    }
    if constexpr (CoreT::keeps_masters) core_.precision().write_back(phase.parameters);
  }

  /// The loss that an optimizer with a closure was given last, whose gradients are whole.
  void note_closure([[maybe_unused]] double loss) {
    if constexpr (!any_takes_back_updates(typename CoreT::callback_types{})) return;
    closure_is_finite_ = std::isfinite(loss);
    with_gradients(core_.template phase<0>().parameters, [this](auto& list) {
      closure_is_finite_ = closure_is_finite_ && traits::read(traits::first_non_finite(list)) == 0.0;
    });
  }

  /// Whether the update in work is skipped, as a flag on the device; null where nothing skips it.
  tensor_type const* skip_flag() {
    auto& skip = core_.skip();
    return skip.by_host() ? skip.device_flag(found_infinite_, core_.any_parameter()) : skip.flag(found_infinite_);
  }

 private:
  /// A step whose last loss, gradient or parameters are not finite is taken back where a callback asks for that, for no
  /// handler sees them. The optimizer starts anew.
  template <bool MaySkip, class Phase, class LossAgain>
  void step_with_closure(Phase& phase, LossAgain const& loss_again) {
    if constexpr (!MaySkip || !any_takes_back_updates(typename CoreT::callback_types{})) {
      phase.optimizer.step(phase.parameters, loss_again);
    } else {
      ParametersBefore<tensor_type> const before{phase.parameters};
      closure_is_finite_ = true;
      phase.optimizer.step(phase.parameters, loss_again);
      if (closure_is_finite_ && before.are_finite(phase.parameters)) return;
      before.restore(phase.parameters);
      phase.optimizer.parameters_changed(phase.parameters);
      if constexpr (requires { phase.optimizer.weights_replaced(phase.parameters); }) phase.optimizer.weights_replaced(phase.parameters);
      core_.skip().skip();
    }
  }

  static constexpr bool counts_skipped = may_skip_updates<typename CoreT::precision_type>;

  template <std::size_t I>
  void scale_by_device_weight() {
    if constexpr (on_device) {
      tensor_type const scale = traits::divide(window_.world(), window_.device_weight(I, core_.any_parameter()));
      // A sum of 0 is a window in which nothing counts: its update is skipped.
      nothing_counts_ = traits::non_finite(scale);
      if (found_infinite_ != nullptr) traits::max_(nothing_counts_, *found_infinite_);
      found_infinite_ = &nothing_counts_;
      with_gradients(core_.template phase<I>().parameters, [&](auto& list) { traits::scale_(list, scale); });
    }
  }
  /// Calls `use` with all gradients in one list, unless there is none.
  template <class Parameters, class Use>
  void with_gradients(Parameters& parameters, Use const& use) {
    list_.clear();
    for (auto& parameter : parameters) {
      tensor_type& gradient = traits::grad(parameter.master);
      if (traits::defined(gradient)) list_.push_back(gradient);
    }
    if (!list_.empty()) use(list_);
    list_.clear();
  }

  CoreT& core_;
  WindowT& window_;
  Clip clip_;
  bool has_begun_ = false;           // optimizers with weights of their own know of the run
  std::int64_t skipped_before_ = 0;  // by the precision, before this run
  tensor_type const* found_infinite_ = nullptr;
  std::vector<tensor_type> list_{};  // keeps its memory
  bool closure_is_finite_ = true;
  struct nothing {};
  [[no_unique_address]] std::conditional_t<on_device, tensor_type, nothing> nothing_counts_{};
};

/// How many items the steps of a run have stated as their weight.
template <class Tensor, bool OnDevice>
class TokenCount {
  using traits = tensor_traits<Tensor>;

 public:
  /// `reads`: the host may wait for the device.
  template <class WindowT>
  void add(WindowT const& window, std::size_t phase, [[maybe_unused]] Tensor const& like, [[maybe_unused]] bool reads, Tokens& into) {
    if constexpr (OnDevice) {
      if (window.has_device_weights()) {
        if (!traits::defined(on_device_)) on_device_ = traits::scalar_like(0.0, like);
        traits::add_(on_device_, window.device_weight(phase, like), 1.0);
        if (reads) into = static_cast<std::int64_t>(traits::read(on_device_));
        return;
      }
    }
    total_ += window.weight(phase);
    into = static_cast<std::int64_t>(total_);
  }

 private:
  struct nothing {};
  double total_ = 0.0;
  [[no_unique_address]] std::conditional_t<OnDevice, Tensor, nothing> on_device_{};
};

}  // namespace tacit::inline v0::detail
