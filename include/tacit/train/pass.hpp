#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/concepts/device_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/metric/device_scalar.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/task/batch.hpp"
#include "tacit/task/step_result.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/agreement.hpp"
#include "tacit/train/batch_watch.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/losses.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/scopes.hpp"
#include "tacit/train/stop_request.hpp"

namespace tacit::inline v0::detail {

/// What training and evaluation share: a source of batches and the outputs of the step in work.
template <class CoreT, class Source, bool Training>
class PassBase {
 public:
  using core_type = CoreT;
  using tensor_type = typename CoreT::tensor_type;
  using traits = tensor_traits<tensor_type>;
  using task_type = typename CoreT::task_type;
  using source_type = Source;
  using batch_type = typename Source::batch_type;
  using device_scalar = basic_device_scalar<tensor_type>;
  using step_context = StepContext<CoreT>;
  using callback_types = typename CoreT::callback_types;
  static constexpr auto order = CoreT::order;
  static constexpr std::size_t phase_count = CoreT::phase_count;
  template <std::size_t I>
  static constexpr auto phase_name = detail::phase_name<task_type, I>();

  /// What the step of phase I returns.
  template <std::size_t I>
  using output_type = decltype(task_step<I, Training>(std::declval<task_type&>(), std::declval<batch_type const&>(), std::declval<step_context&>()));
  template <fixed_string Name>
  static constexpr std::size_t phase_index = task_phases<task_type>::template index<Name>;

  PassBase(CoreT& core, Source& source) : core_{core}, source_{source}, context_{core, Training} {}
  PassBase(PassBase const&) = delete;
  PassBase& operator=(PassBase const&) = delete;

  CoreT& core() const noexcept { return core_; }
  void share_models() { detail::share_models(core_); }
  batch_type const& batch() const { return *batch_; }
  template <std::size_t I>
  output_type<I> const& output() const {
    return *std::get<I>(outputs_);
  }
  /// Each phase has its own weight: what its step states, else the samples of the batch.
  template <std::size_t I>
  void set_output(output_type<I> const& output) {
    std::get<I>(outputs_) = &output;
    if (core_.progress().step.value() == 0) check_loss<tensor_type>(output.loss);  // its shape is the same all along
    weigh<I>(output);
  }
  template <std::size_t I>
  void weigh([[maybe_unused]] output_type<I> const& output) {
    if constexpr (has_tensor_weights) is_weight_on_device_ = false;  // it was of the phase before
    if constexpr (states_weight<output_type<I>>) {
      if constexpr (states_tensor_weight<output_type<I>>) {
        // Where the loss can be read, so can the weight: nothing waits for the other device.
        is_weight_on_device_ = !host_knows_weight(output) && !traits::host_readable(output.loss);
        if (is_weight_on_device_) return;
      }
      weight_ = host_weight(output);
    } else if constexpr (phase_count > 1) {
      weight_ = static_cast<double>(samples_);
    }
  }

  EpochIndex epoch_index() const { return core_.progress().epoch; }
  MicroBatchIndex step_index() const { return core_.progress().step; }
  std::int64_t batches_per_epoch() const {
    if constexpr (sized_batch_source<Source>) {
      return std::min(source_.size(core_.world_size()), epoch_limit_);
    } else {
      return -1;
    }
  }

  bool has_batch() const noexcept { return batch_.has_value(); }
  void set_batch(batch_type batch, std::int64_t samples) {
    batch_.emplace(std::move(batch));
    set_samples(samples);
  }
  void clear_batch() { batch_.reset(); }
  void set_samples(std::int64_t samples) {
    if constexpr (has_tensor_weights) is_weight_on_device_ = false;
    samples_ = samples;
    weight_ = static_cast<double>(samples);
  }
  std::int64_t samples() const noexcept { return samples_; }
  /// Leaves the batch out: its weight is 0.
  void skip_batch() {
    batch_.reset();
    weight_ = 0.0;
    samples_ = 0;
  }

  /// False at the end of the data; true without a batch where this rank has none for the step.
  bool next_batch() {
    if constexpr (asks_for_every_batch) {
      if (!next_of_unknown(core_, source_, batch_)) return false;
    } else {
      if (!source_.next(batch_)) return false;
    }
    samples_ = 0;
    if (batch_) {
      if constexpr (CoreT::transfers) {
        for_each_tensor<tensor_type>(*batch_, [this](tensor_type& tensor) { tensor = core_.to_device(tensor); });
      }
      if constexpr (planned_batch_source<Source>) {
        samples_ = source_.batch_samples(source_.position() - 1);
        if constexpr (requires { requires Source::has_own_collate; }) require_row_per_sample();
      } else {
        samples_ = rows_of<tensor_type>(*batch_);
      }
      watch_.begin(*batch_);
    }
    weight_ = static_cast<double>(samples_);
    if constexpr (has_tensor_weights) is_weight_on_device_ = false;
    return true;
  }

