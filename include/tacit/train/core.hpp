#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/concepts/callback.hpp"
#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/events/progress.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/task/across_ranks.hpp"
#include "tacit/task/parameter_set.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/composition.hpp"
#include "tacit/train/recorded.hpp"
#include "tacit/train/stop_request.hpp"
#include "tacit/train/update_skip.hpp"

namespace tacit::inline v0 {

/// The trainer's parts as callbacks see them: everything but train and evaluate.
template <class Core>
class TrainerView {
 public:
  explicit TrainerView(Core& core) : core_{&core} {}

  typename Core::task_type const& task() const { return core_->task(); }
  /// The model of the task's (first) phase.
  auto& model() const { return detail::task_model<0>(core_->task()); }
  /// The parameters of a phase.
  template <std::size_t I = 0>
  typename Core::parameters_type const& parameters() const {
    return core_->template phase<I>().parameters;
  }
  /// The bound optimizer of a phase; its `options` may be changed between updates.
  template <std::size_t I = 0>
  auto& optimizer() const {
    return core_->template phase<I>().optimizer;
  }
  /// The bound device: with `Auto`, `device().threads()` is the number of threads as a part of a state.
  auto& device() const { return core_->device(); }
  /// The bound precision: with `Fp16`, `precision().scaler().scale()` is the loss scale.
  auto const& precision() const { return core_->precision(); }

 private:
  Core* core_;
};

namespace detail {

/// Set while a run is under way in this process: a second one would share its default generators and thread pools.
inline std::atomic<bool> run_in_process{false};

template <class Distribution>
concept shares_process = requires { requires Distribution::ranks_share_process; };

}  // namespace detail

/// Everything that lives as long as the trainer: the bound policies, each phase's parameters and optimizer, the callbacks, the history.
///
/// The loop is free functions over it. Nothing here knows a batch type.
template <class Composition>
class Core {
 public:
  using composition = Composition;
  using task_type = typename Composition::task;
  using tensor_type = typename Composition::tensor_type;
  using parameters_type = typename Composition::parameters_type;
  using traits = tensor_traits<tensor_type>;
  using history_type = History;
  using view_type = TrainerView<Core>;
  using device_type = typename Composition::bound_device;
  using distribution_type = typename Composition::bound_distribution;
  using precision_type = typename Composition::bound_precision;
  using callbacks_type = typename Composition::bound_callbacks;
  using callback_types = typename callbacks_type::types;
  /// Places in the pack in the order of calls.
  static constexpr auto order = Composition::call_order;
  static constexpr std::size_t phase_count = detail::task_phase_count<task_type>;
  static constexpr bool is_single = distribution_type::is_single;
  static constexpr bool steps_across_ranks = detail::task_steps_across_ranks<task_type>;
  static constexpr bool keeps_masters = tacit::keeps_masters<precision_type, parameters_type>;
  static constexpr bool transfers = !device_type::is_host || precision_type::casts;

  template <std::size_t I>
  struct Phase {
    using optimizer_type = decltype(detail::task_optimizer<I>(std::declval<task_type const&>()).bind(std::declval<parameters_type&>()));
    parameters_type parameters;
    optimizer_type optimizer;
  };

  template <std::size_t... I>
  static auto keeping_weights(std::index_sequence<I...>)
      -> std::bool_constant<(detail::keeps_weights<typename Phase<I>::optimizer_type, parameters_type> || ...)>;
  /// Some optimizer hears when runs begin and end.
  static constexpr bool optimizers_keep_weights =
      decltype(keeping_weights(std::make_index_sequence<phase_count>{}))::value;

  template <class Refs>
  Core(task_type&& task, typename Composition::device const& device, typename Composition::precision const& precision,
       typename Composition::distribution const& distribution, Refs&& callbacks)
      : task_{require_models(std::move(task))},
        device_{device.template bind<tensor_type>()},
        distribution_{distribution.template bind<parameters_type>(device_)},
        precision_{precision.template bind<parameters_type>(device_)},
        phases_{make_phases(std::make_index_sequence<phase_count>{})},
        callbacks_{std::forward<Refs>(callbacks)} {
    if constexpr (keeps_masters && phase_count > 1) require_own_masters(std::make_index_sequence<phase_count>{});
  }

