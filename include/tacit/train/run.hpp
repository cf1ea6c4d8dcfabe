#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/concepts/optimizer.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/task/batch.hpp"
#include "tacit/task/step_result.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/closure_guard.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/loop.hpp"
#include "tacit/train/meeting.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/pass.hpp"
#include "tacit/train/result.hpp"
#include "tacit/train/scheduled.hpp"
#include "tacit/train/scopes.hpp"

namespace tacit::inline v0::detail {

/// A callback that keeps the size of micro-batches: AutoMicroBatch.
template <class Callback>
concept sizes_micro_batches = requires(Callback& callback, Samples rows, Sink const& sink, Progress const& progress) {
  { callback.micro_batch_rows() } -> std::same_as<Samples>;
  callback.halved(rows, sink, progress);
};
/// The place of the first such callback of a pack, or the pack's size.
template <class... C>
consteval std::size_t micro_batch_place(list<C...>) {
  std::size_t place = 0;
  [[maybe_unused]] bool const found = ((sizes_micro_batches<C> || (++place, false)) || ...);
  return place;
}

/// A training run: its data, its limits, and the window of micro-batches that makes the next update.
///
/// `Evaluate` is a callable (core, intermediate, name) that evaluates the run's eval sets, or `no_evaluation`.
struct no_evaluation {};
template <class CoreT, class Source, class Evaluate, class Schedules = Scheduled<CoreT>>
class TrainPass : public PassBase<CoreT, Source, true> {
  using base = PassBase<CoreT, Source, true>;
  using traits = typename base::traits;
  static constexpr bool is_single = CoreT::is_single;
  static constexpr std::size_t micro_batch_callback = micro_batch_place(typename base::callback_types{});
  static constexpr bool sums_beside_backward = requires(typename CoreT::distribution_type& distribution, std::span<double> numbers) {
    distribution.begin_sum(numbers);
    distribution.end_sum(numbers);
  };
  static constexpr bool takes_closure = steps_with_closure<typename CoreT::template Phase<0>::optimizer_type&, typename CoreT::parameters_type>;

  template <std::size_t... I>
  static consteval bool any_states_weight(std::index_sequence<I...>) {
    return (states_weight<typename base::template output_type<I>> || ...);
  }
  template <std::size_t... I>
  static consteval bool any_states_tokens(std::index_sequence<I...>) {
    return (tacit::states_tokens<typename base::template output_type<I>> || ...);
  }
  /// A handler may leave batches out, so that no weight is known before the step.
  static consteval bool may_skip() { return may_return_flow<event::TrainStepStart>(typename base::callback_types{}); }
  template <class Event, class... C>
  static consteval bool may_return_flow(list<C...>) {
    return (returns_flow<C, Event>() || ...);
  }
  template <class C, class Event>
  static consteval bool returns_flow() {
    using context = Context<TrainPass, event_parts<Event>>;
    if constexpr (requires(C& c, Event const& e, context& x) { { c.on(e, x) } -> std::same_as<Flow>; }) {
      return true;
    } else {
      return false;
    }
  }

  /// A handler of the loss may mask the update.
  template <std::size_t... I>
  static consteval bool may_mask(std::index_sequence<I...>) {
    return (is_handled<TrainPass, phase_event<I, event::TrainLossComputed>, event_parts<event::TrainLossComputed>, I> || ...);
  }
  /// Its losses wait for the update then: those of one that is skipped are in no mean.
  template <std::size_t... I>
  static consteval bool may_skip_update(std::index_sequence<I...> phases) {
    return may_mask(phases) || (is_handled<TrainPass, phase_event<I, event::UpdateStart>, event_parts<event::UpdateStart>, I> || ...);
  }
  template <std::size_t I, class Event>
  static consteval auto named_event() {
    if constexpr (base::phase_count > 1) {
      return type<event::Of<base::template phase_name<I>, Event>>{};
    } else {
      return type<Event>{};
    }
  }
  template <std::size_t I, class Event>
  using phase_event = typename decltype(named_event<I, Event>())::value;

 public:
  using tensor_type = typename base::tensor_type;
  static constexpr bool halves_batches = micro_batch_callback < base::callback_types::size;
  /// Modules of the model may wait for every rank.
  static constexpr bool talks = requires(typename CoreT::distribution_type& distribution) { distribution.needs_every_rank(); };