  template <std::size_t I>
  output_type<I> forward() {
    [[maybe_unused]] auto const autocast = core_.precision().autocast();
    try {
      [[maybe_unused]] auto const scope = forward_scope(core_.device());
      return task_step<I, Training>(core_.task(), *batch_, context_);
    } catch (std::exception& error) {
      add_place(error, phase_name<I>.view());
      throw;
    }
  }

  /// An error of the tensor library says in which step it arose, and of which shapes the batch is; its type stays, and
  /// other errors as they are.
  [[gnu::cold, gnu::noinline]] void add_place(std::exception& error, std::string_view phase) const noexcept {
    if constexpr (requires(std::string text) { traits::add_context(error, text); }) {
      try {
        std::string text =
            message({Training ? "in the step" : "in the evaluation's step", phase.empty() ? "" : " of phase ", phase,
                     ", epoch ", core_.progress().epoch.value(), Training ? ", batch " : "",
                     Training ? std::to_string(core_.progress().step.value()) : "", "; shapes of the batch:"});
        auto const show = [&text](tensor_type const& tensor) { text.append(" ").append(traits::shape(tensor)); };
        if constexpr (requires { show(batch_->input), show(batch_->target); }) {
          // As most have: to take a struct apart costs each compilation more.
          show(batch_->input), show(batch_->target);
        } else {
          for_each_tensor<tensor_type>(*batch_, show);
        }
        traits::add_context(error, std::move(text));
      } catch (...) {  // the error itself is what counts
      }
    }
  }

  /// Adds the step's loss: the true loss, whatever the accumulation.
  template <std::size_t I>
  void add_loss(basic_mean<tensor_type>& mean, output_type<I> const& output) const {
    if constexpr (states_tensor_weight<output_type<I>>) {
      if (is_weight_on_device_) return mean.add(output.loss, output.weight);
    }
    if (!is_left_out<I>()) mean.add(output.loss, weight_);
  }

  /// The step is over. Throws: DataError if it changed the data set in place.
  void require_untouched_data() { watch_.end(Training, epoch_index(), step_index()); }

 protected:
  /// A step of weight 0 counts for nothing. On the device nobody knows yet.
  template <std::size_t I>
  bool is_left_out() const noexcept {
    if constexpr (states_weight<output_type<I>>) {
      return !is_weight_on_device_ && weight_ == 0.0;
    } else {
      return false;
    }
  }
  static constexpr bool states_all_weights = []<std::size_t... I>(std::index_sequence<I...>) {
    return (states_weight<output_type<I>> && ...);
  }(std::make_index_sequence<phase_count>{});
  static constexpr bool states_weights = []<std::size_t... I>(std::index_sequence<I...>) {
    return (states_weight<output_type<I>> || ...);
  }(std::make_index_sequence<phase_count>{});
  /// The first phase whose step states a weight that counts tokens, or the number of phases.
  static constexpr std::size_t token_phase = []<std::size_t... I>(std::index_sequence<I...>) {
    std::size_t first = 0;
    [[maybe_unused]] bool const found = ((states_tokens<output_type<I>> || (++first, false)) || ...);
    return first;
  }(std::make_index_sequence<phase_count>{});
  /// Nobody knows how many batches there are: the ranks ask each other before each.
  static constexpr bool asks_for_every_batch =
      !CoreT::is_single && !sized_batch_source<Source> && !requires { Source::is_given; };
  static constexpr bool has_tensor_weights = []<std::size_t... I>(std::index_sequence<I...>) {
    return (states_tensor_weight<output_type<I>> || ...);
  }(std::make_index_sequence<phase_count>{});

  /// The mean losses of the pass over all ranks; under the phases' names where the task has several.
  template <class Tag, class Losses>
  void record_losses(Losses const& losses) {
    core_.set_log_point(true);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      if constexpr (phase_count == 1) {
        core_.record(Tag{}, losses[0]);
      } else {
        (core_.record(on<phase_name<I>, Tag>{}, losses[I]), ...);
      }
    }(std::make_index_sequence<phase_count>{});
  }

  CoreT& core_;
  Source& source_;
  step_context context_;
  std::optional<batch_type> batch_{};
  std::int64_t samples_ = 0;  // of the batch in work
  double weight_ = 0.0;       // of the phase in work: what its loss is a mean over
  bool is_weight_on_device_ = false;
  std::int64_t epoch_limit_ = std::numeric_limits<std::int64_t>::max();  // batches of an epoch at most
  [[no_unique_address]] BatchWatch<tensor_type, Source> watch_{};

 private:
  /// Throws: DataError where collate left samples out that the weight of the batch counts.
  void require_row_per_sample() const {
    if constexpr (!states_all_weights && is_divisible<tensor_type, batch_type>()) {
      if (std::int64_t const rows = common_rows<tensor_type>(*batch_, samples_); rows < samples_) refuse_rows(rows);
    }
  }
  [[noreturn, gnu::cold]] void refuse_rows(std::int64_t rows) const {
    throw DataError{"TACIT-RD139",
                    message({"collate gave ", rows, rows == 1 ? " row for " : " rows for ", samples_,
                             " samples, and the batch weighs as much as its samples"}),
                    message({Training ? "train, epoch " : "evaluate, epoch ", epoch_index().value(), ", batch ",
                             step_index().value()}),
                    "leave samples out before the loader (data::views::filter), or return `weight` from the step"};
  }