  Core(Core const&) = delete;
  Core& operator=(Core const&) = delete;

  task_type& task() noexcept { return task_; }
  device_type& device() noexcept { return device_; }
  distribution_type& distribution() noexcept { return distribution_; }
  precision_type& precision() noexcept { return precision_; }
  callbacks_type& callbacks() noexcept { return callbacks_; }
  /// The smallest limits that callbacks state.
  BatchLimits batch_limits() {
    BatchLimits limits;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (narrow(limits, callbacks_.template get<I>()), ...);
    }(std::make_index_sequence<callback_types::size>{});
    require_some(limits);
    return limits;
  }
  template <std::size_t I>
  Phase<I>& phase() noexcept {
    return std::get<I>(phases_);
  }
  /// Tells the device of flags and sums.
  tensor_type const& any_parameter() { return (*phase<0>().parameters.begin()).model; }
  view_type view() { return view_type{*this}; }
  /// Makes masters again where weights were put into the model since.
  void prepare_masters() {
    std::apply([this](auto&... phases) { (precision_.prepare_parameters(phases.parameters), ...); }, phases_);
  }
  /// Calls visit(optimizer, parameters) for the optimizers that keep weights of their own.
  template <class Visit>
  void for_each_keeping_weights(Visit const& visit) {
    auto const look = [&visit](auto& phase) {
      if constexpr (detail::keeps_weights<decltype(phase.optimizer), parameters_type>) {
        visit(phase.optimizer, phase.parameters);
      }
    };
    std::apply([&look](auto&... phases) { (look(phases), ...); }, phases_);
  }
  /// Drops the gradients of every phase.
  void clear_gradients() {
    std::apply([](auto&... phases) { (phases.parameters.clear_gradients(), ...); }, phases_);
  }

  Progress& progress() noexcept { return run_.progress; }
  RunPlan& plan() noexcept { return run_.plan; }
  Sink& sink() noexcept { return run_.sink; }
  History& history() noexcept { return history_; }
  /// What this run records to: the history, or the result of an evaluation.
  History& target() noexcept { return run_.target == nullptr ? history_ : *run_.target; }
  void record_to(History* target) noexcept { run_.target = target; }

  /// Everything that belongs to one run begins anew; what is carried on are the history and the count of epochs.
  /// Throws: UsageError for a parameter that nobody would train.
  void begin_run(Sink sink) {
    [this]<std::size_t... I>(std::index_sequence<I...>) { (this->template require_known_parameters<I>(), ...); }(std::make_index_sequence<phase_count>{});
    run_ = RunState{};
    run_.sink = std::move(sink);
    ++run_number_;
  }
  /// Runs that this trainer has begun, evaluations on their own among them.
  std::int64_t run_number() const noexcept { return run_number_; }
  /// Opens the run's entry in the history; requests to stop end with this run.
  void begin_training() {
    run_.is_training = true;
    history_.begin_run();
  }
  /// A request from outside stays for the next training run where this was none.
  void end_run() noexcept {
    stop_.reset();
    if (run_.is_training) forget_outside_stop();
    run_.is_training = false;
    run_.target = nullptr;
    run_.skip.reset();
  }
  /// Epochs that this trainer's runs have begun: the next run goes on with the data's order from here.
  std::int64_t& epochs_begun() noexcept { return epochs_begun_; }
  int rank() const { return distribution_.rank(); }
  int world_size() const { return distribution_.world_size(); }

  tensor_type to_device(tensor_type const& tensor) { return precision_.cast(device_.to(tensor)); }

  // --- what a run is asked to end ---

  /// The run ends after the current update; the first reason stays.
  void request_stop(StopReason reason) noexcept { stop_.ask(detail::StopRequest::end_run(reason)); }
  /// The same from other threads and from signal handlers.
  void request_stop_from_outside() noexcept { outside_stop_.ask(detail::StopRequest::end_run(StopReason::requested)); }
  void forget_outside_stop() noexcept { outside_stop_.reset(); }
  detail::StopRequest pending_stop() const noexcept {
    detail::StopRequest const own = stop_.get();
    return own.is_none() ? outside_stop_.get() : own;
  }
  void stop_done(detail::StopRequest request) noexcept { stop_.done(request); }

