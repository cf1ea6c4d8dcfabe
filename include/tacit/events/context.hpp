#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/log_point.hpp"
#include "tacit/events/progress.hpp"

namespace tacit::inline v0 {

/// The phase of the task that an event belongs to: none for events of the whole step.
inline constexpr std::size_t whole_step = static_cast<std::size_t>(-1);

/// What a handler may ask and do at one event. Not copied, not stored: it ends with the call.
///
/// Members beyond the counters are conditional on the event; what is not valid there is not declared.
template <class Run, unsigned Parts, std::size_t Phase = whole_step>
class Context;

namespace detail {

template <class Run>
class context_base {
 public:
  using core_type = typename Run::core_type;
  using tensor_type = typename Run::tensor_type;

  context_base(context_base const&) = delete;
  context_base& operator=(context_base const&) = delete;

  Progress const& progress() const { return run_->core().progress(); }
  RunPlan const& plan() const { return run_->core().plan(); }
  typename core_type::history_type const& history() const { return run_->core().history(); }
  /// What this run records to: the history, or the result of an evaluation on its own.
  typename core_type::history_type const& metrics() const { return run_->core().target(); }
  Sink const& sink() const { return run_->core().sink(); }
  int rank() const { return run_->core().rank(); }
  int world_size() const { return run_->core().world_size(); }
  /// True on the process that prints.
  bool is_main_process() const { return run_->core().rank() == 0; }
  /// The right to read device scalars; null where reading would make this update wait for the device.
  LogPoint const* log_point() const { return run_->core().log_point(); }
  /// The run ends after the current update; every rank stops at the same one.
  void request_stop(StopReason reason = StopReason::callback) const { run_->core().request_stop(reason); }
  /// The trainer's parts, without train and evaluate.
  typename core_type::view_type trainer() const { return run_->core().view(); }
  /// The eval set in work, by name: empty for the unnamed one. There in evaluations only.
  template <class Pass = Run>
    requires requires(Pass const& pass) { pass.set_name(); }
  std::string_view eval_set() const {
    return run_->set_name();
  }

  /// For RunWatch: tells the runs of a trainer apart.
  friend std::int64_t run_number(context_base const& context) noexcept { return context.run_->core().run_number(); }

 protected:
  explicit context_base(Run& run) : run_{&run} {}
  Run* run_;
};

// One link per part: each adds its members to the chain or nothing.
template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::batch) != 0>
class batch_part : public context_base<Run> {
 protected:
  using context_base<Run>::context_base;
};
template <class Run, unsigned Parts, std::size_t Phase>
class batch_part<Run, Parts, Phase, true> : public context_base<Run> {
 public:
  /// The micro-batch, on the device.
  typename Run::batch_type const& batch() const { return this->run_->batch(); }

