#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/events/context.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/scopes.hpp"
#include "tacit/train/stop_request.hpp"
#include "tacit/train/window_reduction.hpp"

namespace tacit::inline v0::detail {

/// How a training step works together with those of other ranks: what the distribution has besides collectives, and the shadow batch.
///
/// Where modules of the model synchronize (`SyncBatchNorm`), their forward and backward passes wait for every rank. A rank without a
/// batch then runs an earlier one, its *shadow batch*, of which nothing counts.
/// `MaySkip`: handlers may skip updates.
template <class CoreT, class Batch, bool MaySkip>
class Ranks {
  using distribution_type = typename CoreT::distribution_type;
  using parameters_type = typename CoreT::parameters_type;
  static constexpr bool is_single = CoreT::is_single;

 public:
  static constexpr bool steps_across_ranks = CoreT::steps_across_ranks && !is_single;
  static constexpr bool has_waiting_modules = waits_for_every_rank<distribution_type>;
  static constexpr bool has_shadow_batches = steps_across_ranks || has_waiting_modules;
  static constexpr bool sums_beside_backward = tacit::sums_beside_backward<distribution_type>;

  /// True if steps wait for every rank.
  bool is_synchronizing(CoreT& core) const {
    if constexpr (steps_across_ranks) {
      if (core.world_size() > 1) return true;
    }
    if constexpr (has_waiting_modules) {
      return core.distribution().needs_every_rank();
    } else {
      return false;
    }
  }

  /// While it lives, gradients stay on this rank if `is_local`.
  auto local_scope([[maybe_unused]] CoreT& core, [[maybe_unused]] bool is_local) const {
    if constexpr (is_single) {
      return no_scope{};
    } else {
      return sync_scope{core, is_local};
    }
  }
  /// While it lives, nothing of the batch in work counts for modules of the model and for the step's own exchange.
  template <class StepContextT>
  auto shadow_scope([[maybe_unused]] CoreT& core, [[maybe_unused]] StepContextT& context, [[maybe_unused]] bool is_on) const {
    if constexpr (has_shadow_batches) {
      return ShadowScope{core, context, is_on};
    } else {
      return no_scope{};
    }
  }

  void keep_shadow([[maybe_unused]] CoreT& core, [[maybe_unused]] std::optional<Batch>& batch) {
    if constexpr (has_shadow_batches) {
      if (batch && is_synchronizing(core)) shadow_ = std::move(batch);
    }
  }
  Batch take_shadow([[maybe_unused]] CoreT& core)
    requires(has_shadow_batches)
  {
    if (!shadow_) {
      throw DistributedError{"TACIT-RX24",
                             message({"rank ", core.rank(), " has no batch in its first step, and modules or steps of the others wait for all ranks"}),
                             "train", "give at least one batch for each process, or start fewer"};
    }
    return *std::exchange(shadow_, std::nullopt);
  }

  /// Where the distribution reduces during backward, it is told of the forward pass before.
  template <std::size_t I>
  void begin_forward([[maybe_unused]] CoreT& core) const {
    if constexpr (reduces_during_backward<distribution_type, parameters_type, std::remove_cvref_t<decltype(task_model<I>(core.task()))>>) {
      core.distribution().begin_forward(core.template phase<I>().parameters, task_model<I>(core.task()));
    }
  }
  /// The gradients of factor * loss.
  template <std::size_t I, class Tensor>
  void backward(CoreT& core, Tensor const& loss, double factor) const {
    if constexpr (reduces_during_backward<distribution_type, parameters_type, std::remove_cvref_t<decltype(task_model<I>(core.task()))>>) {
      core.distribution().during_backward(core.template phase<I>().parameters, loss, [&] { core.precision().backward(loss, factor); });
    } else {
      core.precision().backward(loss, factor);
    }
  }

  // --- what the ranks tell each other once for each phase of a window ---