  /// Takes what handlers asked for; `event_name` tells where, should it mean nothing there.
  void take(Flow flow, std::string (*event_name)()) {
    switch (flow) {
      case Flow::proceed: return;
      case Flow::skip_batch:
        throw UsageError{"TACIT-RU02", detail::message({"Flow::skip_batch means nothing at ", event_name()}), "a callback",
                         "return it from TrainStepStart or EvalStepStart"};
      case Flow::end_epoch:
        stop_.ask(detail::StopRequest::end_epoch());
        return;
      case Flow::stop_run: request_stop(StopReason::callback); return;
    }
  }

  /// Whether the coming update is skipped.
  detail::UpdateSkip<tensor_type>& skip() noexcept { return run_.skip; }

  // --- host reads ---

  LogPoint const* log_point() const noexcept { return run_.is_log_point ? &log_point_ : nullptr; }
  void set_log_point(bool is_one) noexcept { run_.is_log_point = is_one; }
  basic_device_scalar<tensor_type> const* gradient_norm() const noexcept {
    return traits::defined(run_.gradient_norm.tensor()) ? &run_.gradient_norm : nullptr;
  }
  void set_gradient_norm(tensor_type norm) { run_.gradient_norm = basic_device_scalar<tensor_type>{std::move(norm)}; }

  // --- metrics ---

  /// Begins the evaluation of an eval set, whose metrics are recorded as "set/name"; or ends it, without a name.
  void set_eval_set(std::optional<std::string_view> name) {
    run_.eval_set = name.value_or(std::string_view{});
    run_.evaluation.begin(name.has_value());
  }

  template <class Tag, class Value>
  void record(Tag const& tag, Value const& value) {
    if constexpr (may_record<Tag>()) record_number(tag, common(value));
  }
  /// In a step, where another rank may have no batch: nothing that all ranks must do together.
  template <class Tag, class Value>
  void record_in_step(Tag const& tag, Value const& value) {
    if constexpr (!is_single) {
      if (world_size() > 1) require_recordable_in_step<Tag, Value>();
    }
    if constexpr (may_record<Tag>()) record_number(tag, reduced(value));
  }

  // --- all ranks together; one process gets back what it gave ---

  tensor_type gather(tensor_type const& tensor) {
    if constexpr (!is_single) {
      if (world_size() > 1) return distribution_.gather(tensor);
    }
    return tensor;
  }
  tensor_type reduce_sum(tensor_type const& tensor) {
    if constexpr (!is_single) {
      if (world_size() > 1) return distribution_.sum(tensor);
    }
    return tensor;
  }
  double reduce_sum(double number) {
    reduce_sum(std::span{&number, 1});
    return number;
  }
  void reduce_sum([[maybe_unused]] std::span<double> numbers) {
    if constexpr (!is_single) {
      if (world_size() > 1) distribution_.reduce_sum(numbers);
    }
  }
  bool all_true(bool flag) {
    if constexpr (!is_single) {
      if (world_size() > 1) return distribution_.agree(flag ? 0 : 1) == 0;
    }
    return flag;
  }

 private:
  template <class Tag>
  void record_number(Tag const& tag, double number) {
    if constexpr (std::is_same_v<Tag, dynamic>) {
      std::string const full = full_name(tag.name);
      detail::require_dynamic_name(tag.name, full, typename Composition::recorded_tags{});
      detail::require_own_metric(writers_, full, run_.caller);
      run_.evaluation.note(tag.name, full);
      target().record(full, false, false, run_.progress.epoch, run_.progress.updates, number);
    } else {
      constexpr bool declared = detail::contains_v<typename Composition::recorded_tags, Tag>;
      if constexpr (declared) {
        std::string const full = full_name(Tag::name);
        run_.evaluation.note(Tag::name, full);
        target().record(full, Tag::is_volatile, Tag::direction::better(1.0, 0.0), run_.progress.epoch, run_.progress.updates, number);
      } else {
        detail::report(bad<misuse::EM02, Tag>{});
      }
    }
  }