 protected:
  using context_base<Run>::context_base;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::output) != 0>
class output_part : public batch_part<Run, Parts, Phase> {
 protected:
  using batch_part<Run, Parts, Phase>::batch_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class output_part<Run, Parts, Phase, true> : public batch_part<Run, Parts, Phase> {
  static constexpr std::size_t own = Phase == whole_step ? Run::phase_count - 1 : Phase;

 public:
  /// What the task returned for this micro-batch: its struct with `loss` (of this event's phase, or of the last).
  typename Run::template output_type<own> const& output() const { return this->run_->template output<own>(); }
  /// What the named phase returned for this micro-batch.
  template <fixed_string Name>
  typename Run::template output_type<Run::template phase_index<Name>> const& output(name<Name>) const {
    return this->run_->template output<Run::template phase_index<Name>>();
  }
  /// The loss on the device.
  typename Run::device_scalar loss() const { return typename Run::device_scalar{this->run_->template output<own>().loss}; }

 protected:
  using batch_part<Run, Parts, Phase>::batch_part;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::mask) != 0>
class mask_part : public output_part<Run, Parts, Phase> {
 protected:
  using output_part<Run, Parts, Phase>::output_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class mask_part<Run, Parts, Phase, true> : public output_part<Run, Parts, Phase> {
 public:
  /// The coming update changes nothing: decided on the host, no gradient of this micro-batch is computed.
  /// Requires at UpdateStart, where gradients are those of all ranks: every rank calls it alike, and the flag's overload too.
  void mask_update() const { this->run_->core().skip().skip(); }
  /// The coming update changes nothing if the flag (float32 scalar on the device) is not 0; nobody waits for it.
  void mask_update(typename Run::tensor_type const& flag) const { this->run_->core().skip().skip_if(flag); }

 protected:
  using output_part<Run, Parts, Phase>::output_part;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::gradients) != 0>
class gradients_part : public mask_part<Run, Parts, Phase> {
 protected:
  using mask_part<Run, Parts, Phase>::mask_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class gradients_part<Run, Parts, Phase, true> : public mask_part<Run, Parts, Phase> {
 public:
  /// The 2-norm of all gradients before clipping; null in a run that does not clip.
  typename Run::device_scalar const* gradient_norm() const { return this->run_->core().gradient_norm(); }
  /// Whether the update changes nothing, as a flag on the device (scalar, not 0 if so); null where nothing masked it.
  typename Run::tensor_type const* update_mask() const { return this->run_->update_mask(); }

 protected:
  using mask_part<Run, Parts, Phase>::mask_part;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::record) != 0>
class record_part : public gradients_part<Run, Parts, Phase> {
 protected:
  using gradients_part<Run, Parts, Phase>::gradients_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class record_part<Run, Parts, Phase, true> : public gradients_part<Run, Parts, Phase> {
 public:
  /// Records a metric that a callback of the pack declares in its `records`: a mean that is reduced over the ranks, or a number, of
  /// which all ranks record rank 0's.
  /// Requires: every rank calls it alike. Cost: a mean waits for the device.
  /// Throws: UsageError inside a step of several processes, for which another rank may have no batch; a volatile tag that nothing
  /// watches may be recorded there, each rank's own.
  template <class Tag, class Value>
  void record(Tag const& tag, Value const& value) const {
    if constexpr ((Parts & part::batch) != 0) {
      this->run_->core().record_in_step(tag, value);
    } else {
      this->run_->core().record(tag, value);
    }
  }

 protected:
  using gradients_part<Run, Parts, Phase>::gradients_part;
};

/// Events that every rank reaches: those that record, outside of steps, for which a rank may have no batch.
template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::record) != 0 && (Parts & part::batch) == 0>
class ranks_part : public record_part<Run, Parts, Phase> {
 protected:
  using record_part<Run, Parts, Phase>::record_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class ranks_part<Run, Parts, Phase, true> : public record_part<Run, Parts, Phase> {
 public:
  /// The rows of all ranks in rank order, whatever their numbers; an undefined tensor has none. No gradient flows.
  /// Requires, here and below: every rank calls it alike. Cost: none on one process.
  /// Throws: DistributedError for rows of different types or shapes.
  typename Run::tensor_type gather(typename Run::tensor_type const& tensor) const { return this->run_->core().gather(tensor); }
  /// The sum of all ranks' tensors, in the argument's type; an undefined tensor counts as zeros.
  /// Throws: DistributedError for different types or shapes, and where the sum does not fit the type.
  typename Run::tensor_type reduce_sum(typename Run::tensor_type const& tensor) const { return this->run_->core().reduce_sum(tensor); }
  /// The sum of all ranks' numbers.
  template <class Number>
    requires(std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>)
  double reduce_sum(Number number) const {
    return this->run_->core().reduce_sum(static_cast<double>(number));
  }
  /// Each number becomes the sum of all ranks'; all give as many.
  void reduce_sum(std::span<double> numbers) const { this->run_->core().reduce_sum(numbers); }
  /// True if the flag is true on every rank.
  bool all_true(bool flag) const { return this->run_->core().all_true(flag); }

 protected:
  using record_part<Run, Parts, Phase>::record_part;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::latest) != 0>
class latest_part : public ranks_part<Run, Parts, Phase> {
 protected:
  using ranks_part<Run, Parts, Phase>::ranks_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class latest_part<Run, Parts, Phase, true> : public ranks_part<Run, Parts, Phase> {
 public:
  /// The latest recorded value of a metric.
  /// Throws: UsageError if none was recorded yet.
  template <class Tag>
  double latest(Tag const& tag) const {
    return this->run_->core().latest(tag);
  }

 protected:
  using ranks_part<Run, Parts, Phase>::ranks_part;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::evaluate) != 0>
class evaluate_part : public latest_part<Run, Parts, Phase> {
 protected:
  using latest_part<Run, Parts, Phase>::latest_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class evaluate_part<Run, Parts, Phase, true> : public latest_part<Run, Parts, Phase> {
 public:
  /// Evaluates on the run's eval sets, now; modes and gradients are as before afterwards. With a name, what is recorded
  /// is that of an eval set so named: "name/eval_loss".
  /// Throws: UsageError in a run without an eval set, and for the name of an eval set or of another callback's
  /// evaluation.
  void evaluate(std::string_view as = {}) const { this->run_->evaluate_nested(as); }

 protected:
  using latest_part<Run, Parts, Phase>::latest_part;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::parameters) != 0>
class parameters_part : public evaluate_part<Run, Parts, Phase> {
 protected:
  using evaluate_part<Run, Parts, Phase>::evaluate_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class parameters_part<Run, Parts, Phase, true> : public evaluate_part<Run, Parts, Phase> {
 public:
  /// Calls `change(parameters)` or `change(parameters, phase)` (a `PhaseId`) for each phase's ParameterSet, then lets optimizer
  /// and reducer follow; parameters that stay keep their state. Fires ParametersChanged.
  /// Requires: every rank calls it alike.
  template <class Change>
  void change_parameters(Change&& change) const {
    this->run_->change_parameters(std::forward<Change>(change));
  }

 protected:
  using evaluate_part<Run, Parts, Phase>::evaluate_part;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::emit) != 0>
class emit_part : public parameters_part<Run, Parts, Phase> {
 protected:
  using parameters_part<Run, Parts, Phase>::parameters_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class emit_part<Run, Parts, Phase, true> : public parameters_part<Run, Parts, Phase> {
 public:
  /// Fires an event of the user's own: every callback with a handler for it is called before `emit` returns.
  template <class Event>
  void emit(Event const& event) const {
    this->run_->template emit<Parts & ~(part::emit | part::evaluate | part::parameters | part::mask), Phase>(event);
  }

 protected:
  using parameters_part<Run, Parts, Phase>::parameters_part;
};

}  // namespace detail

template <class Run, unsigned Parts, std::size_t Phase>
class Context : public detail::emit_part<Run, Parts, Phase> {
 public:
  explicit Context(Run& run) : detail::emit_part<Run, Parts, Phase>{run} {}
  Context(Context const&) = delete;  // said here: an error about the whole chain of bases is long
  Context& operator=(Context const&) = delete;
};

namespace detail {

/// Finds the first event of each run that a callback sees: an adapter may hold the start events back.
class RunWatch {
 public:
  /// Returns: whether the run is another than that of the last call.
  bool is_new(auto const& context) noexcept {
    std::int64_t const number = run_number(context);
    return std::exchange(number_, number) != number;
  }
  /// Whether an event of this run was seen already.
  bool is_now(auto const& context) const noexcept { return run_number(context) == number_; }

