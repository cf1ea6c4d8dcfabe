#pragma once

#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/data/loader.hpp"  // here, so that errors of `loader` name no headers of the trainer
#include "tacit/fwd.hpp"
#include "tacit/train/agreement.hpp"
#include "tacit/train/arguments.hpp"
#include "tacit/train/checks/call.hpp"
#include "tacit/train/checks/constructor.hpp"
#include "tacit/train/choices.hpp"
#include "tacit/train/compose.hpp"
#include "tacit/train/composition.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/describe.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/plan_run.hpp"
#include "tacit/train/refused_trainer.hpp"
#include "tacit/train/result.hpp"
#include "tacit/train/run_call.hpp"
#include "tacit/train/session.hpp"

namespace tacit::inline v0 {

/// Trains a task with the policies it is composed of; neither copied nor moved.
///
/// Made as `Trainer{task, policies...}` or `Trainer{model, loss, optimizer, policies...}`; policies stand in any order and each
/// has a default. Every member runs on the thread that made the trainer, but `request_stop`.
template <class Task, class Device, class Precision, class Distribution, class Callbacks>
class Trainer {
 public:
  using task_type = Task;
  using device_policy = Device;
  using precision_policy = Precision;
  using distribution_policy = Distribution;
  using callbacks = Callbacks;
  using composition = Composition<Task, Device, Precision, Distribution, Callbacks>;
  using core_type = Core<composition>;

  /// Effects: moves the model to the device and binds every policy and callback, in the order device, distribution,
  /// precision, task, optimizer, callbacks. Throws: ConfigError for options that make no sense.
  template <class... Arguments>
    requires(!(std::same_as<std::remove_cvref_t<Arguments>, Trainer> && ...) || sizeof...(Arguments) == 0)
  explicit Trainer(Arguments&&... arguments) : core_{make_core(std::forward<Arguments>(arguments)...)} {
    InitPass init{*core_};
    detail::notify(init, event::InitEnd{});
  }

  Trainer(Trainer const&) = delete;
  Trainer& operator=(Trainer const&) = delete;

  /// Trains until the first limit of `options` is reached.
  /// `data` is a dataset, a loader, or whatever range-for accepts; lvalues are borrowed for the call.
  /// Throws: what data, task and callbacks throw; ConfigError, DataError, UsageError for what cannot work.
  /// `extra` are schedules, `lr(schedule::cosine())`, and the data of named eval sets, `eval_data<"noisy">(data)`.
  template <class Data, class... Extra>
  RunResult train(Data&& data, TrainOptions const& options, Extra&&... extra) {
    return train_checked<Data, void>(std::forward<Data>(data), nullptr, options, std::forward<Extra>(extra)...);
  }
  /// Trains, and evaluates on `valid` as `options.evaluation` says.
  template <class Data, class Valid, class... Extra>
  RunResult train(Data&& data, Valid&& valid, TrainOptions const& options, Extra&&... extra) {
    return train_checked<Data, Valid>(std::forward<Data>(data), &valid, options, std::forward<Extra>(extra)...);
  }

  /// Without options there is no limit: it does not compile.
  template <class Data>
  RunResult train(Data&&) {
    detail::report(bad<misuse::ER05, Data>{});
    return {};
  }
  template <class Data, class Valid>
    requires(!std::convertible_to<Valid, TrainOptions const&>)
  RunResult train(Data&&, Valid&&) {
    detail::report(bad<misuse::ER05, Data, Valid>{});
    return {};
  }

  /// A training run whose outer loop is the caller's, batch by batch; it needs no limit.
  /// Throws: ConfigError, UsageError as `train`.
  /// Example: `auto session = trainer.session<Batch>({.clip = {.norm = 1.0}});`
  template <class Batch>
  auto session(TrainOptions const& options = {}) & {
    using checked = decltype(detail::check_session<core_type, Batch>());
    if constexpr (!detail::is_sound_v<checked>) {
      detail::report(typename checked::value{});
      return detail::RefusedSession{};
    } else {
      check(options);
      check_session_options(options);
      return Session<core_type, Batch>{*core_, options, [this](TrainOptions const& own) {
                                         core_->begin_run(own.sink);
                                         detail::GivenBatches<Batch> const batches{};
                                         detail::plan_training(*core_, batches, own);
                                         detail::agree_on_training(*core_, "session", batches, own, [](auto&) {});
                                       }};
    }
  }

  /// The trainer has to outlive its session.
  template <class Batch>
  void session(TrainOptions const& options = {}) const&& = delete;

  /// Evaluates without training: the training history stays as it is.
  template <class Data>
  EvalResult evaluate(Data&& data, EvalOptions const& options = {}) {
    using checked = decltype(detail::check_evaluate<core_type, Data>());
    if constexpr (!detail::is_sound_v<checked>) {
      detail::report(typename checked::value{});
      return EvalResult{History{}};
    } else {
      return detail::run_evaluation(*core_, std::forward<Data>(data), options);
    }
  }

  /// The run ends after the current update. The only member that other threads and signal handlers may call.
  void request_stop() noexcept { core_->request_stop_from_outside(); }

  /// Everything recorded in this trainer's training runs.
  History const& history() const& noexcept { return core_->history(); }
  History history() const&& { return core_->history(); }