  TrainPass(CoreT& core, Source& source, TrainOptions const& options, Evaluate evaluate, Schedules& schedules)
      : base{core, source},
        schedules_{schedules},
        options_{options},
        evaluate_{std::move(evaluate)},
        accumulation_{options.gradient_accumulation.value()},
        update_limit_{options.limit.updates.value_or(std::numeric_limits<std::int64_t>::max())},
        has_other_limits_{options.limit.micro_batches.is_set() || options.limit.samples.is_set() || options.limit.tokens.is_set() ||
                          options.limit.duration.count() > 0},
        log_every_{options.log_every.value_or(core.device().host_reads_free() ? 1 : 50)},
        started_{std::chrono::steady_clock::now()} {
    if constexpr (halves_batches && base::phase_count > 1) report(bad<misuse::EC16, typename base::task_type>{});
    if (halves_batches && is_talking()) {
      throw ConfigError{"TACIT-RC89", "AutoMicroBatch halves batches of one rank and not of another, but modules of the model wait for all ranks (SyncBatchNorm)", "AutoMicroBatch",
                        "give a smaller per_device_batch_size, or take a batch norm of each rank's own"};
    }
    if constexpr (halves_batches && !is_divisible<tensor_type, typename base::batch_type>()) report(bad<misuse::ED06, typename base::batch_type>{});
    if constexpr (!states_tokens()) {
      if (options.limit.tokens.is_set()) {
        throw ConfigError{"TACIT-RC62", "a limit in tokens, but the task's step states no `weight`", "TrainOptions::limit.tokens",
                          "return a struct with a member `weight`, or limit another unit"};
      }
    }
    core.progress() = Progress{};
    core.set_log_point(true);
    core.set_gradient_norm(tensor_type{});  // nor that of another run
    if constexpr (requires { core.precision().discard(); }) core.precision().discard();
    if constexpr (requires { core.precision().skipped(core.log_point()); }) skipped_before_ = core.precision().skipped(core.log_point());
    this->epoch_limit_ = core.batch_limits().train.value_or(this->epoch_limit_);
  }

  /// True if the task's step states a weight of its own: tokens, pixels.
  static consteval bool states_tokens() { return any_states_tokens(std::make_index_sequence<base::phase_count>{}); }

  Updates updates() const { return this->core_.progress().updates; }
  UpdateIndex update_index() const { return UpdateIndex{this->core_.progress().updates.value()}; }
  StopReason reason() const noexcept { return reason_; }
  bool is_stopping() const noexcept { return stopping_; }
  bool has_evaluation() const noexcept { return !std::same_as<Evaluate, no_evaluation>; }
  auto training_mode() { return ModeScope<typename CoreT::task_type>{this->core_.task(), true}; }
  std::chrono::nanoseconds elapsed() const { return std::chrono::steady_clock::now() - started_; }

  // --- epochs ---

  bool has_another_epoch() const noexcept { return !stopping_ && !(options_.epochs.is_set() && epochs_begun_ >= options_.epochs.value()); }
  bool begins_another_epoch() {
    if (!has_another_epoch()) return false;
    ++epochs_begun_;
    return true;
  }
  std::int64_t epochs_begun() const noexcept { return epochs_begun_; }
  void begin_epoch() {
    for (auto& loss : this->losses_) loss.reset();
    this->source_.start_epoch(options_.seed.value_or(0), this->core_.progress().epoch, this->core_.rank(), this->core_.world_size());
    this->core_.progress().step = MicroBatchIndex{0};
    updates_before_ = updates().value();
    epoch_over_ = false;
    begin_window();
  }
  bool epoch_is_over() const noexcept { return epoch_over_; }
  void end_epoch() {
    agree_at_epoch_end();
    ++this->core_.progress().epoch;
  }
  MicroBatches epoch_steps() const { return this->core_.progress().step.value(); }
  Updates epoch_updates() const { return updates().value() - updates_before_; }

  void record_loss() { this->template record_losses<tag::train_loss>(); }

  // --- the window: the micro-batches of one update ---

  bool closes_window() const noexcept { return in_window_ + 1 == window_size_; }
  bool window_is_full() const noexcept { return in_window_ == window_size_; }
  /// After the epoch's last micro-batch. Data that tell their size are planned so that no window is.
  bool window_is_open() const noexcept {
    if constexpr (sized_batch_source<Source>) return false;
    return in_window_ != 0;
  }

  /// While it lives, gradients stay on this rank, unless the micro-batch closes the window.
  auto gradient_scope() { return local_scope(keeps_gradients_local || !closes_window()); }

