#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/metric/device_scalar.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/task/batch.hpp"
#include "tacit/task/step_result.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/batch_watch.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/scopes.hpp"

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

  template <std::size_t I>
  static auto call_step(task_type& task, batch_type const& batch, step_context& context) {
    if constexpr (Training) {
      return task_train_step<I>(task, batch, context);
    } else {
      return task_eval_step<I>(task, batch, context);
    }
  }
  template <std::size_t I>
  using output_type = decltype(call_step<I>(std::declval<task_type&>(), std::declval<batch_type const&>(), std::declval<step_context&>()));
  template <fixed_string Name>
  static constexpr std::size_t phase_index = task_phases<task_type>::template index<Name>;

  PassBase(CoreT& core, Source& source) : core_{core}, source_{source}, context_{core, Training} {}
  PassBase(PassBase const&) = delete;
  PassBase& operator=(PassBase const&) = delete;

  CoreT& core() const noexcept { return core_; }
  batch_type const& batch() const { return *batch_; }
  template <std::size_t I>
  output_type<I> const& output() const {
    return *std::get<I>(outputs_);
  }
  template <std::size_t I>
  void set_output(output_type<I> const& output) {
    std::get<I>(outputs_) = &output;
    if constexpr (states_weight<output_type<I>>) weight_ = static_cast<double>(output.weight);
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
  /// Leaves the batch out: its weight is 0.
  void skip_batch() {
    batch_.reset();
    weight_ = 0.0;
    samples_ = 0;
  }

  /// False at the end of the data; true without a batch where this rank has none for the step.
  bool next_batch() {
    if (!source_.next(batch_)) return false;
    samples_ = 0;
    if (batch_) {
      if constexpr (CoreT::transfers) {
        for_each_tensor<tensor_type>(*batch_, [this](tensor_type& tensor) { tensor = core_.to_device(tensor); });
      }
      if constexpr (planned_batch_source<Source>) {
        samples_ = source_.batch_samples(source_.position() - 1);
      } else {
        samples_ = rows_of<tensor_type>(*batch_);
      }
      watch_.begin(*batch_);
    }
    weight_ = static_cast<double>(samples_);
    return true;
  }

  template <std::size_t I>
  output_type<I> forward() {
    [[maybe_unused]] auto const autocast = core_.precision().autocast();
    return call_step<I>(core_.task(), *batch_, context_);
  }

  /// Adds the step's loss to the epoch's: of the true loss, whatever the accumulation.
  template <std::size_t I>
  void track_loss(output_type<I> const& output) {
    losses_[I].add(output.loss, weight_);
  }

  /// The step is over. Throws: DataError if it changed the data set in place.
  void require_untouched_data() { watch_.end(Training, epoch_index(), step_index()); }

 protected:
  /// The mean losses of the pass over all ranks; under the phases' names where the task has several.
  template <class Tag>
  void record_losses() {
    core_.set_log_point(true);
    [this]<std::size_t... I>(std::index_sequence<I...>) {
      if constexpr (phase_count == 1) {
        core_.record(Tag{}, losses_[0]);
      } else {
        (core_.record(on<phase_name<I>, Tag>{}, losses_[I]), ...);
      }
    }(std::make_index_sequence<phase_count>{});
  }

  CoreT& core_;
  Source& source_;
  step_context context_;
  std::optional<batch_type> batch_{};
  std::int64_t samples_ = 0;  // of the batch in work
  double weight_ = 0.0;       // of the batch in work: what its loss is a mean over
  std::int64_t epoch_limit_ = std::numeric_limits<std::int64_t>::max();  // batches of an epoch at most
  std::array<basic_mean<tensor_type>, phase_count> losses_{};
  [[no_unique_address]] BatchWatch<tensor_type, Source> watch_{};

 private:
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
    for (auto& loss : this->losses_) loss.reset();
    this->source_.start_epoch(this->core_.plan().seed, EpochIndex{0}, this->core_.rank(), this->core_.world_size());
    this->core_.progress().step = MicroBatchIndex{0};
    wish_before_ = this->core_.wish();
  }
  bool epoch_is_over() const {
    return this->core_.wish() != wish_before_ || this->core_.progress().step.value() >= this->epoch_limit_;
  }
  void end_step() {
    this->require_untouched_data();
    this->batch_.reset();
    ++this->core_.progress().step;
  }
  void record_loss() {
    if (this->core_.wish() == 1 && wish_before_ == 0) this->core_.set_wish(0);  // `end_epoch` ended this pass, not the epoch around it
    this->template record_losses<tag::eval_loss>();
  }

  template <unsigned Parts, std::size_t Phase, class Event>
  void emit(Event const& event) {
    emit_with<Parts, Phase>(*this, event);
  }

 private:
  std::string_view set_;
  bool intermediate_;
  MicroBatchIndex step_before_;
  bool was_log_point_;
  int wish_before_ = 0;
};

}  // namespace tacit::inline v0::detail