  /// True in the one process that prints and saves for all.
  bool is_main_process() const { return rank() == 0; }
  int rank() const { return core_->rank(); }
  int world_size() const { return core_->world_size(); }
  /// Calls `work` in the main process and, once it is done, in the others: filling a cache that they share.
  /// The others wait as long as `timeout`, whatever the time limit of the distribution's collectives.
  /// Throws: what `work` throws; in the others DistributedError if the main process failed, or was not done in time.
  template <class Work>
  void main_process_first(Work&& work, std::chrono::milliseconds timeout = std::chrono::minutes{30}) {
    auto& distribution = core_->distribution();
    auto const is_done = [&](bool failed) {
      if constexpr (awaits_main<typename core_type::distribution_type>) {
        return distribution.await_main(failed, timeout);
      } else {
        return distribution.agree(failed ? 1 : 0) == 0;
      }
    };
    if (is_main_process()) {
      try {
        work();
      } catch (...) {
        is_done(true);
        throw;
      }
    }
    if (!is_done(false)) {
      throw DistributedError{"TACIT-RX23", "the main process failed at what it was to do first", "Trainer::main_process_first", "see what it printed"};
    }
    if (!is_main_process()) work();
  }
  /// The plan of the latest run.
  RunPlan const& plan() const& noexcept { return core_->plan(); }
  RunPlan plan() const&& { return core_->plan(); }
  Task const& task() const& noexcept { return core_->task(); }
  void task() const&& = delete;
  /// The model of the task's (first) phase.
  auto& model() const& noexcept { return detail::task_model<0>(core_->task()); }
  void model() const&& = delete;
  TrainerView<core_type> view() & noexcept { return core_->view(); }
  void view() const&& = delete;

  /// What this trainer is made of: policies, the table event x callback, what each reads and writes, the state list.
  std::string describe() const { return detail::describe<composition>(core_->device().name(), core_->precision().name(), core_->distribution().name()); }

 private:
  /// The context of InitEnd: no data are known yet.
  class InitPass {
   public:
    using core_type = typename Trainer::core_type;
    using tensor_type = typename core_type::tensor_type;
    using callback_types = typename core_type::callback_types;
    static constexpr auto order = core_type::order;
    static constexpr std::size_t phase_count = 1;
    explicit InitPass(core_type& core) : core_{core} {}
    core_type& core() const { return core_; }

   private:
    core_type& core_;
  };

  template <class... A>
  static std::unique_ptr<core_type> make_core(A&&... given) {
    using checked = decltype(detail::check_constructor<Trainer, A...>());
    if constexpr (!detail::is_sound_v<checked>) {
      detail::report(typename checked::value{});
      return nullptr;
    } else {
      // Lvalues are copied and rvalues moved, once, so that the parts can then be moved out of here.
      std::tuple<std::decay_t<A>...> owned{std::forward<A>(given)...};
      return std::apply(
          [](auto&... arguments) {
            auto core = std::make_unique<core_type>(detail::make_task<Task>(arguments...), detail::pick_policy<Device, slot::device>(arguments...),
                                                    detail::pick_policy<Precision, slot::precision>(arguments...),
                                                    detail::pick_policy<Distribution, slot::distribution>(arguments...),
                                                    detail::pick_callbacks<Callbacks>(arguments...));
            detail::check_choices(*core);
            detail::announce_choices(*core, arguments...);
            return core;
          },
          owned);
    }
  }

  template <class Data, class Valid, class ValidPointer, class... Extra>
  RunResult train_checked(Data&& data, ValidPointer valid, TrainOptions const& options, Extra&&... extra) {
    using checked = decltype(detail::check_train<core_type, Data, Valid, std::remove_cvref_t<Extra>...>());
    if constexpr (!detail::is_sound_v<checked>) {
      detail::report(typename checked::value{});
      return {};
    } else {
      return detail::run_training<Data, Valid>(*core_, std::forward<Data>(data), valid, options,
                                               std::forward<Extra>(extra)...);
    }
  }

  std::unique_ptr<core_type> core_;
};

template <class... Arguments>
Trainer(Arguments...) -> Trainer<typename compose<Arguments...>::task, typename compose<Arguments...>::device, typename compose<Arguments...>::precision,
                                 typename compose<Arguments...>::distribution, typename compose<Arguments...>::callbacks>;

namespace detail {
template <class T>
struct as_argument {
  using type = std::decay_t<T>;
};
template <class T>
  requires(!has_slot<T> && module_like<T>)
struct as_argument<T> {
  using type = std::shared_ptr<T>;
};

template <class Made>
struct trainer_from {
  using type = Trainer<typename Made::task, typename Made::device, typename Made::precision, typename Made::distribution, typename Made::callbacks>;
};
template <misuse Number, class Culprit, class Detail, class Meant>
struct trainer_from<refused<bad<Number, Culprit, Detail>, Meant>> {
  static_assert(report(bad<Number, Culprit, Detail>{}));
  using type = Trainer<bad<Number, Culprit, Detail>, Meant, void, void, void>;
};
}  // namespace detail

/// The trainer that such arguments make, as a type: `trainer_of<Mlp, loss::CrossEntropy, optim::Sgd, Cuda>`.
template <class... Arguments>
using trainer_of = typename detail::trainer_from<compose<typename detail::as_argument<Arguments>::type...>>::type;

}  // namespace tacit::inline v0