  /// Leaves the batch out: its weight is 0.
  void skip_batch() {
    keep_stand_in();
    base::skip_batch();
  }
  /// True where this rank has no batch for the step, and modules of the model on the others wait for it.
  bool is_awaited() const { return is_talking() && !this->batch_; }
  /// An earlier batch takes the place of the one that is not there; nothing of it counts. Returns: the scope of that.
  auto stand_in() {
    if (!stand_in_) {
      throw DistributedError{"TACIT-RX24",
                             message({"rank ", this->core_.rank(), " has no batch in its first step, and modules of the model wait for all ranks (SyncBatchNorm)"}),
                             "train", "give at least one batch for each process, or start fewer"};
    }
    this->batch_ = std::exchange(stand_in_, std::nullopt);
    is_standing_in_ = true;
    return this->core_.distribution().absent();
  }

  /// The step of phase I on a graph that reaches the parameters of no other phase.
  template <std::size_t I>
  typename base::template output_type<I> forward() {
    begin_forward<I>();
    if constexpr (base::phase_count > 1) {
      PhaseScope<I, CoreT> const own{this->core_};
      return base::template forward<I>();
    } else {
      return base::template forward<I>();
    }
  }

  template <std::size_t I>
  void backward(typename base::template output_type<I> const& output) {
    // All that the ranks tell each other is known now.
    if constexpr (sums_beside_backward && base::phase_count == 1 && !halves_batches) {
      if (closes_window()) begin_meeting(!weights_known(), this->core_.log_point() != nullptr);
    }
    if (this->core_.masked() && !is_talking()) return;
    [[maybe_unused]] CoreT& core = this->core_;
    if constexpr (requires { core.distribution().during_backward(core.template phase<I>().parameters, output.loss, [] {}); }) {
      core.distribution().during_backward(core.template phase<I>().parameters, output.loss, [&] { core.precision().backward(output.loss, loss_factor()); });
    } else {
      core.precision().backward(output.loss, loss_factor());
    }
  }

  template <std::size_t I>
  void track_loss(typename base::template output_type<I> const& output) {
    if constexpr (may_skip_update(std::make_index_sequence<base::phase_count>{})) {
      window_losses_[I].add(output.loss, this->weight_);
    } else {
      base::template track_loss<I>(output);
    }
  }

  void end_step() {
    Progress& progress = this->core_.progress();
    keep_part();
    keep_stand_in();
    this->batch_.reset();
    if constexpr (!weights_known()) window_weight_ += this->weight_;
    ++in_window_;
    ++progress.step;
    ++progress.micro_batches;
    if constexpr (is_single) {
      progress.samples += this->samples_;
      if constexpr (states_tokens()) progress.tokens += static_cast<std::int64_t>(this->weight_);
    } else {
      window_samples_ += static_cast<double>(std::exchange(this->samples_, 0));
    }
    this->weight_ = 0.0;
  }

  /// The window's gradients and weights over all ranks. Returns: false if every batch was left out, on every rank.
  bool window_has_weight() {
    if constexpr (!is_single) {
      Progress& progress = this->core_.progress();
      // A rank without a batch takes part in what the others did in their steps before they come here. Several phases have updates in between.
      constexpr bool is_only = base::phase_count == 1;
      if constexpr (is_only) begin_forward<0>();
      begin_meeting(!weights_known(), is_only && this->core_.log_point() != nullptr);
      if constexpr (is_only) this->core_.distribution().prepare_gradients(this->core_.template phase<0>().parameters);
      end_meeting();
      if constexpr (weights_known()) {
        window_samples_ = planned_weight_;
      } else if constexpr (states_tokens()) {
        progress.tokens += static_cast<std::int64_t>(window_weight_);
      }
      progress.samples += static_cast<std::int64_t>(window_samples_);
    }
    if constexpr (weights_known()) {
      return true;
    } else {
      return window_weight_ != 0.0;
    }
  }
  void drop_window() {
    this->core_.forget_mask();
    if constexpr (!is_single) this->core_.clear_gradients();
    begin_window();
    after_window();
  }

  // --- parts of a batch, and windows that are computed again ---

