#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/range_source.hpp"
#include "tacit/fwd.hpp"
#include "tacit/train/compose.hpp"
#include "tacit/train/composition.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/describe.hpp"
#include "tacit/train/loop.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/result.hpp"
#include "tacit/train/run.hpp"

namespace tacit::inline v0 {

/// The data of a named eval set in a call of `train`.
template <fixed_string Name, class Data>
struct EvalData {
  static constexpr auto name = Name;
  using data_type = Data;
  Data&& data;
};
template <fixed_string Name, class Data>
EvalData<Name, Data> eval_data(Data&& data) {
  return {std::forward<Data>(data)};
}

namespace detail {

template <class T>
inline constexpr bool is_eval_data_v = false;
template <fixed_string Name, class Data>
inline constexpr bool is_eval_data_v<EvalData<Name, Data>> = true;

/// The source of a run's batches: a default loader over a dataset, the caller's loader, or a range.
template <class Data>
auto make_source(Data&& data, Samples batch_size, bool shuffle, std::uint64_t seed, char const* option) {
  constexpr auto kind = data::data_kind_of_v<Data>;
  if constexpr (kind == data::data_kind::dataset) {
    return std::make_unique<data::Loader<Data>>(
        std::forward<Data>(data),
        data::LoaderOptions{.batch_size = Samples{batch_size.value_or(default_batch_size)}, .shuffle = shuffle, .drop_last = false, .seed = seed});
  } else {
    if (batch_size.is_set()) {
      throw ConfigError{"TACIT-RC60", "a batch size is given, but the data make their own batches", option,
                        "leave it out, or pass the dataset instead of a loader or range"};
    }
    if constexpr (kind == data::data_kind::source) {
      return std::make_unique<data::OwnedOrBorrowed<Data>>(std::forward<Data>(data));
    } else {
      return std::make_unique<data::RangeSource<Data>>(std::forward<Data>(data));
    }
  }
}
template <class Source>
auto& source_in(std::unique_ptr<Source>& holder) {
  if constexpr (requires { holder->get(); }) {
    return holder->get();
  } else {
    return *holder;
  }
}
template <class Data>
using source_t = std::remove_reference_t<decltype(source_in(
    std::declval<std::add_lvalue_reference_t<decltype(make_source(std::declval<Data>(), Samples{}, false, std::uint64_t{}, ""))>>()))>;

template <class Source>
Samples batch_size_of(Source const& source) {
  if constexpr (requires { source.options().batch_size->value(); }) {
    return *source.options().batch_size;
  } else {
    return unset;
  }
}

// --- the second wall: what can be known only with a batch type ---

template <class Task, class Batch, class Context>
constexpr auto check_supervised_step() {
  if constexpr (names_train_step<Task>) {
    if constexpr (!requires(Task& task, Batch const& batch, Context& context) { task.train_step(batch, context); }) {
      return refuse<misuse::ET05, Task, override::train_step>{};
    } else {
      return sound{};
    }
  } else if constexpr (!supervised_batch<Batch>) {
    return refuse<misuse::ET07, Batch, Task>{};
  } else {
    using input = std::remove_cvref_t<decltype(input_of(std::declval<Batch const&>()))>;
    using target = std::remove_cvref_t<decltype(target_of(std::declval<Batch const&>()))>;
    if constexpr (names_forward<Task> &&
                  !requires(Task& task, input const& in, Context& context) { task.forward(in, context); }) {
      return refuse<misuse::ET05, Task, override::forward>{};
    } else if constexpr (!names_forward<Task> && !requires(Task& task, input const& in) { task.model->forward(in); }) {
      return refuse<misuse::ET03, Task, input>{};
    } else {
      using prediction = std::remove_cvref_t<decltype(call_forward(std::declval<Task&>(), std::declval<input const&>(), std::declval<Context&>()))>;
      if constexpr (names_loss<Task> && !requires(Task& task, prediction const& p, target const& t, Context& context) {
                      task.loss(p, t, context);
                    }) {
        return refuse<misuse::ET05, Task, override::loss>{};
      } else if constexpr (!names_loss<Task> && !requires(Task& task, prediction const& p, target const& t) { task.criterion(p, t); }) {
        return refuse<misuse::ET08, Task, list<prediction, target>>{};
      } else {
        return sound{};
      }
    }
  }
}

template <std::size_t I, class Task, class Batch, class Context>
constexpr auto check_phase_step() {
  using phase = typename task_phases<Task>::template at<I>;
  using model = typename phase::model_type;
  if constexpr (!requires(phase& p, model& m, Batch const& batch, Context& context) { p.step(m, batch, context); }) {
    return refuse<misuse::ET02, phase, Batch>{};
  } else if constexpr (I + 1 < task_phase_count<Task>) {
    return check_phase_step<I + 1, Task, Batch, Context>();
  } else {
    return sound{};
  }
}

template <std::size_t I, class Task, class Batch, class Context>
constexpr auto check_outputs() {
  using output = decltype(task_train_step<I>(std::declval<Task&>(), std::declval<Batch const&>(), std::declval<Context&>()));
  if constexpr (!step_output<output, typename Task::tensor_type>) {
    return refuse<misuse::ET01, output, Task>{};
  } else {
    using eval_output = decltype(task_eval_step<I>(std::declval<Task&>(), std::declval<Batch const&>(), std::declval<Context&>()));
    if constexpr (!step_output<eval_output, typename Task::tensor_type>) {
      return refuse<misuse::ET01, eval_output, Task>{};
    } else if constexpr (I + 1 < task_phase_count<Task>) {
      return check_outputs<I + 1, Task, Batch, Context>();
    } else {
      return sound{};
    }
  }
}

template <class Task, class Batch, class Context>
constexpr auto check_step() {
  if constexpr (requires { requires !std::same_as<typename Task::batch_type, Batch>; }) {
    return refuse<misuse::ET11, Batch, typename Task::batch_type>{};
  } else if constexpr (is_phase_task_v<Task>) {
    using callable = decltype(check_phase_step<0, Task, Batch, Context>());
    if constexpr (!is_sound_v<callable>) {
      return callable{};
    } else {
      return check_outputs<0, Task, Batch, Context>();
    }
  } else {
    using callable = decltype(check_supervised_step<Task, Batch, Context>());
    if constexpr (!is_sound_v<callable>) {
      return callable{};
    } else if constexpr (names_eval_step<Task> &&
                         !requires(Task& task, Batch const& batch, Context& context) { task.eval_step(batch, context); }) {
      return refuse<misuse::ET05, Task, override::eval_step>{};
    } else {
      return check_outputs<0, Task, Batch, Context>();
    }
  }
}

template <class Callback, class Run, class... Events>
consteval bool handles_one_of(list<Events...>) {
  return (handles<Callback, Events, Context<Run, event_parts<Events>, 0>> || ...);
}
template <class Callback, class Run, class Event, std::size_t... I>
consteval bool handles_named(std::index_sequence<I...>) {
  return (handles<Callback, event::Of<Run::template phase_name<I>, Event>, Context<Run, event_parts<Event>, I>> || ...);
}

/// Callbacks that no event of a run reaches; those that list events were checked by their list.
template <class Run, class First, class... Rest>
constexpr auto check_idle(list<First, Rest...>) {
  using asked = typename innermost<First>::type;
  constexpr auto phases = std::make_index_sequence<Run::phase_count>{};
  if constexpr (!is_eval_sets_v<First> && !states_events<asked> && !handles_one_of<First, Run>(event::all{}) &&
                !handles_named<First, Run, event::TrainLossComputed>(phases) && !handles_named<First, Run, event::UpdateStart>(phases) &&
                !handles_named<First, Run, event::UpdateEnd>(phases)) {
    return refuse<misuse::EC02, asked>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_idle<Run>(list<Rest...>{});
  } else {
    return sound{};
  }
}
template <class Run>
constexpr auto check_idle(list<>) {
  return sound{};
}

constexpr auto check_watches_evaluation(list<>) { return sound{}; }
template <class First, class... Rest>
constexpr auto check_watches_evaluation(list<First, Rest...>) {
  if constexpr (needs_evaluation<First>) {
    return refuse<misuse::EM04, First>{};
  } else {
    return check_watches_evaluation(list<Rest...>{});
  }
}

template <class EvalSets, class... Extra>
struct eval_data_fit;
template <fixed_string... Names, class... Extra>
struct eval_data_fit<eval_sets<Names...>, Extra...> {
  template <fixed_string Name>
  static constexpr std::size_t given = (std::size_t{0} + ... + std::size_t{Extra::name == Name});
  static constexpr bool value = sizeof...(Names) == sizeof...(Extra) && ((given<Names> == 1) && ...);
};

template <class Core, class Data, class Valid, class... Extra>
constexpr auto check_train_call() {
  using task = typename Core::task_type;
  if constexpr (data::data_kind_of_v<Data> == data::data_kind::none) {
    return refuse<misuse::ER03, Data>{};
  } else if constexpr (!std::is_void_v<Valid> && data::data_kind_of_v<Valid> == data::data_kind::none) {
    return refuse<misuse::ER03, Valid>{};
  } else if constexpr (!(is_eval_data_v<Extra> && ...)) {
    return refuse<misuse::ER04, list<Extra...>>{};
  } else if constexpr (!eval_data_fit<typename Core::composition::named_eval_sets, Extra...>::value) {
    return refuse<misuse::EM06, typename Core::composition::named_eval_sets, list<Extra...>>{};
  } else {
    using step = decltype(check_step<task, typename source_t<Data>::batch_type, StepContext<Core>>());
    if constexpr (!is_sound_v<step>) {
      return step{};
    } else if constexpr (std::is_void_v<Valid> && sizeof...(Extra) == 0) {
      using watches = decltype(check_watches_evaluation(typename Core::composition::watched_tags{}));
      if constexpr (!is_sound_v<watches>) {
        return watches{};
      } else {
        return check_idle<TrainPass<Core, source_t<Data>, no_evaluation>>(typename Core::callback_types{});
      }
    } else {
      return check_idle<TrainPass<Core, source_t<Data>, no_evaluation>>(typename Core::callback_types{});
    }
  }
}

/// One run in the process, on the trainer's thread; released on every way out.
template <class Core>
class RunGuard {
 public:
  explicit RunGuard(Core& core) : core_{core} {
    if (core.running()) {
      throw UsageError{"TACIT-RU10", "this trainer is running already", "train or evaluate", "do not call it from a callback; use context.evaluate()"};
    }
    if (core.owner() != std::this_thread::get_id()) {
      throw UsageError{"TACIT-RU11", "called on another thread than the one that made the trainer", "train or evaluate",
                       "make and use the trainer on one thread; only request_stop() may be called from others"};
    }
    if constexpr (!shares_process<typename Core::composition::distribution>) {
      if (run_in_process.exchange(true)) {
        throw UsageError{"TACIT-RU12", "another trainer is running in this process", "train or evaluate", "run one after the other, or in processes of their own"};
      }
    }
    core.running() = true;
  }
  RunGuard(RunGuard const&) = delete;
  RunGuard& operator=(RunGuard const&) = delete;
  ~RunGuard() {
    core_.running() = false;
    core_.record_to(nullptr);
    core_.forget_mask();
    core_.set_wish(0);
    if constexpr (!shares_process<typename Core::composition::distribution>) run_in_process.store(false);
  }

