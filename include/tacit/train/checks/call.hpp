#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include "tacit/concepts/dataset.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/data/range_source.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/task/supervised.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/checks/callbacks.hpp"
#include "tacit/train/checks/first_of.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/eval_loop.hpp"
#include "tacit/train/make_source.hpp"
#include "tacit/train/pass.hpp"
#include "tacit/train/run.hpp"
#include "tacit/train/session.hpp"

namespace tacit::inline v0 {

// What can be known only with a batch type: the checks of `train`, `evaluate`, `session`.

namespace detail {

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
/// True for a callback that no event of a run reaches; one that lists its events was held to its list.
template <class Run, class Callback>
consteval bool is_idle() {
  using asked = innermost_t<Callback>;
  using all = concat_t<event::all, phased_events_t<typename Run::task_type>>;
  if constexpr (is_eval_sets_v<Callback> || states_events<asked>) {
    return false;
  } else if constexpr (handles_in_probe<asked, typename Run::tensor_type>(all{})) {
    // A handler that a probe can call will do; what is left has handlers with constraints.
    return false;
  } else {
    return !handles_one_of<Callback, Run>(all{});
  }
}
template <class Run, class... C>
constexpr auto check_idle(list<C...>) {
  constexpr std::size_t at = first_true({is_idle<Run, C>()...});
  if constexpr (at < sizeof...(C)) {
    return refuse<misuse::EC02, innermost_t<type_at_t<at, list<C...>>>>{};
  } else {
    return sound{};
  }
}

/// The index of the first tag that needs an evaluation; of those in `Columns` alone, unless that is void.
template <class Columns, class... Tags>
consteval std::size_t first_evaluated(list<Tags...>) {
  return first_true({(Tags::needs_evaluation && (std::is_void_v<Columns> || contains_v<Columns, Tags>))...});
}
/// Refuses a watched tag that needs an evaluation which the call does not make: any such tag, or one of `Columns`.
template <class Columns, class... C>
constexpr auto check_no_evaluation(list<C...>) {
  constexpr std::size_t at = first_true({(first_evaluated<Columns>(watched_tags_t<C>{}) < watched_tags_t<C>::size)...});
  if constexpr (at < sizeof...(C)) {
    using callback = type_at_t<at, list<C...>>;
    using tags = watched_tags_t<callback>;
    return refuse<misuse::EM04, type_at_t<first_evaluated<Columns>(tags{}), tags>, innermost_t<callback>>{};
  } else {
    return sound{};
  }
}
/// The columns of the plain eval set: a call may give data of named ones only.
template <class Composition>
using plain_columns = typename Composition::template columns<typename Composition::evaluation_types::plain>;

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
  return first_of<decltype(check_step<true, task, Batch, StepContext<Core>>()),
                  decltype(check_unused_eval_step<task, Batch, StepContext<Core>>())>();
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

template <class Core, class Valid, class Batch, class... Sets>
constexpr auto check_train_data(list<Sets...>) {
  using composition = typename Core::composition;
  using step = decltype(check_step<true, typename Core::task_type, Batch, StepContext<Core>>());
  if constexpr (std::is_void_v<Valid> && sizeof...(Sets) == 0) {
    return first_of<decltype(check_training<Core, Batch>()),
                    decltype(check_no_evaluation<void>(typename composition::callbacks{}))>();
  } else if constexpr (std::is_void_v<Valid>) {
    return first_of<step, decltype(check_evaluation<Core, typename Sets::data_type>())...,
                    decltype(check_no_evaluation<plain_columns<composition>>(typename composition::callbacks{}))>();
  } else {
    return first_of<step, decltype(check_evaluation<Core, Valid>()),
                    decltype(check_evaluation<Core, typename Sets::data_type>())...>();
  }
}

template <class Core, class Data, class Valid, class... Extra>
constexpr auto check_train_call() {
  using readable = decltype(check_data<Data>());
  using sets = typename Core::composition::named_eval_sets;
  if constexpr (!is_sound_v<readable>) {
    return readable{};
  } else {
    using extra = decltype(first_of<decltype(check_extra<Core, Extra>())...>());
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
  using call = decltype(first_of<decltype(check_training<Core, Batch>()),
                                 decltype(check_no_evaluation<void>(typename Core::composition::callbacks{}))>());
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

}  // namespace detail

}  // namespace tacit::inline v0