  /// Calls `step` for the batch in work, or for one part of it after the other once memory ran out.
  ///
  /// A part that fails leaves gradients behind that nobody can take back: then those of the window are made anew, and the part is halved.
  template <class Step>
  void in_parts(Step const& step) {
    auto& micro_batch = this->core_.callbacks().template get<micro_batch_callback>();
    auto const whole = std::move(*this->batch_);
    std::int64_t const samples = std::exchange(this->samples_, 0);
    std::int64_t const rows = common_rows<tensor_type>(whole);
    double weight = 0.0;
    std::int64_t kept = 0;
    for (std::int64_t first = 0; first < std::max<std::int64_t>(rows, 1);) {
      std::int64_t const most = micro_batch.micro_batch_rows().value_or(rows);
      std::int64_t const count = std::min(most, rows - first);
      bool const is_whole = count == rows || rows == 0;  // without common rows it cannot be halved
      this->batch_.emplace(is_whole ? whole : rows_from<tensor_type>(whole, first, count));
      this->samples_ = is_whole ? samples : samples * (first + count) / rows - samples * first / rows;
      this->weight_ = static_cast<double>(this->samples_);
      if (fits_in_memory(step, count)) {
        weight += this->weight_;
        kept += this->samples_;
        first += std::max<std::int64_t>(count, 1);
        keep_part();
      } else {
        this->batch_.reset();
        if (plain_mean()) planned_weight_ = static_cast<double>(samples);
        micro_batch.halved(Samples{(count + 1) / 2}, this->core_.sink(), this->core_.progress());
        if constexpr (requires { this->core_.device().release_memory(); }) this->core_.device().release_memory();
        compute_window_again();
      }
    }
    this->batch_.reset();
    this->weight_ = weight;
    this->samples_ = kept;
  }

  // --- the update ---

  template <std::size_t I>
  bool is_updated() const noexcept {
    if constexpr (base::phase_count > 1) {
      return I < phases_updated_;
    } else {
      return false;
    }
  }

  template <std::size_t I>
  void finish_gradients() {
    CoreT& core = this->core_;
    auto& parameters = core.template phase<I>().parameters;
    if constexpr (!Schedules::empty) schedules_.template set<I>(applied_index());
    if constexpr (!is_single && base::phase_count > 1) {
      reduce_gradients<I>();
      if constexpr (I == 0) {
        begin_meeting(false, core.log_point() != nullptr);
        end_meeting();
      }
    }
    mask_ = core.precision().unscale(parameters);
    scale_and_clip<I>();
  }

  template <std::size_t I>
  void apply_update() {
    CoreT& core = this->core_;
    auto& phase = core.template phase<I>();
    if constexpr (!is_single && may_mask(std::make_index_sequence<base::phase_count>{})) unite_masks(phase);
    if (!core.masked()) {
      if constexpr (!takes_closure) keep_losses<I>(core.mask());  // a loss scale that skips the update leaves the loss in the mean
      if (tensor_type* const mask = core.mask()) {
        if (mask_ != nullptr) traits::max_(*mask, *mask_);
        mask_ = mask;
      }
      step(phase);
      if constexpr (takes_closure) {
        if (!core.masked()) keep_losses<I>(core.mask());
      }
      if constexpr (requires { core.precision().write_back(phase.parameters); }) core.precision().write_back(phase.parameters);
    }
    phase.parameters.clear_gradients();
    if constexpr (base::phase_count > 1) ++phases_updated_;
    if constexpr (I + 1 == base::phase_count) {
      core.precision().after_update();
      if constexpr (requires { core.precision().require_recoverable(core.log_point()); }) core.precision().require_recoverable(core.log_point());
      ++core.progress().updates;
    }
  }

  /// The mask of the update in work as a flag; null where there is none.
  tensor_type const* update_mask() {
    CoreT& core = this->core_;
    if (!core.masked()) return mask_;
    host_mask_ = traits::flag_like(1.0, (*core.template phase<0>().parameters.begin()).model);
    return &host_mask_;
  }

  /// Takes the wishes and the limits after an update; the next window begins.
  void after_update() {
    this->core_.forget_mask();
    begin_window();
    after_window();
  }

  // --- evaluation ---

  bool evaluates_inside_epoch() const {
    if constexpr (std::same_as<Evaluate, no_evaluation>) {
      return false;
    } else {
      return options_.evaluation.every_updates.is_set() && updates().value() % options_.evaluation.every_updates.value() == 0;
    }
  }
  bool evaluates_after_epoch() const {
    if constexpr (std::same_as<Evaluate, no_evaluation>) {
      return false;
    } else {
      std::int64_t const every = options_.evaluation.every_epochs.value_or(1);
      return every > 0 && (this->core_.progress().epoch.value() + 1) % every == 0;
    }
  }
  void evaluate(bool intermediate) {
    if constexpr (!std::same_as<Evaluate, no_evaluation>) evaluate_(this->core_, intermediate, std::string_view{});
  }
  void evaluate_nested(std::string_view as) {
    if constexpr (std::same_as<Evaluate, no_evaluation>) {
      throw UsageError{"TACIT-RU03", "this run has no eval set", "context.evaluate()", "call train(train, valid, options)"};
    } else {
      evaluate_(this->core_, true, as);
    }
  }