 private:
  std::int64_t number_ = 0;  // that of no run
};

/// What a step that states `steps_across_ranks` has besides: the loop sees to it that every rank runs it. For a shadow batch, which a rank
/// runs where it has none, the others get nothing of this rank; it sees its own rows behind theirs.
template <class Core, bool = Core::steps_across_ranks>
class step_ranks_part {
 public:
  /// Not of this step: another rank may have no batch for it.
  template <class Value>
  auto gather(Value const& value) const {
    report(bad<misuse::EC19, typename Core::task_type>{});
    return value;
  }
  template <class Value>
  auto reduce_sum(Value const& value) const {
    report(bad<misuse::EC19, typename Core::task_type>{});
    return value;
  }
  template <class Flag>
  bool all_true(Flag flag) const {
    report(bad<misuse::EC19, typename Core::task_type>{});
    return flag;
  }

 protected:
  explicit step_ranks_part(Core&) {}
};
template <class Core>
class step_ranks_part<Core, true> {
 public:
  using tensor_type = typename Core::tensor_type;

  /// The rows of all ranks in rank order, whatever their numbers. No gradient flows through the other ranks' rows, nor through these.
  /// Cost: none on one process. Throws: DistributedError for rows of different types or shapes.
  tensor_type gather(tensor_type const& tensor) const {
    if constexpr (!Core::is_single) {
      if (ranks_core_->world_size() > 1) return ranks_core_->distribution().gather(tensor, !is_shadow_);
    }
    return tensor;
  }
  /// Where this rank's rows begin in what `gather` gives, if it gave so many.
  std::int64_t first_row([[maybe_unused]] std::int64_t rows) const {
    std::int64_t first = 0;
    if constexpr (!Core::is_single) {
      if (ranks_core_->world_size() == 1) return 0;
      std::vector<double> counts(static_cast<std::size_t>(ranks_core_->world_size()), 0.0);
      if (!is_shadow_) counts[static_cast<std::size_t>(ranks_core_->rank())] = static_cast<double>(rows);
      ranks_core_->reduce_sum(std::span{counts});
      std::size_t const before = is_shadow_ ? counts.size() : static_cast<std::size_t>(ranks_core_->rank());
      for (std::size_t rank = 0; rank < before; ++rank) first += static_cast<std::int64_t>(counts[rank]);
    }
    return first;
  }
  /// The sum of all ranks' tensors; no gradient flows.
  tensor_type reduce_sum(tensor_type const& tensor) const {
    if constexpr (!Core::is_single) {
      if (ranks_core_->world_size() > 1) return ranks_core_->distribution().sum(tensor, !is_shadow_);
    }
    return tensor;
  }
  template <class Number>
    requires(std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>)
  double reduce_sum(Number number) const {
    auto const own = static_cast<double>(number);
    return is_shadow_ ? own + ranks_core_->reduce_sum(0.0) : ranks_core_->reduce_sum(own);
  }
  bool all_true(bool flag) const { return ranks_core_->all_true(flag || is_shadow_) && flag; }