  /// Where the distribution can, the sum begins before the window's last backward pass and goes on beside it.
  /// `own_stop()`: what this rank asks for.
  template <std::size_t I, class WindowT, class OwnStop>
  void begin_reduction([[maybe_unused]] CoreT& core, [[maybe_unused]] WindowT const& window, [[maybe_unused]] OwnStop const& own_stop) {
    if constexpr (!is_single) {
      if (reduction_.is_open()) return;
      reduction_.open();
      if constexpr (!WindowT::is_planned) reduction_.add_weights(window.weight(I), window.samples());
      if (core.log_point() != nullptr) add_requests(core, own_stop(), window.samples() > 0);
      if constexpr (sums_beside_backward) {
        if (!reduction_.numbers().empty()) core.distribution().begin_sum(reduction_.numbers());
      }
    }
  }
  /// Gradients become the mean over the ranks, weights and requests those of all ranks.
  template <std::size_t I, class WindowT, class OwnStop>
  void reduce_window([[maybe_unused]] CoreT& core, [[maybe_unused]] WindowT& window, [[maybe_unused]] OwnStop const& own_stop) {
    if constexpr (!is_single) {
      begin_forward<I>(core);  // a rank without a batch first takes part in what the others did in their steps
      begin_reduction<I>(core, window, own_stop);
      core.distribution().prepare_gradients(core.template phase<I>().parameters);
      end_reduction<I>(core, window);
      if constexpr (WindowT::on_device) {
        if (window.has_device_weights()) window.set_device_weight(I, core.distribution().sum(window.device_weight(I, core.any_parameter())));
      }
    }
  }
  template <std::size_t I>
  void reduce_gradients([[maybe_unused]] CoreT& core) {
    if constexpr (!is_single) {
      begin_forward<I>(core);
      core.distribution().prepare_gradients(core.template phase<I>().parameters);
    }
  }
  /// The skip flag is max-reduced over the ranks. At log points they have told each other whether there is one.
  template <std::size_t I>
  void unite_skips([[maybe_unused]] CoreT& core) {
    if constexpr (!is_single) {
      if (core.log_point() != nullptr && (core.skip().by_host() || !any_skips_or_flags_)) return;
      core.distribution().reduce_max(core.skip().as_flag((*core.template phase<I>().parameters.begin()).model));
    }
  }
  /// The strongest stop request that the ranks told each other since it was last taken.
  StopRequest take_stop() noexcept { return std::exchange(stop_, StopRequest{}); }
  bool has_stop() const noexcept { return !stop_.is_none(); }

 private:
  /// A rank that has found a bad update and has no batch now skips the update of all: no handler does it for that rank.
  void add_requests(CoreT& core, StopRequest stop, bool has_batch) noexcept {
    bool const has_flag = core.skip().has_flag();  // then that one skips it
    bool const is_bad = MaySkip && !has_batch && !has_flag && stop == StopRequest::end_run(StopReason::non_finite);
    reduction_.add_requests(core.skip().by_host() || is_bad, has_flag, stop);
  }
  template <std::size_t I, class WindowT>
  void end_reduction(CoreT& core, WindowT& window) {
    reduction_.close();
    if (reduction_.numbers().empty()) return;
    if constexpr (sums_beside_backward) {
      core.distribution().end_sum(reduction_.numbers());
    } else {
      core.distribution().reduce_sum(reduction_.numbers());
    }
    if (reduction_.has_weights()) {
      // Beside weights on a device it goes into their sum, of all ranks.
      if (!window.has_device_weights()) window.set_weight(I, reduction_.weight());
      if constexpr (I == 0) window.set_samples(reduction_.samples());
    }
    if (reduction_.has_requests()) {
      if (reduction_.any_skips()) core.skip().skip();
      any_skips_or_flags_ = reduction_.any_skips_or_flags();
      stop_ = std::max(stop_, reduction_.strongest_stop());
    }
  }

  class sync_scope {
   public:
    sync_scope(CoreT& core, bool is_local) {
      if (is_local) guard_.emplace(core.distribution().no_sync());
    }

   private:
    std::optional<decltype(std::declval<distribution_type&>().no_sync())> guard_{};
  };
  class ShadowScope {
   public:
    template <class StepContextT>
    ShadowScope(CoreT& core, StepContextT& context, bool is_on) {
      if (!is_on) return;
      if constexpr (has_waiting_modules) of_modules_.emplace(made_by{[&] { return core.distribution().absent(); }});
      if constexpr (steps_across_ranks) of_step_.emplace(made_by{[&] { return context.shadow(); }});
    }

   private:
    /// Converts to what a call gives, where it is wanted: guards need not be movable.
    template <class Make>
    struct made_by {
      Make make;
      operator std::invoke_result_t<Make const&>() const { return make(); }
    };
    template <class Make>
    made_by(Make) -> made_by<Make>;
    template <class Absent>
    static auto absent_of(Absent& distribution) {
      if constexpr (has_waiting_modules) {
        return distribution.absent();
      } else {
        return no_scope{};
      }
    }
    static auto shadow_of(StepContext<CoreT>& context) {
      if constexpr (steps_across_ranks) {
        return context.shadow();
      } else {
        return no_scope{};
      }
    }
    std::optional<decltype(absent_of(std::declval<distribution_type&>()))> of_modules_{};
    std::optional<decltype(shadow_of(std::declval<StepContext<CoreT>&>()))> of_step_{};
  };
  template <int>
  struct nothing {};  // each a type of its own: two of one type would not share an address
  [[no_unique_address]] std::conditional_t<has_shadow_batches, std::optional<Batch>, nothing<0>> shadow_{};
  [[no_unique_address]] std::conditional_t<is_single, nothing<1>, WindowReduction> reduction_{};
  StopRequest stop_{};
  bool any_skips_or_flags_ = false;
};

}  // namespace tacit::inline v0::detail