  template <class Tag, class Value>
  static void require_recordable_in_step() {
    if constexpr (std::is_same_v<Value, basic_mean<tensor_type>>) {
      throw UsageError{"TACIT-RU25", "a mean over the ranks is recorded inside a step, which another rank may have no batch for", "context.record",
                       "record it at UpdateEnd or at the end of the epoch, where all ranks are"};
    } else {
      constexpr bool is_own = [] {
        if constexpr (requires { requires Tag::is_volatile; }) {
          return !detail::contains_v<typename Composition::watched_tags, Tag>;
        } else {
          return false;
        }
      }();
      if constexpr (!is_own) {
        throw UsageError{"TACIT-RU26", "a number is recorded inside a step, where each rank has its own and may have no batch", "context.record",
                         "record it at UpdateEnd or at the end of the epoch: there all ranks record rank 0's, or add it to a Mean"};
      }
    }
  }

 public:
  template <class Tag>
  double latest(Tag const& tag) const {
    if constexpr (!std::is_same_v<Tag, dynamic>) {
      if constexpr (!detail::contains_v<typename Composition::recorded_tags, Tag>) detail::report(bad<misuse::EM02, Tag>{});
    }
    History const& from = run_.target == nullptr ? history_ : *run_.target;
    if constexpr (std::is_same_v<Tag, dynamic>) {
      return run_.evaluation.latest(from, tag.name, full_name(tag.name), false);
    } else if constexpr (detail::names_evaluation<Tag>(typename Composition::evaluations{})) {
      bool const is_own = !run_.eval_set.empty() && Tag::name.starts_with(run_.eval_set) && Tag::name[run_.eval_set.size()] == '/';
      return is_own ? run_.evaluation.latest(from, Tag::name, Tag::name, true) : from.latest(tag);
    } else {
      return run_.evaluation.latest(from, Tag::name, full_name(Tag::name), Tag::needs_evaluation);
    }
  }
  /// Throws: UsageError where an eval set or another callback's evaluation has the name. An empty one is anybody's.
  void require_own_evaluation(std::string_view as) {
    if (as.empty()) return;
    detail::require_own_evaluation<typename Composition::named_eval_sets>(evaluators_, as, run_.caller);
  }
  /// The place in the call order of the callback that is being called: names that are made at run time belong to it.
  std::size_t exchange_caller(std::size_t place) noexcept { return std::exchange(run_.caller, place); }
  detail::WatchedMetrics& watched() noexcept { return watched_; }

  // --- errors ---

  /// Notes who threw at what event; the exception itself goes on unchanged.
  void note_throw(std::size_t place, std::string (*callback)(), std::string (*event)()) {
    run_.thrower = place;
    if (std::current_exception() == run_.noted) return;
    run_.noted = std::current_exception();
    note("callback " + callback() + " at " + event());
  }
  /// How many places of the call order saw the start event in work: none before it is fired, all after its last handler.
  void set_seen(std::size_t places) noexcept { run_.thrower = places; }
  std::size_t thrower() const noexcept { return run_.thrower; }
  /// An exception during the clean-up after another one: written down, never thrown.
  void note_second_error() noexcept {
    try {
      std::string const text = "a second error: " + std::string{current_error()};
      target().note_error(text);
      run_.sink.write("[tacit] " + text + "\n");
    } catch (...) {
    }
  }
  void note_failure() {
    if (std::current_exception() != run_.noted) note("the loop");
    run_.noted = nullptr;
  }
  std::string_view current_error() {
    try {
      throw;
    } catch (std::exception const& error) {
      run_.error_text = error.what();
    } catch (...) {
      run_.error_text = "an exception that is no std::exception";
    }
    return run_.error_text;
  }

  // --- one run at a time ---

  std::thread::id owner() const noexcept { return owner_; }
  bool& running() noexcept { return running_; }