  /// For the loop: while it lives, the batch in work is a shadow batch.
  auto shadow() {
    struct scope {
      explicit scope(bool& flag) : flag_{&flag} { flag = true; }
      scope(scope const&) = delete;
      scope& operator=(scope const&) = delete;
      ~scope() { *flag_ = false; }
      bool* flag_;
    };
    return scope{is_shadow_};
  }

 protected:
  explicit step_ranks_part(Core& core) : ranks_core_{&core} {}

 private:
  Core* ranks_core_;
  bool is_shadow_ = false;
};

}  // namespace detail

/// What a task's step is given: counters and the world, not the callbacks' rights.
template <class Core>
class StepContext : public detail::step_ranks_part<Core> {
 public:
  using tensor_type = typename Core::tensor_type;

  explicit StepContext(Core& core, bool training) : detail::step_ranks_part<Core>{core}, core_{&core}, training_{training} {}
  StepContext(StepContext const&) = delete;
  StepContext& operator=(StepContext const&) = delete;

  bool is_training() const noexcept { return training_; }
  Progress const& progress() const { return core_->progress(); }
  RunPlan const& plan() const { return core_->plan(); }
  int rank() const { return core_->rank(); }
  int world_size() const { return core_->world_size(); }
  LogPoint const* log_point() const { return core_->log_point(); }
  /// Not of a step: callbacks emit events, at the events where they record.
  template <class Event>
  void emit(Event const&) const {
    detail::report(bad<misuse::ET30, Event>{});
  }
  /// Brings a tensor to the device, in the precision's dtype.
  tensor_type to_device(tensor_type const& tensor) const { return core_->to_device(tensor); }

 private:
  Core* core_;
  bool training_;
};

}  // namespace tacit::inline v0
