#pragma once

#include <cstddef>
#include <string_view>
#include <string>
#include <utility>

#include "tacit/core/fixed_string.hpp"
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
  void mask_update() const { this->run_->core().mask_update(); }
  /// The coming update changes nothing if the flag (float32 scalar on the device) is not 0; nobody waits for it.
  void mask_update(typename Run::tensor_type const& flag) const { this->run_->core().mask_update(flag); }

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
  /// Records a metric that a callback of the pack declares in its `records`: a number, or a mean that is reduced over the ranks.
  /// Requires: every rank calls it alike. Cost: a mean waits for the device.
  /// Throws: UsageError for a mean of several processes inside a step, which another rank may have no batch for.
  template <class Tag, class Value>
  void record(Tag const& tag, Value const& value) const {
    if constexpr ((Parts & part::batch) != 0) this->run_->core().require_recordable_in_step(value);
    this->run_->core().record(tag, value);
  }

 protected:
  using gradients_part<Run, Parts, Phase>::gradients_part;
};

template <class Run, unsigned Parts, std::size_t Phase, bool = (Parts & part::latest) != 0>
class latest_part : public record_part<Run, Parts, Phase> {
 protected:
  using record_part<Run, Parts, Phase>::record_part;
};
template <class Run, unsigned Parts, std::size_t Phase>
class latest_part<Run, Parts, Phase, true> : public record_part<Run, Parts, Phase> {
 public:
  /// The latest recorded value of a metric.
  /// Throws: UsageError if none was recorded yet.
  template <class Tag>
  double latest(Tag const& tag) const {
    return this->run_->core().latest(tag);
  }

 protected:
  using record_part<Run, Parts, Phase>::record_part;
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
  /// Throws: UsageError in a run without an eval set.
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
  /// Calls `change(parameters)` for each phase's ParameterSet, then lets optimizer and reducer follow; the state of
  /// parameters that stay is kept by name. Fires ParametersChanged.
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
};

/// What a task's step is given: counters and the world, not the callbacks' rights.
template <class Core>
class StepContext {
 public:
  using tensor_type = typename Core::tensor_type;

  explicit StepContext(Core& core, bool training) : core_{&core}, training_{training} {}
  StepContext(StepContext const&) = delete;
  StepContext& operator=(StepContext const&) = delete;

  bool is_training() const noexcept { return training_; }
  Progress const& progress() const { return core_->progress(); }
  RunPlan const& plan() const { return core_->plan(); }
  int rank() const { return core_->rank(); }
  int world_size() const { return core_->world_size(); }
  LogPoint const* log_point() const { return core_->log_point(); }
  /// Brings a tensor to the device, in the precision's dtype.
  tensor_type to_device(tensor_type const& tensor) const { return core_->to_device(tensor); }

 private:
  Core* core_;
  bool training_;
};

}  // namespace tacit::inline v0