  template <std::size_t... I>
  static auto pointers(std::index_sequence<I...>) -> std::tuple<output_type<I> const*...>;
  decltype(pointers(std::make_index_sequence<phase_count>{})) outputs_{};
};

/// One pass over an eval set.
template <class CoreT, class Source>
class EvalPass : public PassBase<CoreT, Source, false> {
  using base = PassBase<CoreT, Source, false>;

 public:
  EvalPass(CoreT& core, Source& source, std::string_view set, bool intermediate, MicroBatches limit)
      : base{core, source}, set_{set}, intermediate_{intermediate}, step_before_{core.progress().step},
        was_log_point_{core.log_point() != nullptr} {
    this->epoch_limit_ = std::min(limit.value_or(this->epoch_limit_), core.batch_limits().eval.value_or(this->epoch_limit_));
    core.set_eval_set(set);
    core.set_log_point(core.device().host_reads_free());
  }
  ~EvalPass() {
    this->core_.set_eval_set({});
    this->core_.progress().step = step_before_;
    this->core_.set_log_point(was_log_point_);
  }

  bool is_intermediate() const noexcept { return intermediate_; }
  std::string_view set_name() const noexcept { return set_; }

  /// Evaluation mode and no graph, while it lives.
  auto evaluation_mode() {
    struct scope {
      ModeScope<typename CoreT::task_type> mode;
      typename base::traits::no_grad no_grad{};
    };
    return scope{{this->core_.task(), false}};
  }

  void begin_epoch() {
    share_buffers(this->core_);
    losses_.begin_epoch();
    this->source_.start_epoch(this->core_.plan().seed, EpochIndex{0}, this->core_.rank(), this->core_.world_size());
    this->core_.progress().step = MicroBatchIndex{0};
    stop_before_ = this->core_.pending_stop();
  }
  template <std::size_t I>
  void track_loss(typename base::template output_type<I> const& output) {
    this->template add_loss<I>(losses_.open(I), output);
  }
  bool epoch_is_over() {
    StopRequest const request = this->core_.pending_stop();
    bool is_ended = request != stop_before_;
    if constexpr (steps_across_ranks || base::asks_for_every_batch) {
      is_ended = is_ended && this->core_.world_size() == 1;  // other ranks wait for all of its steps
    }
    std::int64_t const step = this->core_.progress().step.value();
    if (is_ended) {
      std::int64_t const all = sized_batch_source<Source> ? this->batches_per_epoch() : this->epoch_limit_;
      bool has_more = step < all;
      if constexpr (planned_batch_source<Source>) {
        has_more = has_more && this->source_.batch_samples(step) > 0;  // other ranks may have one batch more
      }
      if (has_more) cut_short_by_ = request;
    }
    return is_ended || step >= this->epoch_limit_;
  }
  /// The request that ended the pass before its last batch; none where it is complete. A request in the last step of
  /// data of unknown size counts as one before it.
  StopRequest cut_short_by() const noexcept { return cut_short_by_; }
  void end_step() {
    keep_shadow();
    this->require_untouched_data();
    this->batch_.reset();
    ++this->core_.progress().step;
  }

  // --- a rank without a batch, where steps ask the other ranks ---

  static constexpr bool steps_across_ranks = CoreT::steps_across_ranks && !CoreT::is_single;
  void skip_batch() {
    keep_shadow();
    base::skip_batch();
  }
  bool is_awaited() const { return steps_across_ranks && this->core_.world_size() > 1 && !this->batch_; }
  auto shadow_batch() {
    if (!shadow_) {
      throw DistributedError{"TACIT-RX24", message({"rank ", this->core_.rank(), " has no batch in the first step of an evaluation, and steps of the task ask all ranks"}), "evaluate",
                             "give at least one batch for each process, or start fewer"};
    }
    this->batch_ = std::exchange(shadow_, std::nullopt);
    return this->context_.shadow();
  }
  void record_loss() {
    // `end_epoch` ended this pass, not the epoch around it.
    if (stop_before_.is_none()) this->core_.stop_done(StopRequest::end_epoch());
    this->template record_losses<tag::eval_loss>(losses_);
  }

  template <unsigned Parts, std::size_t Phase, class Event>
  void emit(Event const& event) {
    emit_with<Parts, Phase>(*this, event);
  }

 private:
  void keep_shadow() {
    if constexpr (steps_across_ranks) {
      if (this->batch_) shadow_ = std::move(this->batch_);
    }
  }
  struct nothing {};
  [[no_unique_address]] std::conditional_t<CoreT::steps_across_ranks && !CoreT::is_single, std::optional<typename base::batch_type>, nothing> shadow_{};

  std::string_view set_;
  bool intermediate_;
  MicroBatchIndex step_before_;
  bool was_log_point_;
  StopRequest stop_before_{};
  StopRequest cut_short_by_{};
  EpochLosses<typename CoreT::tensor_type, base::phase_count, false> losses_{};
};

}  // namespace tacit::inline v0::detail