 private:
  Core& core_;
};

/// The flat pack's elements, whether the caller gave a pack or not.
template <class Callbacks>
struct pack_defaults;
template <class... C>
struct pack_defaults<CallbackPack<C...>> {
  using type = std::tuple<make_default<C>...>;
};

/// The argument that fills a slot, or `fallback`.
template <class Slot, class Fallback>
Fallback pick(Fallback fallback) {
  return fallback;
}
template <class Slot, class Fallback, class First, class... Rest>
decltype(auto) pick(Fallback fallback, First& first, Rest&... rest) {
  if constexpr (std::same_as<slot_of_t<std::remove_cvref_t<First>>, Slot>) {
    return (first);
  } else {
    return pick<Slot>(fallback, rest...);
  }
}
struct nothing {};

/// An automatic argument tells what it chose, once everything is bound.
template <class Core, class... A>
void announce_choices(Core& core, A&... arguments) {
  auto&& automatic = pick<slot::automatic>(nothing{}, arguments...);
  if constexpr (requires { automatic.announce(core); }) automatic.announce(core);
}

template <class Policy, class Slot, class... A>
Policy pick_policy(A&... arguments) {
  auto&& given = pick<Slot>(nothing{}, arguments...);
  if constexpr (!std::same_as<std::remove_cvref_t<decltype(given)>, nothing>) {
    static_assert(std::same_as<std::remove_cvref_t<decltype(given)>, Policy>);
    return given;
  } else {
    auto&& automatic = pick<slot::automatic>(nothing{}, arguments...);
    if constexpr (std::same_as<std::remove_cvref_t<decltype(automatic)>, nothing>) {
      return Policy{};
    } else if constexpr (std::same_as<Slot, slot::device>) {
      return automatic.make_device();
    } else if constexpr (std::same_as<Slot, slot::precision>) {
      return automatic.make_precision();
    } else {
      return automatic.make_distribution();
    }
  }
}

template <class Callbacks, class... A>
auto pick_callbacks(A&... arguments) {
  auto&& given = pick<slot::callbacks>(nothing{}, arguments...);
  auto&& sets = pick<slot::eval_sets>(nothing{}, arguments...);
  auto callbacks = [&] {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(given)>, nothing>) {
      return typename pack_defaults<typename pack_of<flat_types<CallbackPack<default_callbacks_t>>>::type>::type{};
    } else {
      return flat<std::remove_cvref_t<decltype(given)>>::refs(given);
    }
  }();
  if constexpr (std::same_as<std::remove_cvref_t<decltype(sets)>, nothing>) {
    return callbacks;
  } else {
    return std::tuple_cat(std::move(callbacks), std::tuple<make_default<std::remove_cvref_t<decltype(sets)>>>{});
  }
}

/// What of the arguments contradicts the types written into Trainer<...>.
template <class Trainer, class... A>
constexpr auto check_agreement() {
  using made = compose<A...>;
  if constexpr (is_bad_v<typename made::task>) {
    return type<typename made::task>{};
  } else if constexpr (!std::same_as<typename made::task, typename Trainer::task_type>) {
    return refuse<misuse::ES05, typename made::task, typename Trainer::task_type>{};
  } else if constexpr (!std::same_as<typename made::device, typename Trainer::device_policy>) {
    return refuse<misuse::ES05, typename made::device, typename Trainer::device_policy>{};
  } else if constexpr (!std::same_as<typename made::precision, typename Trainer::precision_policy>) {
    return refuse<misuse::ES05, typename made::precision, typename Trainer::precision_policy>{};
  } else if constexpr (!std::same_as<typename made::distribution, typename Trainer::distribution_policy>) {
    return refuse<misuse::ES05, typename made::distribution, typename Trainer::distribution_policy>{};
  } else if constexpr (!std::same_as<typename made::callbacks, typename Trainer::callbacks>) {
    return refuse<misuse::ES05, typename made::callbacks, typename Trainer::callbacks>{};
  } else {
    return sound{};
  }
}

}  // namespace detail

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
  template <class First, class... Rest>
    requires(!std::same_as<std::remove_cvref_t<First>, Trainer>)
  explicit Trainer(First&& first, Rest&&... rest) : core_{make_core(std::forward<First>(first), std::forward<Rest>(rest)...)} {
    InitPass init{*core_};
    detail::notify(init, event::InitEnd{});
  }

  Trainer(Trainer const&) = delete;
  Trainer& operator=(Trainer const&) = delete;

  /// Trains until the first limit of `options` is reached.
  /// `data` is a dataset, a loader, or whatever range-for accepts; lvalues are borrowed for the call.
  /// Throws: what data, task and callbacks throw; ConfigError, DataError, UsageError for what cannot work.
  template <class Data>
  RunResult train(Data&& data, TrainOptions const& options) {
    return train_checked<Data, void>(std::forward<Data>(data), nullptr, options);
  }
  /// Trains, and evaluates on `valid` as `options.evaluation` says.
  template <class Data, class Valid, class... Extra>
  RunResult train(Data&& data, Valid&& valid, TrainOptions const& options, Extra&&... extra) {
    return train_checked<Data, Valid>(std::forward<Data>(data), &valid, options, std::forward<Extra>(extra)...);
  }

  /// Evaluates without training: the training history stays as it is.
  template <class Data>
  EvalResult evaluate(Data&& data, EvalOptions const& options = {}) {
    if constexpr (data::data_kind_of_v<Data> == data::data_kind::none) {
      detail::report(bad<misuse::ER03, Data>{});
      return EvalResult{History{}};
    } else {
      using checked = decltype(detail::check_step<Task, typename detail::source_t<Data>::batch_type, StepContext<core_type>>());
      if constexpr (!detail::is_sound_v<checked>) {
        detail::report(typename checked::value{});
        return EvalResult{History{}};
      } else {
        return run_evaluation(std::forward<Data>(data), options);
      }
    }
  }

  /// The run ends after the current update. The only member that other threads and signal handlers may call.
  void request_stop() noexcept { core_->request_stop(StopReason::requested); }

  /// Everything recorded in this trainer's training runs.
  History const& history() const noexcept { return core_->history(); }
  /// The plan of the latest run.
  RunPlan const& plan() const noexcept { return core_->plan(); }
  Task const& task() const noexcept { return core_->task(); }
  /// The model of the task's (first) phase.
  auto& model() const noexcept { return detail::task_model<0>(core_->task()); }
  TrainerView<core_type> view() noexcept { return core_->view(); }

  /// What this trainer is made of: policies, the table event x callback, what each reads and writes, the state list.
  std::string describe() const { return detail::describe<composition>(core_->device().name(), core_->precision().name(), core_->distribution().name()); }

 private:
  struct InitSource {
    struct batch_type {};
    void start_epoch(std::uint64_t, EpochIndex, int, int) {}
    bool next(std::optional<batch_type>&) { return false; }
    std::int64_t position() const { return 0; }
  };
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
    using agreement = decltype(detail::check_agreement<Trainer, std::remove_cvref_t<A>...>());
    if constexpr (!detail::is_sound_v<agreement>) {
      detail::report(typename agreement::value{});
      return nullptr;
    } else {
      // Lvalues are copied and rvalues moved, once, so that the parts can then be moved out of here.
      std::tuple<std::remove_cvref_t<A>...> owned{std::forward<A>(given)...};
      return std::apply(
          [](auto&... arguments) {
            auto core = std::make_unique<core_type>(make_task(arguments...), detail::pick_policy<Device, slot::device>(arguments...),
                                                    detail::pick_policy<Precision, slot::precision>(arguments...),
                                                    detail::pick_policy<Distribution, slot::distribution>(arguments...),
                                                    detail::pick_callbacks<Callbacks>(arguments...));
            detail::announce_choices(*core, arguments...);
            return core;
          },
          owned);
    }
  }
  template <class First, class... Rest>
  static Task make_task(First& first, Rest&... rest) {
    if constexpr (std::same_as<slot_of_t<std::remove_cvref_t<First>>, slot::task>) {
      return std::move(first);
    } else {
      return make_supervised(first, rest...);
    }
  }
  template <class Model, class Loss, class Optimizer, class... Rest>
  static Task make_supervised(Model& model, Loss& loss, Optimizer& optimizer, Rest&...) {
    if (detail::shared_model(model) == nullptr) {
      throw ConfigError{"TACIT-RC61", "the model is a null pointer", "Trainer", "pass std::make_shared<Model>(...)"};
    }
    return Task{detail::shared_model(model), std::move(loss), std::move(optimizer)};
  }

  template <class Data, class Valid, class ValidPointer, class... Extra>
  RunResult train_checked(Data&& data, ValidPointer valid, TrainOptions const& options, Extra&&... extra) {
    using checked = decltype(detail::check_train_call<core_type, Data, Valid, std::remove_cvref_t<Extra>...>());
    if constexpr (!detail::is_sound_v<checked>) {
      detail::report(typename checked::value{});
      return {};
    } else {
      return run_training<Data, Valid>(std::forward<Data>(data), valid, options, std::forward<Extra>(extra)...);
    }
  }

  template <class Data, class Valid, class ValidPointer, class... Extra>
  RunResult run_training(Data&& data, [[maybe_unused]] ValidPointer valid, TrainOptions const& options, Extra&&... extra) {
    check(options);
    core_type& core = *core_;
    detail::RunGuard const guard{core};
    core.sink() = options.sink;
    std::uint64_t const seed = options.seed.value_or(0);
    auto holder = detail::make_source(std::forward<Data>(data), options.per_device_batch_size, true, seed, "TrainOptions::per_device_batch_size");
    auto& source = detail::source_in(holder);
    Samples const eval_batch_size =
        options.eval_per_device_batch_size.is_set() ? options.eval_per_device_batch_size : options.per_device_batch_size;
    plan_training(source, options);
    if constexpr (std::is_void_v<Valid> && sizeof...(Extra) == 0) {
      return run_training_with(source, options, detail::no_evaluation{});
    } else {
      std::tuple<decltype(make_eval(extra, eval_batch_size))...> named{make_eval(extra, eval_batch_size)...};
      if constexpr (std::is_void_v<Valid>) {
        return run_training_with(source, options, [&named](core_type& c, bool intermediate) { evaluate_named(c, named, intermediate); });
      } else {
        auto valid_holder = detail::make_source(std::forward<Valid>(*valid), eval_batch_size_for<Valid>(eval_batch_size, options), false, seed,
                                                "TrainOptions::eval_per_device_batch_size");
        auto& valid_source = detail::source_in(valid_holder);
        plan_evaluation(valid_source);
        return run_training_with(source, options, [&named, &valid_source](core_type& c, bool intermediate) {
          evaluate_set(c, valid_source, "", intermediate, unset);
          evaluate_named(c, named, intermediate);
        });
      }
    }
  }

  /// A loader given for evaluation keeps its own batch size even where the training set's is an option.
  template <class Valid>
  static Samples eval_batch_size_for(Samples size, TrainOptions const& options) {
    if constexpr (data::data_kind_of_v<Valid> == data::data_kind::dataset) {
      return size;
    } else {
      return options.eval_per_device_batch_size;
    }
  }

  template <class Holder, fixed_string Name>
  struct NamedEval {
    Holder holder;
    static constexpr std::string_view name = Name.view();
  };
  template <class Extra>
  static auto make_eval(Extra& extra, Samples batch_size) {
    using data_type = typename std::remove_cvref_t<Extra>::data_type;
    auto holder = detail::make_source(std::forward<data_type>(extra.data), data::data_kind_of_v<data_type> == data::data_kind::dataset ? batch_size : Samples{unset},
                                      false, 0, "TrainOptions::eval_per_device_batch_size");
    return NamedEval<decltype(holder), std::remove_cvref_t<Extra>::name>{std::move(holder)};
  }
  template <class Named>
  static void evaluate_named(core_type& core, Named& named, bool intermediate) {
    std::apply([&](auto&... one) { (evaluate_set(core, detail::source_in(one.holder), one.name, intermediate, unset), ...); }, named);
  }
  template <class Source>
  static void evaluate_set(core_type& core, Source& source, std::string_view set, bool intermediate, MicroBatches limit) {
    detail::EvalPass<core_type, Source> pass{core, source, set, intermediate, limit};
    detail::eval_epoch(pass);
  }

  template <class Source, class Evaluate>
  RunResult run_training_with(Source& source, TrainOptions const& options, Evaluate evaluate) {
    core_type& core = *core_;
    detail::TrainPass<core_type, Source, Evaluate> pass{core, source, options, std::move(evaluate)};
    if constexpr (!decltype(pass)::states_tokens()) {
      if (options.limit.tokens.is_set()) {
        throw ConfigError{"TACIT-RC62", "a limit in tokens, but the task's step states no `weight`", "TrainOptions::limit.tokens",
                          "return a struct with a member `weight`, or limit another unit"};
      }
    }
    core.history().begin_run();
    try {
      detail::train_run(pass);
    } catch (...) {
      for (std::size_t phase = 0; phase < core_type::phase_count; ++phase) clear_gradients(phase);
      core.note_failure();
      throw;
    }
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

  void clear_gradients(std::size_t phase) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((I == phase ? core_->template phase<I>().parameters.clear_gradients() : void()), ...);
    }(std::make_index_sequence<core_type::phase_count>{});
  }

  template <class Data>
  EvalResult run_evaluation(Data&& data, EvalOptions const& options) {
    check(options);
    core_type& core = *core_;
    detail::RunGuard const guard{core};
    core.sink() = options.sink;
    auto holder = detail::make_source(std::forward<Data>(data), options.per_device_batch_size, false, 0, "EvalOptions::per_device_batch_size");
    auto& source = detail::source_in(holder);
    core.plan() = base_plan();
    plan_evaluation(source);
    core.progress() = Progress{};
    History metrics;
    metrics.begin_run();
    core.record_to(&metrics);
    try {
      detail::EvalPass<core_type, std::remove_reference_t<decltype(source)>> pass{core, source, "", false, options.limit};
      detail::eval_run(pass);
    } catch (...) {
      core.note_failure();
      throw;
    }
    metrics.end_run(StopReason::completed, Updates{0});
    return EvalResult{std::move(metrics)};
  }

  RunPlan base_plan() {
    core_type& core = *core_;
    RunPlan plan;
    plan.rank = core.rank();
    plan.local_rank = core.distribution().local_rank();
    plan.world_size = core.world_size();
    plan.is_main_process = plan.rank == 0;
    plan.is_local_main_process = plan.local_rank == 0;
    plan.is_distributed = plan.world_size > 1;
    plan.device = core.device().name();
    plan.precision = core.precision().name();
    plan.distribution = core.distribution().name();
    return plan;
  }
  template <class Source>
  void plan_training(Source& source, TrainOptions const& options) {
    RunPlan plan = base_plan();
    plan.epochs = options.epochs;
    plan.gradient_accumulation = options.gradient_accumulation;
    plan.clip_norm = options.clip.norm;
    plan.seed = options.seed.value_or(0);
    plan.per_device_batch_size = detail::batch_size_of(source);
    if (plan.per_device_batch_size.is_set()) {
      plan.total_batch_size = plan.per_device_batch_size.value() * plan.world_size * options.gradient_accumulation.value();
    }
    if constexpr (sized_batch_source<Source>) {
      std::int64_t const batches = limited(source.size(plan.world_size), core_->batch_limits().train);
      std::int64_t const window = options.gradient_accumulation.value();
      plan.micro_batches_per_epoch = batches;
      plan.updates_per_epoch = (batches + window - 1) / window;
      if (options.epochs.is_set()) plan.updates = options.epochs.value() * plan.updates_per_epoch.value();
    }
    if (options.limit.updates.is_set()) {
      plan.updates = plan.updates.is_set() ? std::min(plan.updates, options.limit.updates) : options.limit.updates;
    }
    core_->plan() = plan;
  }
  template <class Source>
  void plan_evaluation(Source& source) {
    RunPlan& plan = core_->plan();
    plan.eval_per_device_batch_size = detail::batch_size_of(source);
    if (plan.eval_per_device_batch_size.is_set()) {
      plan.eval_total_batch_size = plan.eval_per_device_batch_size.value() * plan.world_size;
    }
    if constexpr (sized_batch_source<Source>) plan.eval_batches = limited(source.size(plan.world_size), core_->batch_limits().eval);
  }
  static std::int64_t limited(std::int64_t batches, MicroBatches limit) { return std::min(batches, limit.value_or(batches)); }

  std::unique_ptr<core_type> core_;
};