 private:
  void note(std::string const& where) {
    std::string const text = where + " at epoch " + std::to_string(run_.progress.epoch.value()) + ", update " +
                             std::to_string(run_.progress.updates.value()) + ": " + std::string{current_error()};
    target().note_error(text);
  }

  std::string full_name(std::string_view name) const {
    return run_.eval_set.empty() ? std::string{name} : std::string{run_.eval_set} + "/" + std::string{name};
  }

  /// The number that all ranks record: of all ranks, or rank 0's.
  template <class Value>
  double common(Value const& value) {
    double number = reduced(value);
    if constexpr (!is_single && !std::is_same_v<Value, basic_mean<tensor_type>>) {
      if (world_size() > 1) number = reduce_sum(rank() == 0 ? number : 0.0);
    }
    return number;
  }
  double reduced(double value) const { return value; }
  double reduced(basic_device_scalar<tensor_type> const& value) const {
    require_log_point();
    return value.read(log_point_);
  }
  double reduced(basic_mean<tensor_type> const& mean) {
    require_log_point();
    double numbers[2] = {mean.sum(log_point_), mean.weight(log_point_)};
    if constexpr (!is_single) distribution_.reduce_sum(numbers);
    return mean.quotient(numbers[0], numbers[1]);
  }
  void require_log_point() const {
    if (run_.is_log_point) return;
    throw UsageError{"TACIT-RU04", "recording a value of the device would make every update wait for it", "context.record",
                     "record where context.log_point() is not null, or at the end of the epoch"};
  }
  template <class Value>
    requires(std::is_arithmetic_v<Value>)
  double reduced(Value value) const {
    return static_cast<double>(value);
  }
  template <class Value>
    requires(!std::is_convertible_v<Value const&, double>)
  double reduced(Value const&) const {
    detail::report(bad<misuse::EM20, Value>{});
    return 0.0;
  }
  template <class Tag>
  static consteval bool may_record() {
    if constexpr (metric_tag<Tag> || std::is_same_v<Tag, dynamic>) {
      return true;
    } else {
      detail::report(bad<misuse::EM21, Tag>{});
      return false;
    }
  }

  static void require_some(BatchLimits const& limits) {
    if (limits.train.value_or(1) == 0 || limits.eval.value_or(1) == 0) {
      throw ConfigError{"TACIT-RC82", "a callback limits an epoch to 0 batches", "batch_limits()", "give 1 or more, or leave the limit unset"};
    }
  }
  template <class Callback>
  static void narrow([[maybe_unused]] BatchLimits& limits, [[maybe_unused]] Callback const& callback) {
    if constexpr (limits_batches<Callback>) {
      BatchLimits const own = callback.batch_limits();
      if (own.train.is_set() && (!limits.train.is_set() || own.train < limits.train)) limits.train = own.train;
      if (own.eval.is_set() && (!limits.eval.is_set() || own.eval < limits.eval)) limits.eval = own.eval;
    }
  }

