#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/concepts/device_policy.hpp"
#include "tacit/task/step_result.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/handler_rights.hpp"
#include "tacit/train/loop.hpp"
#include "tacit/train/losses.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/pass.hpp"
#include "tacit/train/ranks.hpp"
#include "tacit/train/recompute.hpp"
#include "tacit/train/recorded.hpp"
#include "tacit/train/run_control.hpp"
#include "tacit/train/scheduled.hpp"
#include "tacit/train/scopes.hpp"
#include "tacit/train/shared_parameters.hpp"
#include "tacit/train/stop_request.hpp"
#include "tacit/train/update.hpp"
#include "tacit/train/window.hpp"

namespace tacit::inline v0::detail {

struct no_evaluation {};

/// A training run as the loop sees it: each verb of `loop.hpp` is a member.
///
/// The work is done by: the window and its weights (`window.hpp`), the update (`update.hpp`), the limits
/// (`limits.hpp`), the work with other ranks (`ranks.hpp`), windows that are computed again (`recompute.hpp`).
/// `Evaluate` is a callable (core, intermediate, name) that evaluates the run's eval sets, or `no_evaluation`.
template <class CoreT, class Source, class Evaluate, class Schedules = Scheduled<CoreT>>
class TrainPass : public PassBase<CoreT, Source, true>, public RunControl<CoreT> {
  using base = PassBase<CoreT, Source, true>;
  using ranks_type = Ranks<CoreT, typename base::batch_type, handlers_may_skip<base>()>;
  template <std::size_t I>
  using output_of = typename base::template output_type<I>;
  static constexpr std::size_t micro_batch_callback = micro_batch_place(typename base::callback_types{});
  static constexpr bool has_evaluations = !std::same_as<Evaluate, no_evaluation>;
  /// Handlers may skip updates; otherwise nothing asks whether one did.
  static constexpr bool may_skip = handlers_may_skip<base>();
  /// The sum of a window's weights is known before its first step: then it goes into the loss and costs nothing.
  static constexpr bool weights_known = planned_batch_source<Source> && !base::states_weights && !handlers_may_skip_batches<base>();

 public:
  using tensor_type = typename base::tensor_type;
  using traits = typename base::traits;
  using base::phase_count;
  static constexpr bool is_single = CoreT::is_single;
  static constexpr bool halves_batches = micro_batch_callback < base::callback_types::size;
  /// A rank may compute a window again: the distribution reduces when all are done, not in the last backward pass.
  static constexpr bool keeps_gradients_local = halves_batches && !is_single;
  static constexpr bool has_shadow_batches = ranks_type::has_shadow_batches;

  TrainPass(CoreT& core, Source& source, TrainOptions const& options, Evaluate evaluate, Schedules& schedules)
      : base{core, source},
        RunControl<CoreT>{core, options},
        schedules_{schedules},
        options_{options},
        evaluate_{std::move(evaluate)},
        accumulation_{options.gradient_accumulation.value()},
        log_every_{options.log_every.value_or(core.device().host_reads_free() ? 1 : 50)},
        window_{core.world_size(), base::has_tensor_weights && !traits::host_readable(core.any_parameter())},
        updater_{core, window_, options.clip} {
    if constexpr (halves_batches) require_divisible_batches<TrainPass>(ranks_.is_synchronizing(core));
    this->limits_.require_tokens(base::token_phase < phase_count);
    this->epoch_limit_ = core.batch_limits().train.value_or(this->epoch_limit_);
  }

  void begin_epoch() {
    losses_.begin_epoch();
    this->source_.start_epoch(options_.seed.value_or(0), this->begin_epoch_of_data(), this->core_.rank(), this->core_.world_size());
    begin_window();
  }
  void end_epoch() {
    StopRequest request = this->own_stop();
    if constexpr (!is_single) request = StopRequest::of_strength(static_cast<int>(this->core_.distribution().agree(request.strength())));
    heed(request);
    tell_missing_metrics(this->core_, evaluates_after_epoch() || !has_evaluations || this->evaluations_.are_never(), false, typename CoreT::composition::watched_tags{});
    ++this->core_.progress().epoch;
  }
  void record_loss() {
    if constexpr (sized_batch_source<Source>) window_.require_closed();
    share_buffers(this->core_);
    this->template record_losses<tag::train_loss>(losses_);
  }