  // --- changes by callbacks ---

  template <class Change>
  void change_parameters(Change&& change) {
    change_each(change, std::make_index_sequence<base::phase_count>{});
  }

  template <unsigned Parts, std::size_t Phase, class Event>
  void emit(Event const& event) {
    emit_with<Parts, Phase>(*this, event);
  }

 private:
  // The sum of weights of a window is known beforehand: then 1/sum goes into the loss and costs nothing.
  static consteval bool weights_known() { return planned_batch_source<Source> && !any_states_weight(std::make_index_sequence<base::phase_count>{}) && !may_skip(); }

  auto local_scope([[maybe_unused]] bool local) {
    if constexpr (is_single) {
      return no_scope{};
    } else {
      return sync_scope{this->core_, local};
    }
  }
  /// True if modules of the model wait for every rank.
  bool is_talking() const noexcept {
    if constexpr (talks) {
      return this->core_.distribution().needs_every_rank();
    } else {
      return false;
    }
  }
  auto absent_scope([[maybe_unused]] bool absent) {
    if constexpr (talks) {
      return absent ? std::optional{this->core_.distribution().absent()} : std::nullopt;
    } else {
      return no_scope{};
    }
  }
  class sync_scope {
   public:
    sync_scope(CoreT& core, bool local) {
      if (local) guard_.emplace(core.distribution().no_sync());
    }

   private:
    std::optional<decltype(std::declval<typename CoreT::distribution_type&>().no_sync())> guard_{};
  };

  /// One micro-batch on one process, in one part: the gradient of its mean loss is the update's.
  bool plain_mean() const noexcept { return is_single && accumulation_ == 1 && !is_in_parts(); }
  bool is_in_parts() const noexcept {
    if constexpr (halves_batches) {
      return this->core_.callbacks().template get<micro_batch_callback>().micro_batch_rows().is_set();
    } else {
      return false;
    }
  }

  double loss_factor() const noexcept {
    if (plain_mean()) return 1.0;
    if constexpr (weights_known()) {
      return this->weight_ * static_cast<double>(this->core_.world_size()) / planned_weight_;
    } else {
      return this->weight_;
    }
  }

  // g++ would inline it with some packs of callbacks and not with others: then one that never fires costs a call.
  [[gnu::always_inline]] void begin_window() {
    in_window_ = 0;
    if constexpr (base::phase_count > 1) phases_updated_ = 0;
    if constexpr (keeps_window) kept_.clear();
    if constexpr (may_skip_update(std::make_index_sequence<base::phase_count>{})) {
      for (auto& losses : window_losses_) losses.reset();
    }
    if constexpr (!weights_known()) window_weight_ = 0.0;
    if constexpr (!is_single) window_samples_ = 0.0;
    if (!plain_mean()) plan_window();
    if (log_every_ != 1) this->core_.set_log_point((updates().value() + 1) % log_every_ == 0);
  }

  /// How many micro-batches the window has, and their weight where it is known.
  void plan_window() {
    CoreT& core = this->core_;
    window_size_ = accumulation_;
    if (has_other_limits_ && options_.limit.micro_batches.is_set()) {
      window_size_ = std::min(window_size_, std::max<std::int64_t>(1, options_.limit.micro_batches.value() - core.progress().micro_batches.value()));
    }
    window_size_ = std::min(window_size_, std::max<std::int64_t>(1, this->epoch_limit_ - core.progress().step.value()));
    if constexpr (sized_batch_source<Source>) {
      if (accumulation_ > 1) {
        std::int64_t const left = this->source_.size(core.world_size()) - this->source_.position();
        if (left > 0) window_size_ = std::min(window_size_, left);
      }
    }
    if constexpr (weights_known()) {
      planned_weight_ = 0.0;
      std::int64_t const first = this->source_.position();
      std::int64_t const end = std::min(first + window_size_, this->source_.size(core.world_size()));
      for (std::int64_t batch = first; batch < end; ++batch) {
        planned_weight_ += static_cast<double>(this->source_.global_batch_samples(batch));
      }
    }
  }

  void after_window() {
    CoreT& core = this->core_;
    if (core.progress().step.value() >= this->epoch_limit_) epoch_over_ = true;
    // Most windows end here: the rest is on its own, so that this much is inlined.
    if (updates().value() < update_limit_ && !has_other_limits_ && (is_single ? core.wish() : agreed_) == 0) return;
    heed_limits_and_wishes();
  }
  void heed_limits_and_wishes() {
    CoreT& core = this->core_;
    if (updates().value() >= update_limit_ || (has_other_limits_ && other_limit_is_reached())) stop(StopReason::limit);
    if constexpr (is_single) {
      if (core.wish() != 0) take_wish(core.wish());
    } else {
      if (agreed_ != 0) take_wish(std::exchange(agreed_, 0));
    }
  }