  /// Returns: the task. Throws: ConfigError for a model that is a null pointer.
  static task_type&& require_models(task_type&& task) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (detail::require_model<I>(task), ...);
    }(std::make_index_sequence<phase_count>{});
    return std::move(task);
  }
  template <std::size_t... I>
  auto make_phases(std::index_sequence<I...>) {
    if constexpr (transfers) {
      detail::for_each_model(task_, [this](auto& model) { this->move_tensors(model); });
    }
    auto move = [this](tensor_type& tensor) { tensor = to_device(tensor); };
    visit_extra_tensors(task_, move);
    if constexpr (requires { task_.criterion; }) visit_extra_tensors(task_.criterion, move);
    return std::tuple<Phase<I>...>{make_phase<I>()...};
  }

  template <class Part, class Visit>
  static void visit_extra_tensors(Part& part, Visit const& visit) {
    if constexpr (visits_tensors<Part, tensor_type>) part.visit_tensors(visit);
  }

  template <class Model>
  void move_tensors(Model& model) {
    for (auto&& item : model.named_parameters()) {
      // A precision with masters takes them from the parameters as they are.
      bool const trained = keeps_masters && traits::requires_grad(item.value());
      traits::set_data(item.value(), trained ? device_.to(item.value()) : to_device(item.value()));
    }
    for (auto&& item : model.named_buffers()) traits::set_data(item.value(), to_device(item.value()));
  }

  template <std::size_t I>
  void require_known_parameters() {
    auto& known = phase<I>().parameters;
    auto next = known.begin();  // they mostly have the model's order
    for (auto&& item : detail::task_model<I>(task_).named_parameters()) {
      bool const is_next = next != known.end() && traits::same(next->model, item.value());
      if (is_next) ++next;
      if (is_next || !traits::requires_grad(item.value()) || known.find(item.value()) != nullptr) continue;
      throw UsageError{"TACIT-RU14", detail::message({"'", item.key(), "' requires a gradient, but the trainer does not have it: it came or was unfrozen after the trainer was made"}),
                       "the model", "unfreeze it in a run by context.change_parameters(), or make the trainer after that"};
    }
  }

  template <std::size_t I>
  Phase<I> make_phase() {
    parameters_type parameters = parameters_of(detail::task_model<I>(task_));
    if (parameters.empty()) detail::refuse_no_parameters("the model");
    if constexpr (prepares_models<distribution_type, std::remove_cvref_t<decltype(detail::task_model<I>(task_))>>) {
      distribution_.prepare_model(detail::task_model<I>(task_));
    }
    if constexpr (!is_single) distribution_.prepare_parameters(parameters);
    if constexpr (keeps_masters) precision_.prepare_parameters(parameters);
    auto optimizer = detail::task_optimizer<I>(std::as_const(task_)).bind(parameters);
    return {std::move(parameters), std::move(optimizer)};
  }

  /// A parameter of two phases would have two masters.
  template <std::size_t... I>
  void require_own_masters(std::index_sequence<I...>) {
    std::vector<tensor_type> seen;
    auto look = [&seen](auto& parameters) {
      for (auto const& parameter : parameters) {
        for (tensor_type const& other : seen) {
          if (!traits::same(other, parameter.model)) continue;
          throw ConfigError{"TACIT-RC06", detail::message({"'", parameter.name, "' is trained by two phases, and would have two masters"}), "the task",
                            "train it in one of them, or take a precision without masters, Bf16 say"};
        }
      }
      for (auto const& parameter : parameters) seen.push_back(parameter.model);
    };
    (look(phase<I>().parameters), ...);
  }

  template <std::size_t... I>
  static auto phases_of(std::index_sequence<I...>) -> std::tuple<Phase<I>...>;

  task_type task_;
  [[no_unique_address]] device_type device_;
  [[no_unique_address]] distribution_type distribution_;
  [[no_unique_address]] precision_type precision_;
  decltype(phases_of(std::make_index_sequence<phase_count>{})) phases_;
  callbacks_type callbacks_;

  /// Of the run in work: none of it outlives the run.
  struct RunState {
    Progress progress{};
    RunPlan plan{};
    Sink sink{};
    History* target = nullptr;
    std::string_view eval_set{};
    detail::EvaluationMetrics evaluation{};
    std::size_t caller = 0;
    bool is_log_point = true;
    bool is_training = false;
    detail::UpdateSkip<tensor_type> skip{};
    basic_device_scalar<tensor_type> gradient_norm{};
    std::size_t thrower = 0;
    std::exception_ptr noted{};
    std::string error_text{};
  };
  RunState run_{};
  // Not part of RunState: other threads write to the second at any time.
  detail::PendingStop stop_{};
  detail::PendingStop outside_stop_{};
  History history_{};
  std::int64_t epochs_begun_ = 0;
  std::int64_t run_number_ = 0;
  detail::NameOwners writers_{};
  detail::NameOwners evaluators_{};
  detail::WatchedMetrics watched_{};
  bool running_ = false;
  LogPoint log_point_{LogPoint::outside_a_run{}};

  std::thread::id owner_ = std::this_thread::get_id();
};

}  // namespace tacit::inline v0