  // --- the window: the micro-batches of one update ---

  bool closes_window() const noexcept { return window_.is_closing(); }
  bool window_is_full() const noexcept { return window_.is_full(); }
  /// Data of unknown length may end inside a window; those of sized data are planned to end with them.
  bool window_is_open() const noexcept { return !sized_batch_source<Source> && window_.is_open(); }
  auto& window() noexcept { return window_; }

  /// While it lives, gradients stay on this rank, unless the micro-batch closes the window.
  auto gradient_scope() { return local_scope(keeps_gradients_local || !closes_window()); }
  auto local_scope(bool is_local) { return ranks_.local_scope(this->core_, is_local); }
  auto shadow_scope(bool is_absent) { return ranks_.shadow_scope(this->core_, this->context_, is_absent); }

  /// Leaves the batch out: its weight is 0.
  void skip_batch() {
    ranks_.keep_shadow(this->core_, this->batch_);
    base::skip_batch();
  }
  /// True where this rank has no batch for the step, and modules of the model on the others wait for it.
  bool is_awaited() const { return !this->batch_ && ranks_.is_synchronizing(this->core_); }
  /// An earlier batch takes the place of the one that is not there; nothing of it counts. Returns: the scope of that.
  auto shadow_batch() {
    this->batch_ = ranks_.take_shadow(this->core_);
    is_shadow_ = true;
    return shadow_scope(true);
  }

  // --- the step ---

  /// The step of phase I on a graph that reaches the parameters of no other phase.
  template <std::size_t I>
  output_of<I> forward() {
    shared_.hold(I);  // first: a reducer that is made now looks at gradients
    ranks_.template begin_forward<I>(this->core_);
    [[maybe_unused]] auto const own = shared_.template only<I>();
    return base::template forward<I>();
  }
  /// Counts the micro-batch, and computes its gradients.
  template <std::size_t I>
  void backward(output_of<I> const& output) {
    if constexpr (I == 0 && !is_single) window_.add_samples(this->samples_);
    if constexpr (states_tensor_weight<output_of<I>>) {
      if (this->is_weight_on_device_) window_.add(I, output.weight);
    }
    if (!this->is_weight_on_device_) window_.add(I, this->weight_);
    if constexpr (ranks_type::sums_beside_backward && !halves_batches) {
      if (closes_window()) ranks_.template begin_reduction<I>(this->core_, window_, [this] { return this->own_stop(); });
    }
    differentiate<I>(output);
  }
  template <std::size_t I>
  void differentiate(output_of<I> const& output) {
    [[maybe_unused]] auto const own = shared_.template only<I>();  // a step that runs again in backward is that of phase I, too
    bool const is_left_out = this->template is_left_out<I>();
    bool const is_skipped = may_skip && this->core_.skip().by_host();
    if ((is_left_out || is_skipped) && !ranks_.is_synchronizing(this->core_)) return;
    if constexpr (states_tensor_weight<output_of<I>>) {
      if (this->is_weight_on_device_) return ranks_.template backward<I>(this->core_, traits::multiply(output.loss, output.weight), 1.0);
    }
    ranks_.template backward<I>(this->core_, output.loss, is_left_out ? 0.0 : window_.loss_factor(this->weight_));
  }
  template <std::size_t I>
  void track_loss(output_of<I> const& output) {
    this->template add_loss<I>(losses_.open(I), output);
  }
  void end_step() {
    Progress& progress = this->core_.progress();
    this->require_untouched_data();
    if constexpr (computes_loss_again<CoreT> && !halves_batches) keep_part();
    ranks_.keep_shadow(this->core_, this->batch_);
    if constexpr (has_shadow_batches) is_shadow_ = false;
    this->batch_.reset();
    window_.end_micro_batch();
    ++progress.step;
    ++progress.micro_batches;
    if constexpr (is_single) progress.samples += this->samples_;
  }

  // --- the update ---