  void take_wish(int wish) {
    if (wish == 1) {
      epoch_over_ = true;
      this->core_.set_wish(0);
    } else {
      stop(static_cast<StopReason>(wish - 2));
    }
  }

  void stop(StopReason reason) {
    // A bad loss may be found out after a limit was reached: it is the reason that a caller must know.
    if (stopping_ && reason == StopReason::non_finite) reason_ = reason;
    if (stopping_) return;
    stopping_ = true;
    epoch_over_ = true;
    reason_ = reason;
    notify(*this, event::StopRequested{reason});
  }

  bool other_limit_is_reached() const {
    Progress const& progress = this->core_.progress();
    RunLimit const& limit = options_.limit;
    bool const by_count = (limit.micro_batches.is_set() && progress.micro_batches >= limit.micro_batches) ||
                          (limit.samples.is_set() && progress.samples >= limit.samples) ||
                          (limit.tokens.is_set() && progress.tokens >= limit.tokens);
    if constexpr (is_single) {
      return by_count || (limit.duration.count() > 0 && elapsed() >= limit.duration);
    } else {
      return by_count;  // clocks differ between ranks: time is a wish that they agree on
    }
  }

  int own_wish() const {
    int wish = this->core_.wish();
    bool const out_of_time = options_.limit.duration.count() > 0 && elapsed() >= options_.limit.duration;
    return wish < 2 && out_of_time ? 2 + static_cast<int>(StopReason::limit) : wish;
  }

  /// Where the distribution can, the meeting begins before the last backward pass of the window and goes on beside it.
  void begin_meeting(bool has_weights, bool has_votes) {
    if (meeting_.is_on()) return;
    CoreT& core = this->core_;
    meeting_.open();
    if (has_weights) meeting_.tell(window_weight_ + this->weight_, window_samples_ + static_cast<double>(this->samples_));  // the batch in work counts, too
    if (has_votes) meeting_.vote(core.masked(), core.mask() != nullptr, own_wish());
    if constexpr (sums_beside_backward) {
      if (!meeting_.numbers().empty()) core.distribution().begin_sum(meeting_.numbers());
    }
  }
  void end_meeting() {
    CoreT& core = this->core_;
    meeting_.close();
    if (meeting_.numbers().empty()) return;
    if constexpr (sums_beside_backward) {
      core.distribution().end_sum(meeting_.numbers());
    } else {
      core.distribution().reduce_sum(meeting_.numbers());
    }
    if (meeting_.has_weights()) {
      window_weight_ = meeting_.weight();
      window_samples_ = meeting_.samples();
    }
    if (meeting_.has_votes()) {
      if (meeting_.any_masks()) core.mask_update();
      any_flag_ = meeting_.any_mask_or_flag();
      agreed_ = meeting_.largest_wish();
    }
  }
  /// Every rank takes part in the mask of every other one, also a rank that had no batch for it. Between log points
  /// nobody knows whether there is one, and what a rank decided on the host goes as a flag.
  template <class Phase>
  void unite_masks(Phase& phase) {
    CoreT& core = this->core_;
    bool const agreed = core.log_point() != nullptr;
    if (agreed && (core.masked() || !(any_flag_ || base::phase_count > 1))) return;
    core.distribution().reduce_max(core.mask_like((*phase.parameters.begin()).model));
  }
  void agree_at_epoch_end() {
    int wish = own_wish();
    if constexpr (!is_single) wish = static_cast<int>(this->core_.distribution().agree(wish));
    if (wish >= 2) stop(static_cast<StopReason>(wish - 2));
    if (wish == 1) this->core_.set_wish(0);
  }

  /// The update to come among those that the precision did not leave out.
  UpdateIndex applied_index() {
    if constexpr (requires { this->core_.precision().skipped(this->core_.log_point()); }) {
      return UpdateIndex{updates().value() - (this->core_.precision().skipped(this->core_.log_point()) - skipped_before_)};
    } else {
      return update_index();
    }
  }

  /// Where the distribution reduces during backward, it is told of the forward pass before.
  template <std::size_t I>
  void begin_forward() {
    [[maybe_unused]] CoreT& core = this->core_;
    if constexpr (requires { core.distribution().begin_forward(core.template phase<I>().parameters, task_model<I>(core.task())); }) {
      core.distribution().begin_forward(core.template phase<I>().parameters, task_model<I>(core.task()));
    }
  }
  /// Gradients become the mean over the ranks, also on a rank that had no batch.
  template <std::size_t I>
  void reduce_gradients() {
    begin_forward<I>();
    this->core_.distribution().prepare_gradients(this->core_.template phase<I>().parameters);
  }