/// What a misuse makes of a trainer: its constructor holds the one error, and every member accepts anything in silence.
template <misuse Number, class Culprit, class Detail, class Device, class Precision, class Distribution, class Callbacks>
class Trainer<bad<Number, Culprit, Detail>, Device, Precision, Distribution, Callbacks> {
 public:
  template <class... Arguments>
  explicit Trainer(Arguments&&...) {
    detail::report(bad<Number, Culprit, Detail>{});
  }
  RunResult train(auto&&, TrainOptions const&) { return {}; }
  RunResult train(auto&&, auto&&, TrainOptions const&, auto&&...) { return {}; }
  EvalResult evaluate(auto&&, EvalOptions const& = {}) { return EvalResult{History{}}; }
  void request_stop() noexcept {}
  History const& history() const noexcept { return history_; }
  RunPlan const& plan() const noexcept { return plan_; }
  bad<Number, Culprit, Detail> task() const noexcept { return {}; }
  bad<Number, Culprit, Detail> model() const noexcept { return {}; }
  bad<Number, Culprit, Detail> view() noexcept { return {}; }
  std::string describe() const { return {}; }

 private:
  History history_;
  RunPlan plan_;
};

template <class... Arguments>
Trainer(Arguments...) -> Trainer<typename compose<Arguments...>::task, typename compose<Arguments...>::device, typename compose<Arguments...>::precision,
                                 typename compose<Arguments...>::distribution, typename compose<Arguments...>::callbacks>;

namespace detail {
template <class T>
struct as_argument {
  using type = T;
};
template <class T>
  requires(!has_slot<T> && module_like<T>)
struct as_argument<T> {
  using type = std::shared_ptr<T>;
};

template <class Made>
struct trainer_from {
  using type = Trainer<typename Made::task, typename Made::device, typename Made::precision, typename Made::distribution, typename Made::callbacks>;
  static constexpr bool checked = [] {
    if constexpr (is_bad_v<typename Made::task>) report(typename Made::task{});
    return true;
  }();
};
}  // namespace detail

/// The trainer that such arguments make, as a type: `trainer_of<Mlp, loss::CrossEntropy, optim::Sgd, Cuda>`.
template <class... Arguments>
using trainer_of = typename detail::trainer_from<compose<typename detail::as_argument<Arguments>::type...>>::type;

}  // namespace tacit::inline v0