  /// Sums the window's gradients and weights of phase I over the ranks. Returns: true if any rank has weight in the window.
  template <std::size_t I>
  bool reduce_window() {
    Progress& progress = this->core_.progress();
    shared_.hold(I);
    ranks_.template reduce_window<I>(this->core_, window_, [this] { return this->own_stop(); });
    if constexpr (I == 0 && !is_single) progress.samples += static_cast<std::int64_t>(weights_known ? window_.weight(I) : window_.samples());
    if constexpr (I == base::token_phase) {
      bool const reads = this->core_.log_point() != nullptr || options_.limit.tokens.is_set();
      tokens_.add(window_, I, this->core_.any_parameter(), reads, progress.tokens);
    }
    return window_.has_weight(I);
  }
  bool is_closed(std::size_t phase) const noexcept { return phase_count > 1 && phase < closed_phases_; }
  /// Gradients of phase I become those of the mean over the window and the ranks, unscaled and clipped.
  template <std::size_t I>
  void finish_gradients() {
    if constexpr (!Schedules::empty) schedules_.template set<I>(updater_.applied_index());
    updater_.template finish_gradients<I>();
  }
  template <std::size_t I>
  void apply_update() {
    if constexpr (handlers_may_skip_updates<base>()) ranks_.template unite_skips<I>(this->core_);
    updater_.template step<I, may_skip>([this](auto... none) { return loss_again(*this, none...); });  // generic: instantiated for optimizers with a closure alone
    losses_.keep(I, this->core_.skip());
    drop_update<I>();
    if constexpr (!weights_known) is_updated_ = true;
    if constexpr (I + 1 == phase_count) count_update();
  }
  /// Phase I is done with its gradients.
  template <std::size_t I>
  void drop_update() {
    this->core_.template phase<I>().parameters.clear_gradients();
    if constexpr (phase_count > 1) ++closed_phases_;
  }
  /// The next window begins; what was asked for meanwhile is heeded. Returns: false if no phase was updated.
  bool end_window() {
    bool const is_updated = weights_known || std::exchange(is_updated_, false);
    if constexpr (phase_count > 1) {
      if (is_updated && !is_counted_) count_update();
      closed_phases_ = 0;
      is_counted_ = false;
    }
    if constexpr (may_skip) this->core_.skip().reset();
    begin_window();
    after_window();
    return is_updated;
  }
  /// Whether the update in work is skipped, as a flag on the device; null where nothing skips it.
  tensor_type const* update_mask() { return updater_.skip_flag(); }

  // --- evaluation ---

  static constexpr bool has_evaluation() noexcept { return has_evaluations; }
  /// False at the last update of an epoch that is evaluated itself: no set is evaluated twice.
  bool evaluates_inside_epoch() const {
    if constexpr (!has_evaluations) return false;
    return this->evaluations_.are_after_update(this->updates()) && !(is_at_epoch_end() && evaluates_after_epoch());
  }
  bool evaluates_after_epoch() const { return has_evaluations && this->evaluations_.are_after_epoch(this->core_.progress().epoch); }
  void evaluate(bool is_intermediate) {
    if constexpr (has_evaluations) evaluate_(this->core_, is_intermediate, std::string_view{});
  }
  void evaluate_nested(std::string_view as) {
    if constexpr (has_evaluations) return evaluate_(this->core_, true, as);
    throw UsageError{"TACIT-RU03", "this run has no eval set", "context.evaluate()", "call train(train, valid, options)"};
  }

  // --- windows that are computed again (recompute.hpp) ---

  auto& micro_batch() { return this->core_.callbacks().template get<micro_batch_callback>(); }
  auto const& parts() const noexcept { return parts_; }
  void keep_part() {
    if (this->batch_) parts_.push_back({*this->batch_, this->samples_, is_shadow_});
  }
  /// The same gradients as before, ready for the optimizer once more.
  void finish_again() {
    ranks_.template reduce_gradients<0>(this->core_);
    updater_.template finish_gradients<0>();
  }
  void begin_updates() { updater_.begin(); }
  void end_updates() noexcept { updater_.end(); }
  void note_closure(double loss) { updater_.note_closure(loss); }