  template <std::size_t I>
  void scale_and_clip() {
    if constexpr (!weights_known()) {
      if (!plain_mean()) {
        double const scale = static_cast<double>(this->core_.world_size()) / window_weight_;
        for_gradients<I>([scale](auto& gradients) { traits::scale_(gradients, scale); });
      }
    }
    if (options_.clip.norm > 0.0) {
      this->core_.set_gradient_norm(tensor_type{});  // not that of another phase, where this one has no gradient
      for_gradients<I>([this](auto& gradients) { this->core_.set_gradient_norm(traits::clip_norm_(gradients, options_.clip.norm)); });
    } else if (options_.clip.value > 0.0) {
      for_gradients<I>([this](auto& gradients) { traits::clip_value_(gradients, options_.clip.value); });
    }
  }

  /// The losses of the window are in the epoch's mean, unless the flag is there and not 0.
  template <std::size_t I>
  void keep_losses(tensor_type const* skip) {
    if constexpr (may_skip_update(std::make_index_sequence<base::phase_count>{})) {
      this->losses_[I].add(window_losses_[I], skip);
      window_losses_[I].reset();
    }
  }

  /// Keeps what was computed, where it may have to be computed again.
  void keep_part() {
    if constexpr (keeps_window) {
      if (this->batch_) kept_.push_back({*this->batch_, this->weight_, is_standing_in_});
    }
  }
  /// Keeps the batch for a step that this rank has none for.
  void keep_stand_in() {
    if constexpr (talks) {
      if (is_talking() && this->batch_) stand_in_ = std::move(this->batch_);
      is_standing_in_ = false;
    }
  }
  /// The gradients of what the window has computed so far, and no others; returns the mean loss.
  basic_mean<tensor_type> compute_window_again() {
    basic_mean<tensor_type> loss;
    this->core_.template phase<0>().parameters.clear_gradients();
    for (Part const& part : kept_) {
      [[maybe_unused]] auto const local = local_scope(keeps_gradients_local || &part != &kept_.back());
      [[maybe_unused]] auto const absent = absent_scope(part.is_stand_in);
      this->batch_.emplace(part.batch);
      this->weight_ = part.weight;
      auto const output = forward<0>();
      backward<0>(output);
      loss.add(output.loss, part.weight);
    }
    this->batch_.reset();
    return loss;
  }
  /// False if memory did not suffice and the step can be tried with fewer rows.
  template <class Step>
  bool fits_in_memory(Step const& step, std::int64_t rows) {
    try {
      step();
      return true;
    } catch (std::exception const& error) {
      if (rows < 2 || !traits::out_of_memory(error)) throw;
    }
    return false;
  }

  /// What an optimizer with a closure calls: the window's mean loss; its gradients are made anew.
  tensor_type loss_again() {
    CoreT& core = this->core_;
    auto& parameters = core.template phase<0>().parameters;
    auto const loss = compute_window_again();
    if constexpr (!is_single) reduce_gradients<0>();
    core.precision().unscale(parameters);
    scale_and_clip<0>();
    LogPoint const now{LogPoint::outside_a_run{}};
    double numbers[2] = {loss.sum(now), loss.weight(now)};
    if constexpr (!is_single) core.distribution().reduce_sum(numbers);
    if constexpr (may_skip_update(std::make_index_sequence<base::phase_count>{})) {
      closure_is_finite_ = std::isfinite(loss.quotient(numbers[0], numbers[1]));
      for_gradients<0>([this](auto& gradients) { closure_is_finite_ = closure_is_finite_ && traits::read(traits::first_non_finite(gradients)) == 0.0; });
    }
    return traits::scalar_like(loss.quotient(numbers[0], numbers[1]), (*parameters.begin()).model);
  }

  template <std::size_t I, class Use>
  void for_gradients(Use const& use) {
    gradients_.clear();
    for (auto& parameter : this->core_.template phase<I>().parameters) {
      tensor_type& gradient = traits::grad(parameter.master);
      if (traits::defined(gradient)) gradients_.push_back(gradient);
    }
    if (!gradients_.empty()) use(gradients_);
    gradients_.clear();
  }

