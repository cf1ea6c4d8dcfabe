#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/owned_or_borrowed.hpp"
#include "tacit/data/range_source.hpp"
#include "tacit/data/shared_source.hpp"
#include "tacit/fwd.hpp"
#include "tacit/train/agreement.hpp"
#include "tacit/train/choices.hpp"
#include "tacit/train/compose.hpp"
#include "tacit/train/composition.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/describe.hpp"
#include "tacit/train/loop.hpp"
#include "tacit/train/eval_loop.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/pass.hpp"
#include "tacit/train/planned.hpp"
#include "tacit/train/result.hpp"
#include "tacit/train/run.hpp"
#include "tacit/train/scopes.hpp"
#include "tacit/train/session.hpp"

namespace tacit::inline v0 {

/// The data of a named eval set in a call of `train`.
template <fixed_string Name, class Data>
struct EvalData {
  static constexpr auto name = Name;
  using data_type = std::remove_reference_t<Data>&;  // a run borrows what is here
  mutable data::OwnedOrBorrowed<Data> data;
};
/// An lvalue is borrowed and has to outlive the result, an rvalue is taken over.
template <fixed_string Name, class Data>
EvalData<Name, Data> eval_data(Data&& data) {
  return {data::OwnedOrBorrowed<Data>{std::forward<Data>(data)}};
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
    return std::make_unique<data::Loader<Data, data::DefaultCollate, data::OptionsSampler, false>>(
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

/// The input of a batch, or a tensor where it has none.
template <class Task, class Batch>
struct likely_input {
  using type = typename Task::tensor_type;
};
template <class Task, supervised_batch Batch>
struct likely_input<Task, Batch> {
  using type = std::remove_cvref_t<decltype(input_of(std::declval<Batch const&>()))>;
};
/// Beside a right `train_step` only that calls `forward` and `loss`, with types of its own: they are at fault where they can be
/// called with too few arguments.
template <class Task, class Input, class Context>
concept forward_takes_too_few = names_forward<Task> && requires(Task& task, Input const& input) { task.forward(input); };
template <class Task, class Batch, class Context, class Tensor = typename Task::tensor_type>
concept loss_takes_too_few = names_loss<Task> && (requires(Task& task, Tensor const& tensor) { task.loss(tensor, tensor); } ||
                                                  requires(Task& task, Tensor const& tensor, Context& context) { task.loss(tensor, context); } ||
                                                  requires(Task& task, Batch const& batch, Context& context) { task.loss(batch, context); } ||
                                                  requires(Task& task, Tensor const& tensor) { task.loss(tensor); });
template <class Task, class Prediction, class Target, class Context>
concept returns_tensor = requires(Task& task, Prediction const& prediction, Target const& target, Context& context) {
  { call_loss(task, prediction, target, context) } -> std::convertible_to<typename Task::tensor_type const&>;
};

template <class Task, class Batch, class Context>
constexpr auto check_supervised_step() {
  if constexpr (names_train_step<Task>) {
    if constexpr (!requires(Task& task, Batch const& batch, Context& context) { task.train_step(batch, context); }) {
      return refuse<misuse::ET05, Task, override::train_step>{};
    } else if constexpr (supervised_task<Task> && forward_takes_too_few<Task, typename likely_input<Task, Batch>::type, Context>) {
      return refuse<misuse::ET05, Task, override::forward>{};
    } else if constexpr (supervised_task<Task> && loss_takes_too_few<Task, Batch, Context>) {
      return refuse<misuse::ET05, Task, override::loss>{};
    } else {
      return sound{};
    }
  } else if constexpr (!supervised_batch<Batch>) {
    return refuse<has_base<Batch> ? misuse::ET31 : misuse::ET07, Batch, Task>{};
  } else {
    using input = std::remove_cvref_t<decltype(input_of(std::declval<Batch const&>()))>;
    using target = std::remove_cvref_t<decltype(target_of(std::declval<Batch const&>()))>;
    if constexpr (names_forward<Task> &&
                  !requires(Task& task, input const& in, Context& context) { task.forward(in, context); }) {
      return refuse<misuse::ET05, Task, override::forward>{};
    } else if constexpr (!names_forward<Task> && !requires(Task& task, input const& in) { task.model->forward(in); }) {
      return refuse<misuse::ET03, typename Task::model_type, input>{};
    } else {
      using prediction = std::remove_cvref_t<decltype(call_forward(std::declval<Task&>(), std::declval<input const&>(), std::declval<Context&>()))>;
      if constexpr (names_loss<Task> && !requires(Task& task, prediction const& p, target const& t, Context& context) {
                      task.loss(p, t, context);
                    }) {
        return refuse<misuse::ET05, Task, override::loss>{};
      } else if constexpr (!names_loss<Task> && !requires(Task& task, prediction const& p, target const& t) { task.criterion(p, t); }) {
        return refuse<misuse::ET08, decltype(Task::criterion), list<prediction, target>>{};
      } else if constexpr (!returns_tensor<Task, prediction, target, Context>) {
        return refuse<misuse::ET15, decltype(Task::criterion), prediction>{};
      } else if constexpr (!names_loss<Task> && names_weight_function<decltype(Task::criterion)> &&
                           !weighs<decltype(Task::criterion), prediction, target>) {
        return refuse<misuse::ET16, decltype(Task::criterion), list<prediction, target>>{};
      } else {
        return sound{};
      }
    }
  }
}

template <class Phase, bool Training, class Batch, class Context>
concept phase_can_step = requires(Phase& phase, typename Phase::model_type& model, Batch const& batch, Context& context) {
  requires Training || std::same_as<decltype(phase.eval_step), same_step>;
  phase.step(model, batch, context);
} || requires(Phase& phase, typename Phase::model_type& model, Batch const& batch, Context& context) {
  requires !Training && !std::same_as<decltype(phase.eval_step), same_step>;
  phase.eval_step(model, batch, context);
};

/// Whether the step, of training or of evaluation, can be called at all.
template <bool Training, std::size_t I, class Task, class Batch, class Context>
constexpr auto check_callable() {
  if constexpr (is_phase_task_v<Task>) {
    using phase = typename task_phases<Task>::template at<I>;
    if constexpr (!phase_can_step<phase, Training, Batch, Context>) {
      return refuse<misuse::ET02, phase, Batch>{};
    } else {
      return sound{};
    }
  } else if constexpr (!Training && names_eval_step<Task>) {
    if constexpr (!requires(Task& task, Batch const& batch, Context& context) { task.eval_step(batch, context); }) {
      return refuse<misuse::ET05, Task, override::eval_step>{};
    } else {
      return sound{};
    }
  } else {
    return check_supervised_step<Task, Batch, Context>();
  }
}

template <bool Training, std::size_t I, class Task, class Batch, class Context>
auto step_output_of() {
  return type<decltype(task_step<I, Training>(std::declval<Task&>(), std::declval<Batch const&>(), std::declval<Context&>()))>{};
}

template <bool Training, class Task, class Batch, class Context, std::size_t I = 0>
constexpr auto check_step() {
  using callable = decltype(check_callable<Training, I, Task, Batch, Context>());
  if constexpr (requires { requires !std::same_as<typename Task::batch_type, Batch>; }) {
    return refuse<misuse::ET11, Batch, typename Task::batch_type>{};
  } else if constexpr (!is_sound_v<callable>) {
    return callable{};
  } else {
    using output = typename decltype(step_output_of<Training, I, Task, Batch, Context>())::value;
    if constexpr (!step_output<output, typename Task::tensor_type>) {
      return refuse<misuse::ET01, output, Task>{};
    } else if constexpr (names_weight<output> && !states_weight<output>) {
      return refuse<misuse::ET14, output, Task>{};
    } else if constexpr (I + 1 < task_phase_count<Task>) {
      return check_step<Training, Task, Batch, Context, I + 1>();
    } else {
      return sound{};
    }
  }
}

/// A lambda as an eval step that takes too few arguments, or whose types, where they are spelled out, are not those of a step.
template <class Step>
struct step_arguments {};
template <class Step, class Result, class... Arguments>
struct step_arguments<Result (Step::*)(Arguments...) const> : type<list<Arguments...>> {};
template <class Step, class Result, class... Arguments>
struct step_arguments<Result (Step::*)(Arguments...)> : type<list<Arguments...>> {};
template <class Model, class Context>
consteval bool fits_step(list<>) {
  return false;
}
template <class Model, class Context, class... Arguments>
consteval bool fits_step(list<Arguments...>) {
  if constexpr (sizeof...(Arguments) == 3) {
    return std::convertible_to<Model&, type_at_t<0, list<Arguments...>>> && std::convertible_to<Context&, type_at_t<2, list<Arguments...>>>;
  } else {
    return false;
  }
}
template <class Step, class Model, class Batch, class Context>
concept takes_no_step = requires(Step& step, Model& model, Batch const& batch) { step(model, batch); } ||
                        requires(Step& step, Batch const& batch, Context& context) { step(batch, context); } ||
                        requires { requires !fits_step<Model, Context>(typename step_arguments<decltype(&Step::operator())>::value{}); };
template <std::size_t I, class Task, class Batch, class Context>
constexpr auto check_unused_lambda() {
  using phase = typename task_phases<Task>::template at<I>;
  using step = std::remove_cvref_t<decltype(phase::eval_step)>;
  if constexpr (!std::same_as<step, same_step> && takes_no_step<step, typename phase::model_type, Batch, Context>) {
    return refuse<misuse::ET02, phase, Batch>{};
  } else if constexpr (I + 1 < task_phase_count<Task>) {
    return check_unused_lambda<I + 1, Task, Batch, Context>();
  } else {
    return sound{};
  }
}

/// Without eval data nobody can know an eval step's batch: it is at fault only if it takes no batch whatever.
template <class Task, class Batch, class Context>
constexpr auto check_unused_eval_step() {
  if constexpr (is_phase_task_v<Task>) {
    return check_unused_lambda<0, Task, Batch, Context>();
  } else if constexpr (names_eval_step<Task>) {
    // One after the other: a generic step of a deduced return type is compiled for whatever it is asked with.
    if constexpr (requires(Task& task, Batch const& batch, Context& context) { task.eval_step(batch, context); }) {
      return sound{};
    } else if constexpr (requires(Task& task, any_context batch, Context& context) { task.eval_step(batch, context); }) {
      return sound{};
    } else {
      return refuse<misuse::ET05, Task, override::eval_step>{};
    }
  } else {
    return sound{};
  }
}

/// A batch type alone as a source, for a task that states its own.
template <class Batch>
struct stated_source {
  using batch_type = Batch;
  void start_epoch(std::uint64_t, EpochIndex, int, int) {}
  bool next(std::optional<Batch>&) { return false; }
  std::int64_t position() const { return 0; }
};

template <class Callback, class Run, class... Events>
consteval bool handles_one_of(list<Events...>) {
  return (handles<Callback, Events, Context<Run, event_parts<Events>, probed_phase<Events>>> || ...);
}
/// A callback that no event of a run reaches; one that lists its events was held to its list.
template <class Run, class Callback>
constexpr auto check_idle_one() {
  using asked = innermost_t<Callback>;
  using all = concat_t<event::all, phased_events_t<typename Run::task_type>>;
  if constexpr (is_eval_sets_v<Callback> || states_events<asked>) {
    return sound{};
  } else if constexpr (handles_in_probe<asked, typename Run::tensor_type>(all{})) {
    // The first wall asked already, and a handler that a probe can call will do; what is left has handlers with constraints.
    return sound{};
  } else if constexpr (handles_one_of<Callback, Run>(all{})) {
    return sound{};
  } else {
    return refuse<misuse::EC02, asked>{};
  }
}
template <class Run, class... C>
constexpr auto check_idle(list<C...>) {
  return first_unsound<sound, decltype(check_idle_one<Run, C>())...>();
}

template <class Callback>
constexpr auto check_watches_evaluation(list<>) {
  return sound{};
}
template <class Callback, class First, class... Rest>
constexpr auto check_watches_evaluation(list<First, Rest...>) {
  if constexpr (First::needs_evaluation) {
    return refuse<misuse::EM04, First, innermost_t<Callback>>{};
  } else {
    return check_watches_evaluation<Callback>(list<Rest...>{});
  }
}
template <class... C>
constexpr auto check_no_evaluation(list<C...>) {
  return first_unsound<sound, decltype(check_watches_evaluation<C>(watched_tags_t<C>{}))...>();
}

/// Watched tags of the plain eval set, in a call that gives data of named ones only.
template <class Plain, class Callback>
constexpr auto check_watches_plain(list<>) {
  return sound{};
}
template <class Plain, class Callback, class First, class... Rest>
constexpr auto check_watches_plain(list<First, Rest...>) {
  if constexpr (First::needs_evaluation && contains_v<Plain, First>) {
    return refuse<misuse::EM04, First, innermost_t<Callback>>{};
  } else {
    return check_watches_plain<Plain, Callback>(list<Rest...>{});
  }
}
template <class Composition, class... C>
constexpr auto check_no_plain_evaluation(list<C...>) {
  using plain = typename Composition::template columns<typename Composition::evaluation_types::plain>;
  return first_unsound<sound, decltype(check_watches_plain<plain, C>(watched_tags_t<C>{}))...>();
}

/// Whether batches can be had of the data; where something is missing of a dataset, what.
template <class Data>
constexpr auto check_data() {
  using plain = std::remove_cvref_t<Data>;
  if constexpr (data::data_kind_of_v<Data> != data::data_kind::none) {
    return sound{};
  } else if constexpr (requires { typename plain::refused; }) {
    return type<typename plain::refused>{};
  } else if constexpr (has_get_batch<plain> || (has_size<plain> && !std::ranges::range<plain>)) {
    return type<refused_dataset<Data>>{};
  } else {
    return refuse<misuse::ER03, plain>{};
  }
}

template <class Core, class Data>
constexpr auto check_evaluation() {
  using readable = decltype(check_data<Data>());
  if constexpr (!is_sound_v<readable>) {
    return readable{};
  } else {
    return check_step<false, typename Core::task_type, typename source_t<Data>::batch_type, StepContext<Core>>();
  }
}

/// The arguments after the options that hold data of eval sets; the others are schedules.
template <class... Extra>
using eval_data_of = concat_t<std::conditional_t<is_eval_data_v<Extra>, list<Extra>, list<>>...>;

template <class EvalSets, class Extra>
struct eval_data_fit;
template <fixed_string... Names, class... Extra>
struct eval_data_fit<eval_sets<Names...>, list<Extra...>> {
  template <fixed_string Name>
  static constexpr std::size_t given = (std::size_t{0} + ... + std::size_t{Extra::name == Name});
  static constexpr bool value = sizeof...(Names) == sizeof...(Extra) && ((given<Names> == 1) && ...);
};

template <class Core, class Batch>
constexpr auto check_training() {
  using task = typename Core::task_type;
  return first_unsound<decltype(check_step<true, task, Batch, StepContext<Core>>()), decltype(check_unused_eval_step<task, Batch, StepContext<Core>>())>();
}

template <class Core, class Extra>
constexpr auto check_extra() {
  if constexpr (is_field_schedule_v<Extra>) {
    constexpr bool found = []<std::size_t... I>(std::index_sequence<I...>) {
      return (has_field<Extra::name, std::remove_reference_t<decltype(std::declval<Core&>().template phase<I>().optimizer)>> || ...);
    }(std::make_index_sequence<Core::phase_count>{});
    if constexpr (found) {
      return sound{};
    } else {
      return refuse<misuse::ER06, Extra, typename Core::task_type>{};
    }
  } else if constexpr (is_eval_data_v<Extra>) {
    return sound{};
  } else {
    return refuse<misuse::ER04, Extra>{};
  }
}

template <class Core, class Valid, class Batch, class... Extra>
constexpr auto check_train_data(list<Extra...>) {
  if constexpr (std::is_void_v<Valid> && sizeof...(Extra) == 0) {
    return first_unsound<decltype(check_training<Core, Batch>()), decltype(check_no_evaluation(typename Core::composition::callbacks{}))>();
  } else if constexpr (std::is_void_v<Valid>) {
    return first_unsound<decltype(check_step<true, typename Core::task_type, Batch, StepContext<Core>>()),
                         decltype(check_evaluation<Core, typename Extra::data_type>())...,
                         decltype(check_no_plain_evaluation<typename Core::composition>(typename Core::composition::callbacks{}))>();
  } else {
    return first_unsound<decltype(check_step<true, typename Core::task_type, Batch, StepContext<Core>>()), decltype(check_evaluation<Core, Valid>()),
                         decltype(check_evaluation<Core, typename Extra::data_type>())...>();
  }
}

template <class Core, class Data, class Valid, class... Extra>
constexpr auto check_train_call() {
  using readable = decltype(check_data<Data>());
  using sets = typename Core::composition::named_eval_sets;
  if constexpr (!is_sound_v<readable>) {
    return readable{};
  } else {
    using extra = decltype(first_unsound<sound, decltype(check_extra<Core, Extra>())...>());
    if constexpr (!is_sound_v<extra>) {
      return extra{};
    } else if constexpr (!eval_data_fit<sets, eval_data_of<Extra...>>::value) {
      return refuse<misuse::EM06, sets, eval_data_of<Extra...>>{};
    } else {
      return check_train_data<Core, Valid, typename source_t<Data>::batch_type>(eval_data_of<Extra...>{});
    }
  }
}
/// Idle callbacks come last: asking them needs the outputs of a sound step.
template <class Core, class Data, class Valid, class... Extra>
constexpr auto check_train() {
  using call = decltype(check_train_call<Core, Data, Valid, Extra...>());
  if constexpr (!is_sound_v<call>) {
    return call{};
  } else {
    return check_idle<TrainPass<Core, source_t<Data>, no_evaluation>>(typename Core::callback_types{});
  }
}
/// A session evaluates nothing, so that named eval sets need no data.
template <class Core, class Batch>
constexpr auto check_session() {
  using call = decltype(first_unsound<decltype(check_training<Core, Batch>()), decltype(check_no_evaluation(typename Core::composition::callbacks{}))>());
  if constexpr (!is_sound_v<call>) {
    return call{};
  } else {
    return check_idle<TrainPass<Core, GivenBatches<Batch>, no_evaluation>>(typename Core::callback_types{});
  }
}
template <class Core, class Data>
constexpr auto check_evaluate() {
  using call = decltype(check_evaluation<Core, Data>());
  if constexpr (!is_sound_v<call>) {
    return call{};
  } else {
    return check_idle<EvalPass<Core, source_t<Data>>>(typename Core::callback_types{});
  }
}

/// A task that states its `batch_type` is checked as soon as there is a trainer.
template <class Core>
constexpr auto check_stated_batch() {
  if constexpr (requires { typename Core::task_type::batch_type; }) {
    using batch = typename Core::task_type::batch_type;
    using training = decltype(check_training<Core, batch>());
    if constexpr (!is_sound_v<training>) {
      return training{};
    } else {
      return check_idle<TrainPass<Core, stated_source<batch>, no_evaluation>>(typename Core::callback_types{});
    }
  } else {
    return sound{};
  }
}

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

/// What a misuse makes of a session: takes in silence what a session takes.
struct RefusedSession {
  bool step(auto&&) { return false; }
  void end_epoch() {}
  bool is_running() const noexcept { return false; }
  Progress const& progress() const noexcept;
  RunResult finish() { return {}; }
};

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
  if constexpr (std::same_as<std::remove_cvref_t<decltype(given)>, nothing>) {
    return typename pack_defaults<Callbacks>::type{};  // with the eval sets
  } else if constexpr (std::same_as<std::remove_cvref_t<decltype(sets)>, nothing>) {
    return flat<std::remove_cvref_t<decltype(given)>>::refs(given);
  } else {
    return std::tuple_cat(flat<std::remove_cvref_t<decltype(given)>>::refs(given), std::tuple<make_default<std::remove_cvref_t<decltype(sets)>>>{});
  }
}

template <class Slot, class Policy, class Arguments>
using unless_given = std::conditional_t<filled_by<Slot, Arguments>::size + (std::same_as<Slot, slot::callbacks> ? 0 : filled_by<slot::automatic, Arguments>::size) == 0,
                                        list<Policy>, list<>>;
/// What Trainer<...> states and no argument gives: it is made by default.
template <class Trainer, class Arguments>
using stated_only = concat_t<unless_given<slot::device, typename Trainer::device_policy, Arguments>,
                             unless_given<slot::precision, typename Trainer::precision_policy, Arguments>,
                             unless_given<slot::distribution, typename Trainer::distribution_policy, Arguments>,
                             unless_given<slot::callbacks, typename Trainer::callbacks, Arguments>>;

template <class Policy>
struct parts_of {
  using type = list<Policy>;
};
template <class... C>
struct parts_of<CallbackPack<C...>> {
  using type = list<C...>;
};
constexpr auto check_has_default(list<>) { return sound{}; }
template <class First, class... Rest>
constexpr auto check_has_default(list<First, Rest...>) {
  if constexpr (!std::default_initializable<First>) {
    return refuse<misuse::ES07, First>{};
  } else {
    return check_has_default(list<Rest...>{});
  }
}
template <class... Policies>
constexpr auto check_defaults(list<Policies...>) {
  return check_has_default(concat_t<typename parts_of<Policies>::type...>{});
}

constexpr auto check_given(list<>) { return sound{}; }
template <class First, class... Rest>
constexpr auto check_given(list<First, Rest...>) {
  if constexpr (!std::constructible_from<std::decay_t<First>, First>) {
    return refuse<misuse::ES08, std::decay_t<First>>{};
  } else if constexpr (sizeof...(Rest) > 0) {
    return check_given(list<Rest...>{});
  } else {
    return sound{};
  }
}

template <class Made, class Trainer>
constexpr auto check_same() {
  if constexpr (!std::same_as<typename Made::task, typename Trainer::task_type>) {
    return refuse<misuse::ES05, typename Made::task, typename Trainer::task_type>{};
  } else if constexpr (!std::same_as<typename Made::device, typename Trainer::device_policy>) {
    return refuse<misuse::ES05, typename Made::device, typename Trainer::device_policy>{};
  } else if constexpr (!std::same_as<typename Made::precision, typename Trainer::precision_policy>) {
    return refuse<misuse::ES05, typename Made::precision, typename Trainer::precision_policy>{};
  } else if constexpr (!std::same_as<typename Made::distribution, typename Trainer::distribution_policy>) {
    return refuse<misuse::ES05, typename Made::distribution, typename Trainer::distribution_policy>{};
  } else if constexpr (!std::same_as<typename Made::callbacks, typename Trainer::callbacks>) {
    return refuse<misuse::ES05, typename Made::callbacks, typename Trainer::callbacks>{};
  } else {
    return sound{};
  }
}

/// What of the arguments contradicts the types written into Trainer<...>; those of a deduced type never do.
template <class Trainer, class Arguments, class Deduced>
constexpr auto check_agreement() {
  if constexpr (is_sound_v<decltype(check_same<Deduced, Trainer>())>) {
    return sound{};
  } else {
    using stated = stated_only<Trainer, Arguments>;
    using made = typename decltype(compose_arguments(concat_t<Arguments, stated>{}))::value;
    if constexpr (is_bad_v<typename made::task>) {
      return type<typename made::task>{};
    } else {
      return first_unsound<decltype(check_same<made, Trainer>()), decltype(check_defaults(stated{}))>();
    }
  }
}
template <class Trainer, class... A>
constexpr auto check_constructor() {
  using agreement = decltype(check_agreement<Trainer, list<std::decay_t<A>...>, compose<std::decay_t<A>...>>());
  if constexpr (!is_sound_v<agreement>) {
    return agreement{};
  } else {
    return first_unsound<decltype(check_given(list<A...>{})), decltype(check_stated_batch<typename Trainer::core_type>())>();
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
                                         plan_training(detail::GivenBatches<Batch>{}, own);
                                         detail::agree_on_training(*core_, "session", detail::GivenBatches<Batch>{}, own, [](auto&) {});
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
      return run_evaluation(std::forward<Data>(data), options);
    }
  }

  /// The run ends after the current update. The only member that other threads and signal handlers may call.
  void request_stop() noexcept { core_->request_stop(StopReason::requested); }

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
    using checked = decltype(detail::check_constructor<Trainer, A...>());
    if constexpr (!detail::is_sound_v<checked>) {
      detail::report(typename checked::value{});
      return nullptr;
    } else {
      // Lvalues are copied and rvalues moved, once, so that the parts can then be moved out of here.
      std::tuple<std::decay_t<A>...> owned{std::forward<A>(given)...};
      return std::apply(
          [](auto&... arguments) {
            auto core = std::make_unique<core_type>(make_task(arguments...), detail::pick_policy<Device, slot::device>(arguments...),
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
    return Task{detail::shared_model(model), std::move(loss), std::move(optimizer)};
  }

  template <class Data, class Valid, class ValidPointer, class... Extra>
  RunResult train_checked(Data&& data, ValidPointer valid, TrainOptions const& options, Extra&&... extra) {
    using checked = decltype(detail::check_train<core_type, Data, Valid, std::remove_cvref_t<Extra>...>());
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
    require_limit(options);
    constexpr bool evaluates = !std::is_void_v<Valid> || detail::eval_data_of<std::remove_cvref_t<Extra>...>::size > 0;
    if constexpr (!evaluates) {
      require_no_evaluation_options(options, "leave it out, or call train(train, valid, options)");
    }
    core_type& core = *core_;
    detail::RunGuard const guard{core};
    core.begin_run(options.sink);
    std::uint64_t const seed = options.seed.value_or(0);
    auto holder = detail::make_source(std::forward<Data>(data), options.per_device_batch_size, true, seed, "TrainOptions::per_device_batch_size");
    auto& source = detail::source_in(holder);
    Samples const eval_batch_size =
        options.eval_per_device_batch_size.is_set() ? options.eval_per_device_batch_size : options.per_device_batch_size;
    if constexpr (planned_batch_source<std::remove_cvref_t<decltype(source)>>) {
      // The plan asks for the batches' sizes, which a source knows once an epoch has started.
      if (options.limit.samples.is_set()) source.start_epoch(seed, EpochIndex{0}, core.rank(), core.world_size());
    }
    plan_training(source, options);
    auto named = std::tuple_cat(make_eval(extra, eval_batch_size)...);
    auto schedules = std::apply(
        [&](auto const&... fields) {
          return detail::Scheduled<core_type, std::remove_cvref_t<decltype(fields)>...>{core, {core.plan().updates, core.plan().updates_per_epoch}, fields...};
        },
        std::tuple_cat(field_of(extra)...));
    [[maybe_unused]] auto const eval_terms = [&](auto& terms) {
      [[maybe_unused]] std::int64_t const most = core.batch_limits().eval.value_or(-1);
      std::apply([&](auto&... one) { (detail::add_source(terms, "eval set " + std::string{one.name}, detail::source_in(one.holder), core.world_size(), most), ...); }, named);
    };
    if constexpr (std::is_void_v<Valid>) detail::agree_on_training(core, "train", source, options, eval_terms, extra...);
    if constexpr (!evaluates) {
      return run_training_with(source, options, detail::no_evaluation{}, schedules);
    } else {
      if constexpr (std::is_void_v<Valid>) {
        require_undisturbed(source, nullptr, named);
        return run_training_with(source, options, [&named](core_type& c, bool intermediate, std::string_view as) {
          c.require_own_evaluation(as);
          evaluate_named(c, named, intermediate, as);
        }, schedules);
      } else {
        auto valid_holder = detail::make_source(std::forward<Valid>(*valid), eval_batch_size_for<Valid>(eval_batch_size, options), false, seed,
                                                "TrainOptions::eval_per_device_batch_size");
        auto& valid_source = detail::source_in(valid_holder);
        plan_evaluation(valid_source);
        detail::agree_on_training(core, "train", source, options, [&](auto& terms) {
          detail::add_source(terms, "the eval set", valid_source, core.world_size(), core.batch_limits().eval.value_or(-1));
          eval_terms(terms);
        }, extra...);
        require_undisturbed(source, valid_source, named);
        return run_training_with(source, options, [&named, &valid_source](core_type& c, bool intermediate, std::string_view as) {
          c.require_own_evaluation(as);
          evaluate_set(c, valid_source, as, intermediate, unset);
          evaluate_named(c, named, intermediate, as);
        }, schedules);
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
    if constexpr (detail::is_eval_data_v<std::remove_cvref_t<Extra>>) {
      using data_type = typename std::remove_cvref_t<Extra>::data_type;
      auto holder = detail::make_source(static_cast<data_type>(extra.data.get()), data::data_kind_of_v<data_type> == data::data_kind::dataset ? batch_size : Samples{unset},
                                        false, 0, "TrainOptions::eval_per_device_batch_size");
      return std::tuple{NamedEval<decltype(holder), std::remove_cvref_t<Extra>::name>{std::move(holder)}};
    } else {
      return std::tuple{};
    }
  }
  template <class Extra>
  static auto field_of(Extra const& extra) {
    if constexpr (detail::is_field_schedule_v<Extra>) {
      return std::tuple{extra};
    } else {
      return std::tuple{};
    }
  }
  template <class Named>
  static void evaluate_named(core_type& core, [[maybe_unused]] Named& named, bool intermediate, [[maybe_unused]] std::string_view as) {
    [[maybe_unused]] auto const name = [as](std::string_view set) { return as.empty() ? std::string{set} : detail::message({as, "/", set}); };
    std::apply([&](auto&... one) { (evaluate_set(core, detail::source_in(one.holder), name(one.name), intermediate, unset), ...); }, named);
  }
  /// Throws: ConfigError if an evaluation would disturb the epoch that trains.
  template <class Source, class Valid, class Named>
  static void require_undisturbed([[maybe_unused]] Source const& source, [[maybe_unused]] Valid const& valid, [[maybe_unused]] Named& named) {
    if constexpr (!restorable_batch_source<Source>) {
      void const* other = nullptr;
      if constexpr (batch_source<std::remove_const_t<Valid>>) other = data::detail::disturbed_by_passes(valid);
      std::apply([&](auto&... one) {
        data::detail::refuse_shared(data::detail::disturbed_by_passes(source), {other, data::detail::disturbed_by_passes(detail::source_in(one.holder))...});
      }, named);
    }
  }
  template <class Source>
  static void evaluate_set(core_type& core, Source& source, std::string_view set, bool intermediate, MicroBatches limit) {
    detail::agree_on_evaluation(core, "evaluation inside a run", source, set, limit);
    data::detail::PlaceKeeper<Source> const place{source};
    detail::EvalPass<core_type, Source> pass{core, source, set, intermediate, limit};
    detail::eval_epoch(pass);
  }

  template <class Source, class Evaluate, class Schedules>
  RunResult run_training_with(Source& source, TrainOptions const& options, Evaluate evaluate, Schedules& schedules) {
    core_type& core = *core_;
    detail::TrainPass<core_type, Source, Evaluate, Schedules> pass{core, source, options, std::move(evaluate), schedules};
    core.history().begin_run();
    try {
      detail::train_run(pass);
      detail::share_buffers(core);
    } catch (...) {
      core.clear_gradients();
      core.note_failure();
      throw;
    }
    return detail::end_run(core, pass);
  }

  template <class Data>
  EvalResult run_evaluation(Data&& data, EvalOptions const& options) {
    check(options);
    core_type& core = *core_;
    detail::RunGuard const guard{core};
    core.begin_run(options.sink);
    auto holder = detail::make_source(std::forward<Data>(data), options.per_device_batch_size, false, 0, "EvalOptions::per_device_batch_size");
    auto& source = detail::source_in(holder);
    core.plan() = base_plan();
    plan_evaluation(source);
    detail::agree_on_evaluation(core, "evaluate", source, "", options.limit);
    History metrics;
    metrics.begin_run();
    core.record_to(&metrics);
    data::detail::PlaceKeeper<std::remove_reference_t<decltype(source)>> const place{source};
    StopReason reason = StopReason::completed;
    try {
      detail::EvalPass<core_type, std::remove_reference_t<decltype(source)>> pass{core, source, "", false, options.limit};
      detail::eval_run(pass);
      reason = detail::agreed_reason(core, pass.cut_short_by());
    } catch (...) {
      core.note_failure();
      throw;
    }
    metrics.end_run(reason, Updates{0});
    return EvalResult{std::move(metrics), reason};
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
  void plan_training(Source const& source, TrainOptions const& options) {
    RunPlan plan = base_plan();
    plan.epochs = options.epochs;
    plan.gradient_accumulation = options.gradient_accumulation;
    plan.clip_norm = options.clip.norm;
    plan.clip_value = options.clip.value;
    plan.seed = options.seed.value_or(0);
    plan.per_device_batch_size = detail::batch_size_of(source);
    if (plan.per_device_batch_size.is_set()) {
      plan.total_batch_size = detail::known_product<unit::sample>(plan.per_device_batch_size.value(), plan.world_size, options.gradient_accumulation.value());
    }
    if constexpr (sized_batch_source<Source>) {
      std::int64_t const batches = limited(source.size(plan.world_size), core_->batch_limits().train);
      std::int64_t const window = options.gradient_accumulation.value();
      plan.micro_batches_per_epoch = batches;
      plan.updates_per_epoch = detail::quotient_up(batches, window);
      plan.updates = detail::planned_updates(source, {batches, window}, options);
    } else {
      plan.updates = options.limit.updates;
    }
    core_->plan() = plan;
  }
  template <class Source>
  void plan_evaluation(Source& source) {
    RunPlan& plan = core_->plan();
    plan.eval_per_device_batch_size = detail::batch_size_of(source);
    if (plan.eval_per_device_batch_size.is_set()) {
      plan.eval_total_batch_size = detail::known_product<unit::sample>(plan.eval_per_device_batch_size.value(), plan.world_size);
    }
    if constexpr (sized_batch_source<Source>) plan.eval_batches = limited(source.size(plan.world_size), core_->batch_limits().eval);
  }
  static std::int64_t limited(std::int64_t batches, MicroBatches limit) { return std::min(batches, limit.value_or(batches)); }

  std::unique_ptr<core_type> core_;
};

namespace detail {
/// What a refused trainer shows of the task that was meant: enough for later lines to compile.
template <class Meant>
struct refused_parts {
  Meant const& task() const noexcept;
  auto& model() const noexcept { return task_model<0>(std::declval<Meant&>()); }
};
template <>
struct refused_parts<void> {
  bad<misuse::none> task() const noexcept;
  bad<misuse::none> model() const noexcept;
};
}  // namespace detail

/// What a misuse makes of a trainer: it holds the one error, and takes in silence what a trainer takes. Nothing of it is defined.
template <misuse Number, class Culprit, class Detail, class Meant, class Precision, class Distribution, class Callbacks>
class Trainer<bad<Number, Culprit, Detail>, Meant, Precision, Distribution, Callbacks> : public detail::refused_parts<Meant> {
  static_assert(detail::report(bad<Number, Culprit, Detail>{}));

 public:
  explicit Trainer(auto&&...);
  RunResult train(auto&&, TrainOptions const&, auto&&...);
  RunResult train(auto&&, auto&&, TrainOptions const&, auto&&...);
  RunResult train(auto&&);
  RunResult train(auto&&, auto&&);
  EvalResult evaluate(auto&&, EvalOptions const& = {});
  template <class Batch>
  detail::RefusedSession session(TrainOptions const& = {});
  void request_stop() noexcept;
  History const& history() const noexcept;
  bool is_main_process() const;
  int rank() const;
  int world_size() const;
  template <class Work>
  void main_process_first(Work&& work, std::chrono::milliseconds = {});
  RunPlan const& plan() const noexcept;
  detail::refused_parts<Meant> view() noexcept;
  std::string describe() const;
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