  // --- what callbacks ask for ---

  template <class Change>
  void change_parameters(Change&& change) {
    notify(*this, event::ParametersChanged{change_every_phase(this->core_, shared_, change)});
  }
  template <unsigned Parts, std::size_t Phase, class Event>
  void emit(Event const& event) {
    emit_with<Parts, Phase>(*this, event);
  }

 private:
  // g++ would inline it with some packs of callbacks and not with others: then one that never fires costs a call.
  [[gnu::always_inline]] void begin_window() {
    window_.begin(is_single && accumulation_ == 1 && !is_in_parts());
    if constexpr (keeps_window) parts_.clear();
    losses_.begin_window();
    if (!window_.is_plain()) plan_window();
    if (log_every_ != 1) this->core_.set_log_point((this->updates().value() + 1) % log_every_ == 0);
  }
  bool is_in_parts() const noexcept {
    if constexpr (halves_batches) return this->core_.callbacks().template get<micro_batch_callback>().micro_batch_rows().is_set();
    return false;
  }
  void plan_window() {
    CoreT& core = this->core_;
    std::int64_t const left = std::max<std::int64_t>(1, this->epoch_limit_ - core.progress().step.value());
    std::int64_t const most = std::min({accumulation_, left, this->limits_.micro_batches_left(core.progress())});
    window_.plan(window_size(this->source_, most, core.world_size()));
    if constexpr (weights_known) window_.plan_weight(planned_samples(this->source_, window_.size(), core.world_size()));
  }
  void after_window() {
    CoreT& core = this->core_;
    if (core.progress().step.value() >= this->epoch_limit_) this->end_.end_epoch();
    // Most windows end here: the rest is on its own, so that this much is inlined.
    bool const is_asked = is_single ? !core.pending_stop().is_none() : ranks_.has_stop();
    if (!this->limits_.updates_are_reached(this->updates()) && !this->limits_.has_others() && !is_asked) return;
    if (this->limits_.are_reached(core.progress())) stop(StopReason::limit);
    heed(is_single ? core.pending_stop() : ranks_.take_stop());
  }
  bool is_at_epoch_end() const {
    if constexpr (sized_batch_source<Source>) {
      if (this->source_.position() >= this->source_.size(this->core_.world_size())) return true;
    }
    return this->end_.is_epoch_over();
  }

  void heed(StopRequest request) {
    if (request.ends_run()) stop(request.reason());
    this->heed_end_of_epoch(request);
  }
  void stop(StopReason reason) {
    if (this->end_.stop(reason)) notify(*this, event::StopRequested{reason});
  }

  void count_update() {
    auto& precision = this->core_.precision();
    precision.after_update();
    if constexpr (scopes_steps<typename CoreT::device_type>) this->core_.device().after_update();
    if constexpr (requires { precision.require_recoverable(this->core_.log_point()); }) precision.require_recoverable(this->core_.log_point());
    ++this->core_.progress().updates;
    if constexpr (phase_count > 1) is_counted_ = true;
  }
  static constexpr bool keeps_window = halves_batches || computes_loss_again<CoreT>;

  Schedules& schedules_;
  TrainOptions const& options_;
  Evaluate evaluate_;
  std::int64_t accumulation_;
  std::int64_t log_every_;

  using window_type = Window<tensor_type, phase_count, weights_known, base::has_tensor_weights>;
  window_type window_;
  Updater<CoreT, window_type> updater_;
  TokenCount<tensor_type, base::has_tensor_weights> tokens_{};
  EpochLosses<tensor_type, phase_count, may_skip> losses_{};
  std::size_t closed_phases_ = 0;
  bool is_updated_ = false;
  bool is_counted_ = false;
  // A vector that is never used would still cost each step four instructions.
  struct nothing {};
  [[no_unique_address]] std::conditional_t<keeps_window, std::vector<Part<typename base::batch_type>>, nothing> parts_{};
  [[no_unique_address]] ranks_type ranks_{};
  [[no_unique_address]] shared_parameters_of<CoreT> shared_{this->core_};
  bool is_shadow_ = false;
};

}  // namespace tacit::inline v0::detail