  template <class Phase>
  void step(Phase& phase) {
    if constexpr (takes_closure) {
      if (mask_ == nullptr || traits::read(*mask_) == 0.0) step_with_closure(phase);
    } else if constexpr (Phase::optimizer_type::maskable) {
      phase.optimizer.step(phase.parameters, update_input<tensor_type>{mask_});
    } else {
      if (mask_ != nullptr && traits::read(*mask_) != 0.0) return;
      phase.optimizer.step(phase.parameters, update_input<tensor_type>{});
    }
  }

  /// Where a handler may skip updates, one whose last loss, gradient or parameters are not finite is taken back; the optimizer starts anew.
  template <class Phase>
  void step_with_closure(Phase& phase) {
    auto const closure = [this] { return loss_again(); };
    if constexpr (!may_skip_update(std::make_index_sequence<base::phase_count>{})) {
      phase.optimizer.step(phase.parameters, closure);
    } else {
      ParametersBefore<tensor_type> const before{phase.parameters};
      closure_is_finite_ = true;
      phase.optimizer.step(phase.parameters, closure);
      if (closure_is_finite_ && before.are_finite(phase.parameters)) return;
      before.restore(phase.parameters);
      phase.optimizer.parameters_changed(phase.parameters);
      this->core_.mask_update();
    }
  }

  template <class Change, std::size_t... I>
  void change_each(Change& change, std::index_sequence<I...>) {
    std::size_t count = 0;
    (change_one<I>(change, count), ...);
    notify(*this, event::ParametersChanged{count});
  }
  template <std::size_t I, class Change>
  void change_one(Change& change, std::size_t& count) {
    auto& phase = this->core_.template phase<I>();
    change(phase.parameters);
    if constexpr (!is_single) this->core_.distribution().prepare_parameters(phase.parameters);
    if constexpr (CoreT::keeps_masters) this->core_.precision().prepare_parameters(phase.parameters);
    phase.optimizer.parameters_changed(phase.parameters);
    count += phase.parameters.size();
  }

  Schedules& schedules_;
  TrainOptions const& options_;
  Evaluate evaluate_;
  std::int64_t accumulation_;
  std::int64_t update_limit_;
  bool has_other_limits_;
  std::int64_t log_every_;
  std::chrono::steady_clock::time_point started_;

  bool stopping_ = false;
  bool epoch_over_ = false;
  StopReason reason_ = StopReason::completed;
  std::int64_t epochs_begun_ = 0;
  std::int64_t updates_before_ = 0;
  std::int64_t skipped_before_ = 0;  // by the precision, before this run
  int agreed_ = 0;
  bool any_flag_ = false;  // at a log point: some rank holds a mask on the device

  std::int64_t window_size_ = 1;
  std::int64_t in_window_ = 0;
  std::size_t phases_updated_ = 0;
  std::array<basic_mean<tensor_type>, base::phase_count> window_losses_{};  // where a handler may skip the update
  double planned_weight_ = 0.0;
  double window_weight_ = 0.0;
  double window_samples_ = 0.0;
  tensor_type const* mask_ = nullptr;
  tensor_type host_mask_{};  // for `update_mask`, where the host masked the update
  std::vector<tensor_type> gradients_{};

  struct Part {
    typename base::batch_type batch;
    double weight;  // what its loss is a mean over
    bool is_stand_in;
  };
  static constexpr bool keeps_window = halves_batches || takes_closure;
  /// A rank may compute a window again: the distribution reduces when all are done, not in the last backward pass.
  static constexpr bool keeps_gradients_local = halves_batches && !is_single;
  template <int>
  struct nothing {};  // each a type of its own: two of one type would not share an address
  // Of the window in work. A vector that is never used would still cost each step four instructions.
  [[no_unique_address]] std::conditional_t<keeps_window, std::vector<Part>, nothing<0>> kept_{};
  [[no_unique_address]] std::conditional_t<is_single, nothing<1>, Meeting> meeting_{};
  [[no_unique_address]] std::conditional_t<talks, std::optional<typename base::batch_type>, nothing<2>> stand_in_{};
  bool is_standing_in_ = false;
  bool closure_is_finite_ = true;  // the last one that the optimizer called
};

/// Closes a run's entry in the history and tells how it went.
template <class Core, class Pass>
RunResult end_run(Core& core, Pass& pass) {
  core.history().end_run(pass.reason(), pass.updates());
  RunResult result;
  result.reason = pass.reason();
  result.epochs = pass.epochs_begun();
  result.updates = pass.updates();
  result.micro_batches = core.progress().micro_batches;
  result.samples = core.progress().samples;
  result.duration = pass.elapsed();
  result.metrics = core.history().last_run();
  return result;
}

}  // namespace tacit::inline v0::detail
